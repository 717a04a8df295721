import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy.stats import ttest_rel

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.evaluation.user_sums import UserSums, to_table
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.runs.directory import RunDirectory, write_table
from mtkit.runs.run_comparison import compare_runs, recipe_differences


@pytest.fixture
def copy(tiny_run, tmp_path):
    """`copy(name, gain, *replaced)` makes a run whose users have some more of every metric, and other words in its lock."""

    def make(name, gain=0.0, *replaced, spread=0.01):
        path = tmp_path / name
        path.mkdir(parents=True)
        shutil.copy(tiny_run / "data.json", path)
        lock = (tiny_run / "recipe.lock.toml").read_text()
        for old, new in replaced:
            assert old in lock
            lock = lock.replace(old, new)
        (path / "recipe.lock.toml").write_text(lock)
        sums = RunDirectory(tiny_run).read_sums()
        generator = np.random.default_rng(len(name))
        for part in sums["model"].values():
            for key, total in part.totals.items():
                part.totals[key] = total + part.weights[key] * (gain + spread * generator.standard_normal(len(total)))
        write_table(path / "per_user.parquet", to_table(sums))
        return path

    return make


def test_a_run_keeps_what_its_values_are_made_of(tiny_run):
    results = json.loads((tiny_run / "metrics.json").read_text())
    sums = RunDirectory(tiny_run).read_sums()
    assert sums.keys() == {"model", "popularity", "own_frequency", "majority"}
    for name, parts in sums.items():
        values = results["test"] if name == "model" else results["baselines"][name]
        bounds = results["intervals"]["test"] if name == "model" else results["intervals"]["baselines"][name]
        found = {
            f"{path}{key}": total.sum() / part.weights[key].sum()
            for path, part in parts.items()
            for key, total in part.totals.items()
        }
        assert found.keys() == {key for key, value in values.items() if value is not None} == bounds.keys()
        for key, value in found.items():
            assert value == pytest.approx(values[key], abs=1e-6)
            assert bounds[key][0] <= value + 1e-9
            assert value <= bounds[key][1] + 1e-9
    tasks, new = {"next", "discounted", "gift", "department"}, {"next/new", "discounted/new", "gift/new"}
    assert results["counts"].keys() == tasks | new
    assert results["counts"]["next"] == sums["model"]["next/"].rows.sum()


def test_each_later_run_is_compared_with_the_first(copy):
    paths = [copy("one"), copy("other", 0.1), copy("third")]
    verdicts = compare_runs(paths)
    assert {(v.first, v.second) for v in verdicts} == {(str(paths[0]), str(paths[1])), (str(paths[0]), str(paths[2]))}
    assert {v.word for v in verdicts if v.second == str(paths[1])} == {"better"}
    assert {v.word for v in verdicts if v.second == str(paths[2])} == {""}
    one, two = (RunDirectory(path).read_sums()["model"]["next/"] for path in paths[:2])
    found = next(v for v in verdicts if v.difference.key == "next/ndcg@3").difference
    assert found.p == pytest.approx(ttest_rel(one.totals["ndcg@3"], two.totals["ndcg@3"]).pvalue)
    assert found.values[1] == pytest.approx(two.totals["ndcg@3"].mean())


def test_fewer_questions_are_sharper(copy):
    paths = [copy("one"), copy("other", 0.02, spread=0.05)]
    many = {v.difference.key: v for v in compare_runs(paths)}
    (one,) = compare_runs(paths, ["next/recall@3"])
    assert one.p == one.difference.p == many["next/recall@3"].difference.p < many["next/recall@3"].p
    with pytest.raises(RunError, match=r"no metric that both have per user is called 'next/recal@3'; did you mean"):
        compare_runs(paths, ["next/recal@3"])


def test_less_of_a_loss_is_better(copy):
    words = ('use = "accuracy"', 'use = "log_loss"')
    paths = [copy("one", 0.0, words), copy("other", 0.1, words)]
    for path in paths:
        sums = RunDirectory(path).read_sums()
        gift = sums["model"]["gift/"]
        losses = UserSums(
            gift.entity, gift.users, gift.rows, {"log_loss": gift.totals["accuracy"]}, {"log_loss": gift.rows}
        )
        write_table(path / "per_user.parquet", to_table({"model": {"gift/": losses}}))
    assert [v.word for v in compare_runs(paths)] == ["worse"]
    assert [v.word for v in compare_runs(paths[::-1])] == ["better"]


def test_seeds_count_as_their_mean_per_user(copy, tmp_path):
    single = copy("single")
    for seed, gain in ((1, 0.0), (2, 0.2)):
        copy(f"seeds/seed-{seed}", gain, ("seed = 1", f"seed = {seed}"), spread=0)
    verdicts = compare_runs([single, tmp_path / "seeds"])
    assert all(v.difference.difference == pytest.approx(0.1, abs=0.02) for v in verdicts)


