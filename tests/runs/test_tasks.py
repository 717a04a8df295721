"""A report of three tasks, interrupted and continued, as a person and as a program see it."""

import io
import json
import signal

import pytest
from click.testing import CliRunner
from rich.console import Console

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.task_fits import Fits
from mtkit.runs.task_tables import TaskScreen
from mtkit.runs.tasks import report_tasks
from mtkit.testing.related_tasks import write_related_tasks
from mtkit.training.interrupt import Interrupted

TASKS = ["first", "second", "opposed"]
UNSETS = ["task.noise", "encoder.of_noise"]
SETS = [
    "train.epochs=2", "encoder.user.dim=4", "encoder.item.dim=4", *(f"encoder.of_{task}.dim=4" for task in TASKS),
    "correlation.experts={use='mmoe', experts=2, units=4, on=['user', 'item']}", "balance.use='uncertainty'",
]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The directory of a report of one seed that was stopped after three fits, what was printed, and what was done when."""
    path = tmp_path_factory.mktemp("tasks")
    recipe = load_recipe(write_related_tasks(path, 1.0, users=30, items=20, rows=1000), SETS, UNSETS)
    run, fitted = Fits.run, []

    def stopping(self, fit, report):
        if len(fitted) == 3:
            fitted.append("stop")
            raise Interrupted(signal.SIGINT)
        fitted.append(str(fit.role))
        return run(self, fit, report)

    text = io.StringIO()
    screen = TaskScreen(Console(file=text, width=80, highlight=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fits, "run", stopping)
        with pytest.raises(Interrupted):
            report_tasks(recipe, path / "out", seeds=1, screen=screen)
        found = report_tasks(recipe, path / "out", seeds=1, screen=screen)
    return path, fitted, text.getvalue(), found


def test_what_is_done_is_not_done_again(done):
    fits = ["joint", *(f"alone {task}" for task in TASKS), *(f"without {task}" for task in TASKS)]
    assert [role for role in done[1] if role != "stop"] == fits
    said = " ".join(done[2].split())
    assert "7 fits: 1 seed of all tasks together, of 3 alone, and without each of 3; 0 done before" in said
    assert "3 done before" in said


def test_tasks_json(done):
    path, _, _, found = done
    kept = json.loads((path / "out" / "tasks.json").read_text())
    assert kept.pop("format") == 1
    assert kept == json.loads(json.dumps(found))
    assert kept["affinity"]["tasks"] == kept["tasks"] == TASKS
    matrix = kept["affinity"]["matrix"]
    assert [[matrix[i][j] == 0 for j in range(3)] for i in range(3)] == [[i == j for j in range(3)] for i in range(3)]
    for one in kept["transfer"]:
        assert matrix[TASKS.index(one["from"])][TASKS.index(one["to"])] == one["relative"]
    for task, single in kept["single"].items():
        assert single["gain"] == pytest.approx(single["joint"][0] - single["alone"][0])
        assert kept["metrics"][task] == {"key": f"{task}/auc", "lower_is_better": False}
        assert {kind: len(curve[0]) for kind, curve in kept["curves"][task].items()} == {"joint": 2, "alone": 2}
        assert kept["curves"][task]["joint"][0][-1] == pytest.approx(single["joint"][0])
    relative = [single["relative"] for single in kept["single"].values()]
    assert kept["delta_m"]["gain"] == pytest.approx(sum(relative) / 3)
    assert [len(kept["weights"][task]) for task in TASKS] == [2, 2, 2]
    assert {tuple(one["tasks"]) for one in kept["gradients"]} == {
        (TASKS[0], TASKS[1]),
        (TASKS[0], TASKS[2]),
        (TASKS[1], TASKS[2]),
    }
    assert kept["gates"].keys() == {"experts/user", "experts/item"}
    assert len({fit["directory"] for fit in kept["fits"]}) == 7


def test_tables_fit_the_screen(done):
    lines = done[2].splitlines()
    assert max(map(len, lines)) <= 80
    for word in (
        "all others",
        "cut",
        "gate experts/user",
        "95 %",
        "One seed: chance of training is not in the intervals",
    ):
        assert word in done[2]


def test_the_command_reads_what_is_there(done):
    path = done[0]
    options = [
        *(f"--set={key}" for key in SETS),
        *(f"--unset={key}" for key in UNSETS),
        "--seeds=1",
        f"--run-dir={path / 'out'}",
    ]
    told = CliRunner().invoke(
        main, ["tasks", str(path / "related_tasks.toml"), *options, "--json"], catch_exceptions=False
    )
    assert json.loads(told.stdout)["verdicts"] == done[3]["verdicts"]
    some = CliRunner().invoke(
        main,
        ["tasks", str(path / "related_tasks.toml"), *options, "--tasks", "second", "--json"],
        catch_exceptions=False,
    )
    assert list(json.loads(some.stdout)["single"]) == ["second"]
    wrong = CliRunner().invoke(main, ["tasks", str(path / "related_tasks.toml"), *options, "--tasks", "secnd"])
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert "--tasks: secnd: the recipe has no such task; did you mean 'second'?" in wrong.stderr


def test_a_directory_of_something_else_is_refused(done, tmp_path):
    recipe = load_recipe(done[0] / "related_tasks.toml")
    (tmp_path / "recipe.lock.toml").write_text("")
    with pytest.raises(RunError, match="holds a run, and not fits of tasks; choose another with --run-dir"):
        report_tasks(recipe, tmp_path)
    with pytest.raises(RunError, match="the directory is not empty; choose another with --run-dir"):
        report_tasks(recipe, done[0])


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_verdicts_are_those_of_the_relations_that_were_made(tmp_path, strength):
    from mtkit.testing.related_tasks import expected_verdicts

    for seed in range(2):
        (folder := tmp_path / str(seed)).mkdir()
        recipe = load_recipe(write_related_tasks(folder, strength, seed), ["train.validation_rows=0"])
        found = report_tasks(recipe, folder / "tasks", seeds=2, quiet=True)
        assert {one["task"]: one["verdict"] for one in found["verdicts"]} == expected_verdicts(strength)


@pytest.mark.slow
def test_tasks_of_all_kinds(tiny_recipe, tmp_path):
    """A ranking of a catalog, tasks of other tables, and one that reads what another predicts, of which one is judged."""
    found = report_tasks(load_recipe(tiny_recipe), tmp_path / "out", ["gift"], seeds=1, quiet=True)
    assert [fit["role"] for fit in found["fits"]] == ["joint", "alone gift", "without next", "without discounted"]
    assert found["metrics"]["next"]["key"] == "next/ndcg@3"
    at = {tuple(one["tasks"]): one["at"] for one in found["gradients"]}
    assert at["discounted", "gift"] == "cut"
    assert at["next", "discounted"] == "parameters"
    matrix, tasks = found["affinity"]["matrix"], found["affinity"]["tasks"]
    measured = {
        (one, other)
        for i, one in enumerate(tasks)
        for j, other in enumerate(tasks)
        if i != j and matrix[i][j] is not None
    }
    assert measured == {("next", "gift"), ("discounted", "gift")}
    assert any(name.startswith("experts/") for name in found["gates"])
    assert found["weights"].keys() == {*tasks}
