import pytest
from small_model import model_maker


@pytest.fixture
def make_model(tmp_path):
    """`make_model(tasks, correlations={}, balance=Fixed())` makes a model with random weights on made-up rows."""
    return model_maker(tmp_path)
