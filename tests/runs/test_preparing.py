import dataclasses

import hard_log
import numpy as np
import pytest

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.row_tables import rows_of
from mtkit.errors import DataError, RecipeError
from mtkit.model.assembly import assemble
from mtkit.recipe.alone import alone
from mtkit.recipe.loader import load_recipe
from mtkit.runs.console import Reporter
from mtkit.runs.preparing import prepare
from mtkit.training.fit import Training
from mtkit.types import Ragged, Shared


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory):
    return hard_log.write(tmp_path_factory.mktemp("hard"))


@pytest.fixture(scope="module")
def prepared(recipe_path):
    directory = recipe_path.parent / "prepared"
    prepare(load_recipe(recipe_path), directory, Reporter(verbosity=-1))
    return directory


def assert_same(found, expected, where=""):
    """The same arrays to the bit, in whatever containers."""
    assert dataclasses.is_dataclass(found) == dataclasses.is_dataclass(expected), where
    if isinstance(expected, np.ndarray) and expected.dtype == object:
        assert found.tolist() == expected.tolist(), where
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    elif isinstance(expected, Ragged | Shared):
        assert_same(vars(found), vars(expected), where)
    elif isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name, values in expected.items():
            assert_same(found[name], values, f"{where}.{name}")
    else:
        assert found == expected, where


def assert_same_rows(found, expected, *, notes=True):
    """The same folds and row tables."""
    (fold, tables), (other, others) = found, expected
    assert (fold.name, fold.fit, fold.cut, fold.end, fold.dropped) == (
        other.name,
        other.fit,
        other.cut,
        other.end,
        other.dropped,
    )
    for name, entity in other.entities.items():
        assert_same(fold.entities[name].ids, entity.ids, name)
        assert fold.entities[name].columns.to_pylist() == entity.columns.to_pylist()
    names = ("ids", "time", "group", "offsets", "weight")
    for name in names:
        assert_same(getattr(fold.events, name), getattr(other.events, name), f"events.{name}")
    assert fold.events.columns.to_pylist() == other.events.columns.to_pylist()
    for name, parts in others.items():
        for part, table in parts.items():
            for field in (
                dataclasses.fields(table) if notes else (f for f in dataclasses.fields(table) if f.name != "note")
            ):
                value = getattr(tables[name][part], field.name)
                value = dict(value) if field.name == "context" else value
                assert_same(value, getattr(table, field.name), f"{name}.{part}.{field.name}")


@pytest.mark.parametrize("number", [0, 1])
def test_prepared_rows_are_those_of_memory(recipe_path, prepared, number):
    made, read = (_rows(load_recipe(recipe_path, sets), number) for sets in ((), (f'data.prepared="{prepared}"',)))
    assert_same_rows(read, made)
    assert read[1]["lines"]["train"].time.base is not None  # mapped


def _rows(recipe, number):
    dataset = load(recipe.data.source)
    return rows_of(recipe, dataset, make_cuts(dataset, recipe.data.split)[number], model=False)


def _trained(path, *sets, checkpoints=None, stop=None):
    recipe = alone(load_recipe(path, [*sets, "train.steps_per_epoch=12"]), "returns")
    dataset = load(recipe.data.source)
    training = Training(assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[0]), checkpoints)
    training.restore()
    if stop:
        training._fit(1, stop, [], _Signals())
        training.save()
    else:
        training.fit()
    return {weight.name: weight.numpy() for weight in training.pipeline.model.weights}


class _Signals:
    """Nobody wishes to stop."""

    asked = None

    def __getattr__(self, name):
        return lambda *_: None


def test_training_from_files_is_that_from_memory(recipe_path, prepared, tmp_path, monkeypatch):
    in_memory = _trained(recipe_path)
    setting = f'data.prepared="{prepared}"'
    monkeypatch.setattr("mtkit.model.assembly.LOG_ON_DEVICE", 0)
    _trained(recipe_path, setting, checkpoints=tmp_path, stop=3)
    assert_same(_trained(recipe_path, setting, checkpoints=tmp_path), in_memory)