def test_one_run_is_compared_with_its_baselines(tiny_run):
    verdicts = compare_runs([tiny_run])
    assert {(v.first, v.second) for v in verdicts} == {
        (name, str(tiny_run)) for name in ("popularity", "own_frequency", "majority")
    }
    assert {v.difference.key.split("/")[0] for v in verdicts if v.first == "majority"} == {
        "discounted",
        "gift",
        "department",
    }


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            ("2024-08-01", "2024-08-02"),
            r"cannot be compared: data.split is Time\(.*run one of them again",
        ),
        (
            ("[data.split]\n", "[data.catalog.user]\nmin_count = 2\n[data.split]\n"),
            r"data.catalog is \{.*\} in the one and \{.*user = \{min_count = 2, unlisted = \"refuse\"\}.*\} in the other; run",
        ),
        (("cold = 5", "cold = 6"), "evaluate.cold is 5 in the one and 6 in the other"),
    ],
)
def test_runs_under_other_protocols_are_refused(copy, replaced, message):
    with pytest.raises(RunError, match=message):
        compare_runs([copy("one"), copy("other", 0.0, replaced)])


def test_other_data_and_other_users_are_refused(copy):
    one, other = copy("one"), copy("other")
    (other / "data.json").write_text('{"format": 1, "fingerprint": "x", "files": {}}')
    with pytest.raises(RunError, match=r"data is '.*' in the one and 'x' in the other"):
        compare_runs([one, other])
    fewer = copy("fewer")
    table = pq.read_table(fewer / "per_user.parquet")
    write_table(fewer / "per_user.parquet", table.filter(np.array(table["user"].to_pylist()) != "110"))
    with pytest.raises(RunError, match=r"next was measured on \d+ rows of \d+ users in the one and on \d+ rows"):
        compare_runs([one, fewer])


def test_what_is_no_finished_run_is_refused(copy, tmp_path):
    with pytest.raises(RunError, match=r"no run here: there is no recipe\.lock\.toml; name the run directory"):
        compare_runs([tmp_path])
    unfinished = copy("unfinished")
    (unfinished / "per_user.parquet").unlink()
    with pytest.raises(RunError, match=r"per_user.parquet: is missing; finish it with mtkit run --resume"):
        compare_runs([unfinished])
    for fold in (1, 2):
        copy(f"folds/fold-{fold}")
    with pytest.raises(RunError, match="holds folds, each with rows of its own; compare them one by one"):
        compare_runs([tmp_path / "folds"])


@pytest.mark.parametrize("columns", [60, 80])
def test_the_command_fits_the_terminal(copy, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    done = CliRunner().invoke(main, ["compare", str(copy("one")), str(copy("other", 0.1)), "--metric", "next/ndcg@3"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    row = next(line for line in lines if line.startswith("next/ndcg@3"))
    assert row.endswith("better")
    assert len(row) <= columns
    assert ("95 %" in done.output) == (columns == 80)
    assert "1 comparison." in " ".join(" ".join(lines).split())


def test_the_command_prints_json_and_mistakes(copy):
    one, other = str(copy("one")), str(copy("other", 0.1))
    done = CliRunner().invoke(main, ["compare", one, other, "--metric", "next/ndcg@3", "--json"])
    (found,) = json.loads(done.output)["comparisons"]
    assert found["verdict"] == "better"
    assert found["difference"] == pytest.approx(0.1, abs=0.01)
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    done = CliRunner().invoke(main, ["compare", one, "nowhere"])
    assert done.exit_code == 2
    assert done.output.startswith("nowhere: there is no such directory; name the run directory")


def test_how_large_a_difference_is_stands_beside_it(copy, monkeypatch):
    paths = [copy("one"), copy("other", 0.1)]
    one, two = (RunDirectory(path).read_sums()["model"]["next/"].totals["ndcg@3"] for path in paths)
    done = CliRunner().invoke(main, ["compare", *map(str, paths), "--metric", "next/ndcg@3", "--json"])
    (found,) = json.loads(done.output)["comparisons"]
    assert found["relative"] == pytest.approx(found["difference"] / found["values"][0])
    assert found["effect"] == pytest.approx((two - one).mean() / (two - one).std(ddof=1))
    assert 0 < found["detectable"] < found["difference"]
    for width, wide in ((79, False), (100, True)):
        monkeypatch.setenv("COLUMNS", str(width))
        said = CliRunner().invoke(main, ["compare", *map(str, paths), "--metric", "next/ndcg@3"]).output
        assert (f"{found['effect']:+.2f}" in said and f"{found['relative']:+.1%}" in said) is wide
        assert max(map(len, said.splitlines())) <= width


def test_what_differs_between_recipes(tiny_recipe, tmp_path):
    changed = ["task.next.weight=0.5", 'evaluate.baselines=["popularity", {use="own_recency", half_life=7}]', "seed=9"]
    for name, sets in (("a", []), ("b", changed)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.lock.toml").write_text(lock(load_recipe(tiny_recipe, sets), tmp_path / name))
    found = {key: (one, two) for key, one, two in recipe_differences(tmp_path / "a", tmp_path / "b")}
    assert found["task.next.weight"] == (1.0, 0.5)
    assert found["seed"] == (1, 9)
    assert found["evaluate.baselines.own_recency.half_life"] == (None, 7.0)
    assert "evaluate.baselines.popularity" not in found
    assert not [key for key in found if key.startswith(("encoder", "rows", "data"))]
    assert recipe_differences(tmp_path / "a", tmp_path / "a") == []
