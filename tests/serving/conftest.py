"""What the tests of the servable share."""

import pytest

from mtkit.backend import tf
from mtkit.serving.export import save


@pytest.fixture(scope="session")
def exported(tiny_pipeline, tmp_path_factory):
    """The signatures of the exported tiny pipeline, as a serving process has them."""
    return tf.saved_model.load(str(save(tiny_pipeline, tmp_path_factory.mktemp("export")))).signatures
