import re
from dataclasses import replace

import pytest

from mtkit.backend import keras, tf
from mtkit.data.leakage import Finding
from mtkit.errors import DataError, WiringError
from mtkit.model.component_probe import check_components
from mtkit.recipe.loader import load_recipe
from mtkit.runs.probes import check_factorized, check_full


class Peeking(keras.layers.Layer):
    """Adds to each row what its neighbors in the batch have."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs, training=False):
        states = self.layer(inputs, training=training)
        return states + tf.reduce_mean(states, axis=0, keepdims=True)


@pytest.fixture
def in_batch(tiny_recipe, tmp_path, monkeypatch):
    """The tiny recipe with a head whose candidates are those of the batch."""
    pytest.importorskip("mtkit_tfrs")
    import mtkit

    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path))
    sets = ["task.next.use=tfrs_retrieval", "task.next.rows=lines", "task.next.evaluate=windows"]
    return mtkit.build(tiny_recipe, sets)


def test_full_check_states_the_populations(tiny_recipe):
    lines = check_full(load_recipe(tiny_recipe))
    assert len([line for line in lines if line.startswith("rows ")]) == 6
    text = "\n".join(lines)
    assert re.search(r"rows windows train: \d+, 6 windows of 30 days before the cut; users with a past", text)
    assert re.search(r"rows lines eval: \d+, interactions that took place from the cut on", text)


def test_full_check_tells_of_leaks(tiny_recipe, monkeypatch):
    found = Finding("error", "context.hour", "is the label", 7, "do not read it")
    monkeypatch.setattr("mtkit.runs.probes.find_leaks", lambda *_: [replace(found, level="warning")])
    assert "warning: context.hour: is the label; do not read it" in check_full(load_recipe(tiny_recipe))
    monkeypatch.setattr("mtkit.runs.probes.find_leaks", lambda *_: [found])
    with pytest.raises(DataError, match=r"would know.*\n  error: context\.hour: is the label; do not read it"):
        check_full(load_recipe(tiny_recipe))


def test_what_is_factorized_passes(in_batch):
    check_factorized(in_batch)
    check_components(in_batch)


def test_a_component_that_looks_at_other_rows_is_found(in_batch):
    in_batch.model.encoders["product"] = Peeking(in_batch.model.encoders["product"])
    with pytest.raises(WiringError, match=r"encoder\.product: its output for a row depends on the other rows of its"):
        check_components(in_batch)


def test_a_query_that_reads_the_candidate_is_found(in_batch):
    names = in_batch.model.inputs_of
    in_batch.model.encoders["customer"] = in_batch.model.encoders["product"]
    in_batch.model.inputs_of = {**names, "customer": names["product"]}
    with pytest.raises(WiringError, match="task next: query 'customer' depends on its row's item"):
        check_factorized(in_batch)


def test_a_candidate_that_reads_the_user_is_found(in_batch):
    names = in_batch.model.inputs_of
    in_batch.model.encoders["product"] = in_batch.model.encoders["customer"]
    in_batch.model.inputs_of = {**names, "product": names["customer"]}
    with pytest.raises(WiringError, match="task next: candidate 'product' depends on more than its own row"):
        check_factorized(in_batch)
