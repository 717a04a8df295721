import numpy as np
import pytest
from pydantic import ValidationError

from mtkit.backend import tf
from mtkit.model.forward import Forward
from mtkit.standard.correlations import Fusion, Mmoe
from mtkit.testing import check_import_is_light, check_spec


def test_spec():
    check_spec(Mmoe(experts=3, units=16, activation="gelu", residual=True))


def test_builds_a_state_per_task(make_context):
    layer = Mmoe(experts=3, units=16, activation="gelu", residual=True).build(make_context("experts", tasks="abcd"))
    config = layer.get_config()
    expected = {"name": "experts", "tasks": 4, "experts": 3, "units": 16, "activation": "gelu", "residual": True}
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize("method", ["concatenate", "gated", "attention", "cascade"])
def test_fusion_builds_its_method(method, make_context):
    spec = Fusion(on=("text", "image"), method=method, dim=5)
    check_spec(spec)
    layer = spec.build(make_context("both"))
    assert layer.name == "both"
    assert type(layer).__name__.lower() == f"{method}fusion"
    assert layer([tf.ones([3, 4]), tf.ones([3, 2])]).shape == [3, 5]


def test_fusion_needs_several_embeddings():
    with pytest.raises(ValidationError, match="at least 2"):
        Fusion(on=("text",))
    with pytest.raises(ValidationError):
        Fusion(on=("text", "image"), apply="each")


@pytest.mark.parametrize("before", [False, True])
def test_fused_items_are_candidates(train_tiny, before):
    """Embeddings of several widths are fused, before tasks have states of their own and after."""
    order = ("fused", "experts") if before else ("experts", "fused")
    parts = {
        "fused": "correlation.fused={use='fusion', on=['look', 'product'], dim=8}",
        "experts": "correlation.experts={use='mmoe', on=['product'], experts=2, units=8}",
    }
    sets = (*(parts[name] for name in order), "task.next.candidate=['fused']", "encoder.look.dim=6", "train.epochs=1")
    pipeline = train_tiny(*sets, unsets=("correlation",))
    fused = Forward(pipeline.model).entity_lane("fused").own.numpy()
    items = len(pipeline.fold.entities["item"])
    assert fused.shape == ((items, 8) if before else (items, 4, 8))
    assert len(np.unique(fused.round(6), axis=0)) == items


def test_import_is_light():
    check_import_is_light("mtkit.standard.correlations")
