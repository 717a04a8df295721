from dataclasses import replace

import pytest
from pydantic import ValidationError

from mtkit.standard.retrieval import GatedRetrieval
from mtkit.testing import check_import_is_light, check_layer_config, check_spec

SPEC = GatedRetrieval(rows="windows", query=("past",), candidate=("item",), discovery=2.0)


def test_spec_and_layer(make_context):
    check_spec(SPEC)
    assert SPEC.candidates == "catalog"
    layer = SPEC.build(replace(make_context("next"), candidates={"next": 30}))
    assert layer.discovery == 2.0
    check_layer_config(layer)


def test_options_are_checked():
    with pytest.raises(ValidationError):
        GatedRetrieval(rows="windows", query=(), candidate=("item",))
    with pytest.raises(ValidationError):
        GatedRetrieval(rows="windows", query=("past",), candidate=("item",), discovery=-1)


def test_spec_is_light():
    check_import_is_light("mtkit.standard.retrieval")
