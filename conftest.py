"""What the tests of the core and of the plugins share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtkit.spec import BuildContext, Spec


def pytest_collection_finish(session: pytest.Session) -> None:
    """Splits the CPU into two devices if a test needs replicas: TensorFlow takes that only before it runs anything."""
    if any("two_replicas" in getattr(item, "fixturenames", ()) for item in session.items):
        from mtkit.backend import tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        except RuntimeError as error:
            raise pytest.UsageError("a test module makes tensors at import; make them in its tests") from error


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