def test_what_is_missing_or_damaged_is_named_and_made_anew(recipe_path, tmp_path, capsys):
    recipe = load_recipe(recipe_path)
    prepare(recipe, tmp_path, Reporter(verbosity=-1))
    again = load_recipe(recipe_path, [f'data.prepared="{tmp_path}"'])
    file = min((tmp_path / "valid/rows/lines-train").glob("*.npy"))
    whole = file.read_bytes()
    other = min((tmp_path / "test/log").glob("*.arrow"))
    file.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=f"{file.name}: has .* bytes"):
        _rows(again, 0)
    file.unlink()
    with pytest.raises(DataError, match=f"{file.name}: is missing"):
        _rows(again, 0)
    untouched = {path: path.stat().st_mtime_ns for path in (tmp_path / "valid/log").iterdir()}
    other.write_bytes(other.read_bytes()[:-8] + b"damaged!")
    capsys.readouterr()
    prepare(recipe, tmp_path, Reporter(verbosity=-1))
    said = capsys.readouterr().out.replace("\n", " ")
    assert "is missing" in said
    assert "is not what was written" in said
    assert file.read_bytes() == whole
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "valid/log").iterdir()} == untouched
    assert_same_rows(_rows(again, 1), _rows(recipe, 1))


def test_other_recipes_are_told_what_differs(recipe_path, prepared, tmp_path):
    setting = f'data.prepared="{prepared}"'
    with pytest.raises(DataError, match=r"differs in rows.lines; prepare"):
        _rows(load_recipe(recipe_path, [setting, 'rows.lines.since="50d"']), 0)
    _rows(load_recipe(recipe_path, [setting, "rows.lines.batch_size=4", "encoder.visit.dim=8", "train.epochs=9"]), 0)
    (tmp_path / "begun.json").write_text('{"engine": "memory", "fits": {}, "fingerprint": ""}')
    with pytest.raises(DataError, match="begun before, and it was another recipe"):
        prepare(load_recipe(recipe_path), tmp_path, Reporter(verbosity=-1))
    with pytest.raises(DataError, match="no prepared data"):
        load(load_recipe(recipe_path, [f'data.prepared="{tmp_path / "none"}"']).data.source)


@pytest.mark.parametrize(
    "changed", [{}, {"rows.windows.eval_sample": 9, "rows.lines.sample": 100}], ids=["all", "some"]
)
def test_rows_made_by_parts_are_those_of_memory(recipe_path, tmp_path, monkeypatch, changed):
    monkeypatch.setattr("mtkit.data.out_of_core.PIECE", 150)
    monkeypatch.setattr("mtkit.runs.preparing.rows_within", lambda _: 200)
    sets = [f"{key}={value}" for key, value in changed.items()]
    recipe = load_recipe(recipe_path, sets)
    prepare(recipe, tmp_path, Reporter(verbosity=-1), "arrow")
    again = load_recipe(recipe_path, [*sets, f'data.prepared="{tmp_path}"'])
    for number in (0, 1):
        found, expected = _rows(again, number), _rows(recipe, number)
        assert_same_rows(found, expected, notes=False)
        for name, parts in expected[1].items():
            for part, table in parts.items():
                clauses = found[1][name][part].note.split("; ")
                assert changed or set(clauses) <= set(table.note.split("; ")), (name, part)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"prepared.json", "tables", "valid", "test"}


def test_what_takes_all_interactions_is_refused_by_parts(recipe_path, tmp_path):
    sets = ['data.catalog.user.unlisted="unknown"', 'task.next.use="gated_retrieval"', 'task.next.query=["past"]']
    with pytest.raises(RecipeError) as refused:
        prepare(load_recipe(recipe_path, sets), tmp_path / "a", Reporter(verbosity=-1), "arrow")
    assert "data.catalog.user.unlisted: ids of no catalog get rows, which takes all" in str(refused.value)
    assert "rows.windows: a task reads how popular items were" in str(refused.value)
    with pytest.raises(DataError, match=r"--memory 1: expected 1.5 GB at least"):
        prepare(load_recipe(recipe_path), tmp_path / "b", Reporter(verbosity=-1), "arrow", 1.0)
    assert not list(tmp_path.iterdir())
