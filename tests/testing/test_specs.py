"""The kit has to be able to fail: each test gives it a component with one defect."""

from typing import Literal

import pytest
from pydantic import ConfigDict, Field

from mtkit.hooks import hookimpl
from mtkit.spec import Balancer, Exporter
from mtkit.standard.balancers import Fixed
from mtkit.testing import check_exporter, check_hooks, check_import_is_light, check_spec


class Lax(Balancer):
    """Takes any key."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Undescribed(Balancer):
    """Has a field that nobody explains."""

    power: int = 1


class Undocumented(Balancer):
    power: int = Field(1, description="of what?")


Undocumented.__doc__ = None


class Mutable(Balancer):
    """Can change."""

    model_config = ConfigDict(frozen=False, extra="forbid")

    power: int = Field(1, description="an exponent")


class Stray(Fixed):
    """Says that it is of another kind."""

    kind = "encoder"


class Lossy(Balancer):
    """Does not come back from JSON."""

    power: Literal[1] | float = Field(1, description="an exponent", exclude=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Lax(), "unknown keys"),
        (Undescribed(), "have no description"),
        (Undocumented(), "no docstring"),
        (Mutable(), "not frozen"),
        (Stray(), "kind 'encoder' is that of Encoder"),
        (Lossy(power=2.5), "comes back from JSON"),
    ],
)
def test_spec(spec, message):
    check_spec(Fixed())
    with pytest.raises(AssertionError, match=message):
        check_spec(spec)


def test_import_is_light():
    check_import_is_light("mtkit.spec")
    with pytest.raises(AssertionError, match=r"import mtkit\.types, numpy imports numpy"):
        check_import_is_light("mtkit.types, numpy")
    with pytest.raises(AssertionError, match="No module named 'no_such_module'"):
        check_import_is_light("no_such_module")


class Writer(Exporter):
    """Counts versions."""

    def export(self, pipeline, directory):
        version = directory / str(len(list(directory.glob("*"))) + 1)
        version.mkdir()
        (version / "model").write_text(pipeline)
        return version


class Empty(Writer):
    def export(self, pipeline, directory):
        (super().export(pipeline, directory) / "model").unlink()
        return directory / "1"


class Over(Writer):
    def export(self, pipeline, directory):
        (directory / "1").mkdir(exist_ok=True)
        (directory / "1" / "model").write_text(pipeline)
        return directory / "1"


class Changing(Writer):
    def export(self, pipeline, directory):
        found = super().export(pipeline, directory)
        (directory / "1" / "model").write_text(found.name)
        return found


class Untidy(Writer):
    def export(self, pipeline, directory):
        (directory / "x.tmp").touch()
        return super().export(pipeline, directory)


class Elsewhere(Writer):
    def export(self, pipeline, directory):
        (directory / "in").mkdir(exist_ok=True)
        return super().export(pipeline, directory / "in")


def test_exporter(tmp_path):
    check_exporter(Writer(), "weights", tmp_path)


@pytest.mark.parametrize(
    ("exporter", "message"),
    [
        (Empty(), "holds no files"),
        (Over(), "is written over"),
        (Changing(), "the next export changes"),
        (Untidy(), r"leaves \['x.tmp'\] behind"),
        (Elsewhere(), "expected versions in"),
    ],
)
def test_exporter_with_a_defect(exporter, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        check_exporter(exporter, "weights", tmp_path)


class Bell:
    @hookimpl
    def run_end(self, directory):
        pass


class Mistaken:
    @hookimpl
    def run_ends(self):
        pass


class Greedy:
    @hookimpl
    def run_end(self, weather):
        pass


class Silent:
    pass


def test_hooks():
    check_hooks(Bell)
    for plugin, message in ((Mistaken, "run_ends"), (Greedy, "weather"), (Silent, "implements none of")):
        with pytest.raises(AssertionError, match=message):
            check_hooks(plugin)
