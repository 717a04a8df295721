import pytest

from mtkit.errors import StrategyError
from mtkit.runtime.strategies import check_replicas, mirrored, one_device
from mtkit.spec import Encoder


class Local(Encoder):
    """An encoder that looks at the rows of its replica together."""

    replicable = False


def test_parts_that_cannot_be_replicated_say_so(two_replicas):
    parts = {"encoder.a": Local(reads=("user.id",)), "encoder.b": Encoder(reads=("user.id",))}
    check_replicas(one_device(), parts)
    check_replicas(two_replicas, {"encoder.b": parts["encoder.b"]})
    with pytest.raises(
        StrategyError, match=r"train.strategy: encoder.a cannot train on several replicas, and this .* 2"
    ):
        check_replicas(two_replicas, parts)


def test_the_split_of_the_cpu_comes_first(two_replicas, monkeypatch):
    monkeypatch.setenv("MTKIT_CPU_DEVICES", "2")
    assert mirrored().num_replicas_in_sync == two_replicas.num_replicas_in_sync
    monkeypatch.setenv("MTKIT_CPU_DEVICES", "3")
    with pytest.raises(StrategyError, match=r"MTKIT_CPU_DEVICES=3: TensorFlow has started with 2 CPU device"):
        mirrored()
    monkeypatch.setenv("MTKIT_CPU_DEVICES", "many")
    with pytest.raises(StrategyError, match=r"MTKIT_CPU_DEVICES='many': expected a number of devices"):
        mirrored()
