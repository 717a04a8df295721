"""The names that recipes may use are a promise: `registry.txt` holds them, and a change of it is a change of format."""

from importlib import metadata
from pathlib import Path

import pytest

from mtkit.recipe.registry import KNOWN_PLUGINS, Registry
from mtkit.spec import BASES, Spec

SNAPSHOT = Path(__file__).with_name("registry.txt")
ENTRIES = Registry.installed().entries()


def rows():
    return [tuple(line.split()) for line in SNAPSHOT.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("distribution", ["mtkit", *sorted(set(KNOWN_PLUGINS.values()))])
def test_names(distribution):
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    found = {(entry.kind, entry.name, entry.value) for entry in ENTRIES if entry.distribution == distribution}
    expected = {(kind, name, value) for owner, kind, name, value in rows() if owner == distribution}
    assert found == expected, (
        "install again if the metadata is old; else bring tests/registry.txt and CHANGELOG.md up to date"
    )


def test_all_distributions_are_there():
    assert {owner for owner, *_ in rows()} == {"mtkit", *KNOWN_PLUGINS.values()}


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.distribution == "mtkit" and e.kind in BASES], ids=str)
def test_built_in_components_are_specs_of_their_kind(entry):
    loaded = entry.load()
    assert issubclass(loaded, Spec)
    assert loaded.kind == entry.kind
    assert loaded.__doc__
