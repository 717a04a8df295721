import functools
import io
import json
import shutil
from collections import Counter
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from rich.console import Console

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.recommend import Servant, show
from mtkit.runs.run import run_recipe

USER = "105"


@pytest.fixture
def dataset(tiny_run):
    return load_recipe(tiny_run / "recipe.lock.toml").data.source.load()


@pytest.fixture
def lines(dataset):
    """The user's lines in the data: (item, day)."""
    rows = dataset.interactions.to_pylist()
    return [(row["item"], datetime.fromtimestamp(row["time"], UTC).date()) for row in rows if str(row["user"]) == USER]


@functools.cache
def loaded(run):
    return Servant(run)


@pytest.fixture
def servant(tiny_run):
    return loaded(tiny_run)


@pytest.fixture
def invoke(monkeypatch):
    """`invoke(*arguments)` calls the command; a model that was loaded before is not loaded again."""
    monkeypatch.setattr("mtkit.runs.recommend.Servant", loaded)
    return lambda *arguments: CliRunner().invoke(main, ["recommend", *map(str, arguments)])


@pytest.mark.slow
def test_past_is_what_the_data_say(servant, lines, dataset):
    past = servant.past(USER)
    assert {item.item: item.times for item in past} == Counter(item for item, _ in lines)
    assert {item.item: item.last for item in past} == {item: max(d for i, d in lines if i == item) for item, _ in lines}
    assert [item.last for item in past] == sorted((item.last for item in past), reverse=True)
    texts = {row["id"]: row["text"] for row in dataset.entities["item"].to_pylist()}
    assert all(item.text == texts[item.item] for item in past)


def test_recommendations_say_what_was_seen(servant, lines):
    best = servant.recommend(USER, 40)
    assert len({item.item for item in best}) == 40
    assert [item.score for item in best] == sorted((item.score for item in best), reverse=True)
    assert {item.item for item in best if item.seen} == {item for item, _ in lines}
    assert servant.recommend(USER, 3) == best[:3]
    new = servant.recommend(USER, 3, exclude_seen=True)
    assert new == [item for item in best if not item.seen][:3]


def test_what_was_seen_is_left_out_by_the_export(servant, lines, monkeypatch):
    asked = []
    ask = servant._ask
    monkeypatch.setattr(
        servant, "_ask", lambda name, user, **given: asked.append((name, given)) or ask(name, user, **given)
    )
    assert len(servant.recommend(USER, 3, exclude_seen=True)) == 3
    _, (_, given) = asked
    assert int(given["k"]) == 3
    assert {item.decode() for item in given["exclude_ids"].numpy()[0]} == {item for item, _ in lines}


def test_the_command_prints_tables(tiny_run, servant, invoke, lines):
    result = invoke(tiny_run, "--user", USER, "-k", 4)
    assert result.exit_code == 0
    assert f"items in the past of {USER}" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    best = servant.recommend(USER, 4)
    after = result.output.split(f"Recommended to {USER}")[1]
    for item in best:
        assert item.item in after
        assert item.text in after
        assert f"{item.score:.3f}" in after
        times = sum(line[0] == item.item for line in lines)
        assert (
            (f"{times}x, {max(day for name, day in lines if name == item.item)}" in after) if item.seen else not times
        )


def test_long_texts_stay_in_their_line(servant, monkeypatch):
    monkeypatch.setattr(servant, "_texts", dict.fromkeys(servant._texts, "a long text with [brackets] " * 10))
    output = io.StringIO()
    show(USER, servant.recommend(USER, 3), servant.past(USER), Console(file=output, width=80))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("a long text with [brackets]" in line for line in lines) == 13
    assert all(str(item.last) in output.getvalue() for item in servant.past(USER)[:10])


def test_json(tiny_run, servant, invoke):
    result = invoke(tiny_run, "--user", USER, "-k", 2, "--exclude-seen", "--json")
    said = json.loads(result.stdout)
    assert said["format"] == 1
    assert said["known"] is True
    assert said["recommendations"] == [vars(item) for item in servant.recommend(USER, 2, exclude_seen=True)]
    assert [item["item"] for item in said["past"]] == [item.item for item in servant.past(USER)]
    assert not any(item["seen"] for item in said["recommendations"])


def test_unknown_users_are_told_apart(tiny_run, invoke):
    result = invoke(tiny_run, "--user", "nobody", "-k", 2)
    assert result.exit_code == 0
    assert "nobody is not in the data; what follows is what an unknown person gets" in result.stderr
    assert "in the past of" not in result.output
    said = json.loads(invoke(tiny_run, "--user", "nobody", "-k", 2, "--json").stdout)
    assert said["known"] is False
    assert said["past"] == []
    assert len(said["recommendations"]) == 2


