import pytest

from mtkit.errors import WiringError
from mtkit.testing import check_import_is_light, check_spec
from mtkit_tfgnn import TaskGraph


@pytest.mark.parametrize("edges", ["complete", "none", (("a", "b"), ("c", "b"))])
def test_spec(edges):
    check_spec(TaskGraph(edges=edges, conv="gat_v2", heads=2, layers=2, residual=False))


def test_entry_point(entry_point):
    assert entry_point("mtkit.correlation", "task_graph") is TaskGraph


@pytest.mark.parametrize(
    ("edges", "pairs"),
    [
        ("complete", [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]),
        ("none", []),
        ((("c", "b"), ("a", "b"), ("c", "b")), [[0, 1], [2, 1]]),
    ],
)
def test_edges_become_pairs_of_task_numbers(edges, pairs, make_context):
    config = TaskGraph(edges=edges).build(make_context("graph")).get_config()
    assert (config["edges"], config["tasks"], config["name"]) == (pairs, 3, "graph")


def test_options_arrive_in_the_layer(make_context):
    options = {"conv": "gat_v2", "heads": 2, "layers": 3, "activation": "gelu", "residual": False}
    config = TaskGraph(**options).build(make_context()).get_config()
    assert {key: config[key] for key in options} == options


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (("next", "copon"), r"correlation\.graph: edges: no task 'copon' in edge \['next', 'copon'\]; .*'coupon'"),
        (("next", "next"), r"edge \['next', 'next'\] joins a task with itself"),
    ],
)
def test_refuses_edges_that_join_no_two_tasks(edge, message, make_context):
    with pytest.raises(WiringError, match=message):
        TaskGraph(edges=(edge,)).build(make_context("graph", tasks=("next", "coupon")))


def test_import_is_light():
    check_import_is_light("mtkit_tfgnn")


def test_among_fewer_tasks_the_edges_between_them_are_left():
    graph = TaskGraph(edges=[["a", "b"], ["b", "c"]], layers=2)
    assert graph.among(["a", "b"]) == TaskGraph(edges=[["a", "b"]], layers=2)
    assert graph.among(["a", "c"]) == TaskGraph(edges="none", layers=2)
    assert TaskGraph(edges="complete").among(["a"]) == TaskGraph(edges="complete")
