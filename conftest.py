"""What the tests of the core and of the plugins share."""

from __future__ import annotations

import contextlib
import importlib.metadata
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

from mtkit.recipe import plugin_files
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.shown import forget
from mtkit.spec import BuildContext, Spec
from mtkit.standard.exporters import SavedModel

if TYPE_CHECKING:
    from mtkit.model.assembly import Pipeline

# Times of a busy machine say nothing of what is tested.
settings.register_profile("mtkit", deadline=None)
settings.load_profile("mtkit")

TESTS = Path(__file__).parent / "tests"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Splits the CPU into two devices if a test needs replicas: TensorFlow takes that only before it runs anything."""
    if any("two_replicas" in getattr(item, "fixturenames", ()) for item in session.items):
        from mtkit.backend import tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        except RuntimeError as error:
            raise pytest.UsageError("a test module makes tensors at import; make them in its tests") from error


@pytest.fixture(autouse=True)
def _plain_process() -> Iterator[None]:
    """Takes back what a run sets for its process, so that tests do not depend on their order, nor on chance."""
    random.seed(0)  # Keras' initializers without a seed draw theirs here, or, once Keras has a seed, from its own
    if "tf_keras" in sys.modules:
        from mtkit.backend import keras

        keras.utils.set_random_seed(0)
    yield
    forget()
    plugin_files.forget()
    if "tf_keras" in sys.modules:
        from mtkit.backend import keras

        keras.backend.experimental.disable_tf_random_generator()


@pytest.fixture(autouse=True)
def _exports_unasked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares tests the process in which an export is asked, but for those that ask for `asked_alone`."""
    if "asked_alone" not in request.fixturenames:
        export = SavedModel.export
        monkeypatch.setattr(SavedModel, "prepare", lambda _: None)
        monkeypatch.setattr(
            SavedModel, "export", lambda self, *given: export(self.model_copy(update={"verify": False}), *given)
        )


@pytest.fixture
def asked_alone() -> None:
    """Exports are asked in a process of their own, as outside of tests."""


@pytest.fixture
def two_replicas() -> Any:
    """A `MirroredStrategy` over two logical CPUs."""
    from mtkit.backend import tf

    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) == 2
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., BuildContext]:
    """`make_context(name, tasks, classes)` makes the context of a component that reads no features."""

    def make(
        name: str = "part", tasks: Sequence[str] = ("a", "b", "c"), classes: Mapping[str, int] | None = None
    ) -> BuildContext:
        return BuildContext(
            name=name,
            tasks=tuple(tasks),
            features={},
            sizes={},
            candidates={},
            classes=classes or dict.fromkeys(tasks, 2),
            cache_dir=tmp_path,
            column=lambda _entity, _column: np.array([]),
        )

    return make


@pytest.fixture
def entry_point() -> Callable[[str, str], type[Spec]]:
    """`entry_point(group, name)` loads what an installed distribution offers."""

    def load(group: str, name: str) -> type[Spec]:
        (found,) = importlib.metadata.entry_points(group=group, name=name)
        loaded: type[Spec] = found.load()
        return loaded

    return load


@contextlib.contextmanager
def _tiny_plugin(site: Path) -> Iterator[None]:
    """Installs the data source `tiny_shop` for this process and those that it starts."""
    information = site / "tiny_shop-1.0.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Name: tiny-shop\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[mtkit.data_source]\ntiny_shop = tiny_shop:TinyShop\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.syspath_prepend(TESTS)
        patch.setenv("PYTHONPATH", str(site), prepend=":")
        patch.setenv("PYTHONPATH", str(TESTS), prepend=":")
        yield


def _tiny_file(directory: Path) -> Path:
    from tiny_shop import RECIPE

    path = directory / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def _train_tiny(recipe: Recipe, cache_dir: Path) -> Pipeline:
    """The pipeline of the test's cut, trained to the end."""
    from mtkit.data.catalogs import make_cuts
    from mtkit.model.assembly import assemble
    from mtkit.training.fit import Training

    dataset = recipe.data.source.load()
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(recipe, dataset, test, cache_dir=cache_dir)
    Training(pipeline).fit()
    return pipeline


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Iterator[Path]:
    """A recipe file of core components alone, on a made-up shop; while it is there, `tiny_shop` is installed."""
    with _tiny_plugin(tmp_path / "site"):
        yield _tiny_file(tmp_path)


@pytest.fixture
def train_tiny(tiny_recipe: Path, tmp_path: Path) -> Callable[..., Pipeline]:
    """`train_tiny(*sets, unsets=())` trains the tiny recipe with `--set` and `--unset` options."""
    return lambda *sets, unsets=(): _train_tiny(load_recipe(tiny_recipe, sets, unsets), tmp_path)


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The tiny recipe trained; shared by all tests, which leave it as it is."""
    directory = tmp_path_factory.mktemp("tiny")
    with _tiny_plugin(directory / "site"):
        return _train_tiny(load_recipe(_tiny_file(directory)), directory)


@pytest.fixture(scope="session")
def _tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mtkit.runs.run import run_recipe

    directory = tmp_path_factory.mktemp("tiny-run")
    with _tiny_plugin(directory / "site"):
        run_recipe(load_recipe(_tiny_file(directory)), directory / "run")
    return directory / "run"


@pytest.fixture
def tiny_run(tiny_recipe: Path, _tiny_run: Path) -> Path:  # noqa: ARG001 - keeps the plugin installed
    """The directory of a finished run of the tiny recipe; shared by all tests, which leave it as it is."""
    return _tiny_run
