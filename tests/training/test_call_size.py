"""How many steps a call does where a recipe leaves it open."""

import pytest

from mtkit.training import call_size
from mtkit.training.call_size import steps_of_a_call
from mtkit.training.fit import Training


def test_small_models_do_many_steps_a_call_and_costly_ones_few(tiny_pipeline, monkeypatch):
    many = steps_of_a_call(tiny_pipeline)
    assert 100 < many <= call_size.MOST_STEPS
    monkeypatch.setitem(call_size.SPEED, "CPU", 5e7)
    monkeypatch.setitem(call_size.SPEED, "GPU", 5e7)
    assert 1 < steps_of_a_call(tiny_pipeline) < many / 5
    monkeypatch.setitem(call_size.SPEED, "CPU", 1.0)
    monkeypatch.setitem(call_size.SPEED, "GPU", 1.0)
    assert steps_of_a_call(tiny_pipeline) == 1


def test_tables_are_not_multiplied(tiny_pipeline):
    model = tiny_pipeline.model
    rows = [model.feed.entity_rows(entity) for entity in tiny_pipeline.fold.entities]
    found = call_size._multiplied(model.encoders["product"].weights, rows)
    # 41 items by 8 are a table; 13 families by 8 and the layer that joins them are not told from a product's weights.
    assert 0 < found < sum(weight.shape.num_elements() for weight in model.encoders["product"].weights)


@pytest.mark.parametrize("sets", [(), ("train.steps_per_execution=5",)])
def test_a_call_is_at_most_an_epoch(train_tiny, sets, monkeypatch):
    calls = []
    monkeypatch.setattr(Training, "fit", lambda self: calls.append((self.steps_per_call, self.steps_per_epoch)))
    train_tiny(*sets, unsets=() if sets else ("train.steps_per_execution",))
    ((steps, epoch),) = calls
    assert steps == (5 if sets else min(epoch, call_size.MOST_STEPS))
    assert epoch < 100
