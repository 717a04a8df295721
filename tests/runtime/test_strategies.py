import json

import pytest

from mtkit.errors import StrategyError
from mtkit.runtime.strategies import check_replicas, mirrored, multi_worker, one_device, worker_number
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


GOOD = {"cluster": {"chief": ["a:1"], "worker": ["b:2", "b:3"]}, "task": {"type": "worker", "index": 1}}


def test_the_chief_is_the_first_worker(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(GOOD))
    assert (worker_number("multi_worker"), worker_number("auto")) == (2, 0)
    monkeypatch.setenv("TF_CONFIG", json.dumps(GOOD | {"task": {"type": "chief", "index": 0}}))
    assert worker_number("multi_worker") == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "Invalid JSON"),
        ("{'cluster': 1}", "Invalid JSON"),
        ("[1]", "Input should be an object"),
        ({}, "cluster: Field required"),
        (GOOD | {"cluster": {}}, "the task is worker 1, but the cluster has 0 of this type"),
        ({"cluster": GOOD["cluster"]}, "task: Field required"),
        (GOOD | {"cluster": ["a:1"]}, "cluster: Input should be an object"),
        (GOOD | {"cluster": {"worker": "a:1"}}, "cluster.worker: Input should be a valid array"),
        (GOOD | {"cluster": {"worker": ["nowhere"]}}, "cluster.worker.0: String should match"),
        (GOOD | {"cluster": {"worker": []}}, "cluster.worker: .*at least 1 item"),
        (GOOD | {"cluster": {"worker": ["a:1", "a:1"]}}, "the cluster has a:1 twice"),
        (GOOD | {"cluster": {"ps": ["a:1"]}}, "Input should be 'chief' or 'worker'"),
        (GOOD | {"task": "worker"}, "task: Input should be a"),
        (GOOD | {"task": {"type": "worker"}}, "task.index: Field required"),
        (GOOD | {"task": {"type": "ps", "index": 0}}, "task.type: Input should be 'chief' or 'worker'"),
        (GOOD | {"task": {"type": "worker", "index": 2}}, "the task is worker 2, but the cluster has 2 of this type"),
        (GOOD | {"task": {"type": "worker", "index": -1}}, "task.index: Input should be greater than or equal to 0"),
        (GOOD | {"task": {"type": "worker", "index": "one"}}, "task.index: Input should be a valid integer"),
    ],
)
def test_a_malformed_tf_config_is_one_message(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    for use in (multi_worker, lambda: worker_number("multi_worker")):
        with pytest.raises(
            StrategyError, match=rf"^strategy multi_worker: expected TF_CONFIG to say .*; .*({message})"
        ):
            use()


def test_several_workers_need_to_know_one_another(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(StrategyError, match="strategy multi_worker: expected TF_CONFIG to say which processes"):
        multi_worker()
