"""Components by the names of recipes, in Python."""

import subprocess
import sys

import pytest

from mtkit import components
from mtkit.errors import DeclarationError
from mtkit.recipe.registry import Registry
from mtkit.spec import BASES
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.sources import Frames


def test_every_kind_has_its_names():
    registry = Registry.installed()
    for kind in BASES:
        found = getattr(components, kind)
        assert dir(found) == sorted([*registry.names(kind), *["frames"] * (kind == "data_source")]), kind
    assert components.encoder.features is Features
    assert components.data_source.frames is Frames
    assert components.task_head.user_preference(rows="lines", inputs=["a"], label="like") == UserPreference(
        rows="lines", inputs=["a"], label="like"
    )
    assert repr(components.balancer).startswith("<components of kind balancer: ")


def test_plugins_are_included(tiny_recipe):
    components._installed.cache_clear()
    try:
        assert "tiny_shop" in dir(components.data_source)
        assert components.data_source.tiny_shop().kind == "data_source"
    finally:
        components._installed.cache_clear()


def test_mistakes_say_what_is_near():
    with pytest.raises(AttributeError, match=r"no encoder is named 'feature'; did you mean 'features'\?"):
        components.encoder.feature  # noqa: B018
    with pytest.raises(DeclarationError, match="Features: reads: is missing"):
        components.encoder.features()


def test_import_is_light():
    code = "import sys; from mtkit.components import encoder; dir(encoder), encoder.features; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
