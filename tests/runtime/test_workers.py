import json
import os

import pytest

from mtkit.backend import tf
from mtkit.errors import RunError, StrategyError
from mtkit.runtime.strategies import multi_worker, one_device
from mtkit.runtime.workers import together, worker_number

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


STEP = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "node[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}


@pytest.fixture
def step(monkeypatch):
    """The environment of the last of three tasks that `srun` starts on two machines."""
    monkeypatch.setenv("TF_CONFIG", "gone")
    monkeypatch.delenv("TF_CONFIG")
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_tasks_of_slurm_are_workers(step):
    step.setenv("MTKIT_PORT", "9000")
    assert worker_number("multi_worker") == 2
    assert json.loads(os.environ["TF_CONFIG"]) == {
        "cluster": {"worker": ["node07:9000", "node07:9001", "node08:9000"]},
        "task": {"type": "worker", "index": 2},
    }
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_config_that_is_given_counts_more_than_slurm(step):
    step.setenv("TF_CONFIG", json.dumps(GOOD | {"task": {"type": "chief", "index": 0}}))
    assert worker_number("multi_worker") == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SLURM_PROCID", "3", r"task.type: Input should be 'chief' or 'worker'"),
        ("SLURM_PROCID", "first", r"what Slurm says cannot be used: .*SLURM_PROCID='first'"),
        ("SLURM_STEP_NUM_TASKS", "4", r"what Slurm says cannot be used: Requested 4 tasks but only 3"),
        ("SLURM_STEP_NODELIST", "node[07", r"what Slurm says cannot be used: Invalid hostlist"),
        ("MTKIT_PORT", "http", r"MTKIT_PORT='http': expected the first port of workers"),
        ("MTKIT_PORT", "70000", r"MTKIT_PORT='70000': expected the first port of workers"),
    ],
)
def test_what_slurm_says_wrong_is_one_message(step, name, value, message):
    step.setenv(name, value)
    with pytest.raises(StrategyError, match=message):
        worker_number("multi_worker")
    assert "TF_CONFIG" not in os.environ or name == "SLURM_PROCID"


GONE = "Collective ops is aborted by: Error reported from /job:worker/task:1: stopped: /job:worker/replica:0/task:2"


def test_the_end_of_another_worker_is_one_message(monkeypatch):
    lost = tf.errors.UnavailableError(None, None, GONE)
    with pytest.raises(tf.errors.UnavailableError), together(one_device()):
        raise lost
    several = one_device()
    monkeypatch.setattr(type(several), "cluster_resolver", object())
    message = r"^another worker has ended, or cannot be reached: task:1, task:2; .* with --resume$"
    with pytest.raises(RunError, match=message), together(several):
        raise lost
    with pytest.raises(KeyError), together(several):
        raise KeyError