def test_more_than_there_is(tiny_run, invoke):
    said = json.loads(invoke(tiny_run, "--user", USER, "-k", 10**12, "--json").stdout)
    assert len(said["recommendations"]) == 40


def test_ids_that_are_no_text(tiny_run, invoke):
    result = invoke(tiny_run, "--user", "10\udcff5")
    assert result.exit_code == 2
    assert result.stderr == r"the user '10\udcff5' is no text in UTF-8, as ids in the data are" + "\n"


def test_places_that_are_no_run(tiny_run, tmp_path, invoke):
    result = invoke(tmp_path / "nowhere", "--user", USER)
    assert result.exit_code == 2
    assert result.stderr == (
        f"{tmp_path / 'nowhere'}: there is no such directory; name the run directory of a finished mtkit run\n"
    )
    result = invoke(tiny_run / "export", "--user", USER)
    assert result.exit_code == 2
    assert "no run here: there is no recipe.lock.toml" in result.stderr
    shutil.copytree(tiny_run, tmp_path / "seeds" / "seed-1")
    assert f"name one of them: {tmp_path / 'seeds' / 'seed-1'}" in invoke(tmp_path / "seeds", "--user", USER).stderr
    shutil.rmtree(tmp_path / "seeds" / "seed-1" / "export")
    with pytest.raises(
        RunError, match="no exported model; finish the run with mtkit run --resume, or run mtkit export"
    ):
        Servant(tmp_path / "seeds" / "seed-1")


def test_other_exports_cannot_be_asked(tiny_run, tmp_path):
    (tmp_path / "export" / "1").mkdir(parents=True)
    (tmp_path / "recipe.lock.toml").write_text((tiny_run / "recipe.lock.toml").read_text())
    with pytest.raises(RunError, match=r"export/1 is no SavedModel, so it cannot be asked"):
        Servant(tmp_path)


DAMAGE = {
    "export/1/saved_model.pb": r"is (damaged: .*|missing); mtkit export .* writes another",
    "export/1/variables/variables.index": r"is (damaged: .*|missing); mtkit export .* writes another",
    "export/1/variables/variables.data-00000-of-00001": r"is (damaged: .*|missing); mtkit export .* writes another",
    "entities/test-user.parquet": r"test-user\.parquet: is (damaged: .*|missing); remove ",
    "entities/test-item.parquet": r"test-item\.parquet: is (damaged: .*|missing); remove ",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_named(tiny_run, tmp_path, name):
    shutil.copytree(tiny_run, tmp_path / "run")
    path = tmp_path / "run" / name
    for content in (path.read_bytes()[:-100], b"", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(
            RunError, match=DAMAGE[name] if path.exists() or path.suffix != ".pb" else "is no SavedModel"
        ):
            Servant(tmp_path / "run")


LISTS = (
    'recommend={candidates = 9, utility = {discounted = 1}, diversity = 0.2, filters = ["color"]}',
    "train.epochs=1",
    "evaluate.slices=[]",
    'evaluate.baselines=["popularity"]',
)


@pytest.fixture
def run_of_lists(tiny_recipe, tmp_path):
    run_recipe(load_recipe(tiny_recipe, LISTS), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_measures_its_lists_and_serves_them(run_of_lists):
    run = run_of_lists
    results = json.loads((run / "metrics.json").read_text("utf-8"))
    keys = {f"next/recommend/{name}@{k}" for name in ("ndcg", "recall", "coverage", "diversity") for k in (3, 10)}
    for phase in (results["test"], results["baselines"]["retrieval"], results["valid"]["model"]):
        assert keys <= set(phase)
    assert set(results["baselines"]["retrieval"]) == keys
    assert "next/recommend/ndcg@3" in results["intervals"]["test"]
    locked = load_recipe(run / "recipe.lock.toml")
    assert dict(locked.recommend.utility) == {"discounted": 1}
    assert locked.recommend.filters == ("color",)

    again = CliRunner().invoke(main, ["evaluate", str(run)])
    assert json.loads(again.stdout)["test"] == pytest.approx(results["test"], abs=1e-6)

    def asked(*options):
        return CliRunner().invoke(main, ["recommend", str(run), "--user", "105", *options])

    said = json.loads(asked("--json").stdout)["recommendations"]
    assert len(said) == 9
    red = json.loads(asked("--json", "--filter", "color=red", "--filter", "color=blue").stdout)["recommendations"]
    assert {item["text"].split()[0] for item in red} == {"red", "blue"}
    wrong = asked("--filter", "town=a")
    assert wrong.exit_code == 2
    assert "filters by no column 'town'; known: color" in wrong.stderr
    assert asked("--filter", "color").exit_code == 2
