import json

import pytest

from mtkit.errors import DataError, DeclarationError, WiringError
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


def test_learned_edges_are_of_all_pairs(make_context):
    check_spec(TaskGraph(edges="learned"))
    config = TaskGraph(edges="learned").build(make_context("graph")).get_config()
    assert (config["learned"], config["affinity"], len(config["edges"])) == (True, None, 6)
    assert TaskGraph(edges="learned").among(["a"]) == TaskGraph(edges="learned")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edges": "learned", "conv": "gat_v2"}, 'edges = "learned" is for conv = "gcn"'),
        ({"affinity": "tasks.json"}, 'set edges = "learned" with it'),
    ],
)
def test_refuses_what_does_not_go_together(options, message):
    with pytest.raises(DeclarationError, match=message):
        TaskGraph(**options)


def test_learned_edges_begin_by_a_measured_affinity(make_context, tmp_path):
    """Of the tasks that there are, in their order; what was not measured is 0."""
    path = tmp_path / "tasks.json"
    matrix = [[0.0, 0.5, None, 0.1], [-0.2, 0.0, 0.3, 0.0], [0.4, 1, 0.0, 0.2], [0.6, 0.7, 0.8, 0.0]]
    path.write_text(json.dumps({"recipe": "shop", "affinity": {"tasks": ["c", "a", "x", "b"], "matrix": matrix}}))
    spec = TaskGraph(edges="learned", affinity=path)
    check_spec(spec)
    assert spec.files == (path,)
    assert spec.build(make_context()).get_config()["affinity"] == [[0.0, 0.0, -0.2], [0.7, 0.0, 0.6], [0.5, 0.1, 0.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"tasks\.json: cannot be read \(No such file or directory\)"),
        ("{", r"tasks\.json: is no JSON"),
        ("[1]", "has no affinity with tasks and matrix"),
        ('{"affinity": {"tasks": ["a"]}}', "has no affinity with tasks and matrix"),
        ('{"affinity": {"tasks": ["a", "a"], "matrix": []}}', "expected names of tasks, each once"),
        ('{"affinity": {"tasks": ["a", "b"], "matrix": [[0, 1]]}}', "expected 2 rows of 2 numbers"),
        ('{"affinity": {"tasks": ["a", "b"], "matrix": [[0, 1], [NaN, 0]]}}', "expected 2 rows of 2 numbers"),
        ('{"affinity": {"tasks": ["a", "b"], "matrix": [[0, true], [1, 0]]}}', "expected 2 rows of 2 numbers"),
        ('{"affinity": {"tasks": ["a", "b"], "matrix": [[0, 1], [1, 0]]}}', "affinity has no task 'c'"),
    ],
)
def test_refuses_a_file_that_is_no_affinity(make_context, tmp_path, content, message):
    path = tmp_path / "tasks.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        TaskGraph(edges="learned", affinity=path).build(make_context())
