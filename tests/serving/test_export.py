"""The files of an export: whole or not there, loadable without mtkit and without Python."""

import importlib.util
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from bare import ask_bare

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RunError
from mtkit.files import versions
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save

ROOT = Path(__file__).parents[2]
QUESTIONS = {
    "serving_default": {"user_id": ["101", "nobody"]},
    "embed_item": {"item_id": ["p01", "p02"]},
    "rank": {"user_id": ["101"], "item_id": ["p03"], "context_channel": ["web"], "context_hour": [12.0]},
    "department_new_item": {"item_color": ["red"], "item_weight": [0.7]},
}


@pytest.fixture(scope="module")
def version(tiny_pipeline, tmp_path_factory):
    return save(tiny_pipeline, tmp_path_factory.mktemp("export"))


def answers_of(version, questions):
    signatures = tf.saved_model.load(str(version)).signatures
    answers = {}
    for name, inputs in questions.items():
        specs = signatures[name].structured_input_signature[1]
        given = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        answers[name] = {key: value.numpy().astype(str).tolist() for key, value in signatures[name](**given).items()}
    return answers


def test_loads_with_tensorflow_alone(version):
    result = ask_bare(version, QUESTIONS)
    assert result["foreign"] == []
    assert set(result["ops"]) <= set(result["core"])
    assert result["answers"] == answers_of(version, QUESTIONS)


def test_descriptions_fit_the_model(version):
    signatures = tf.saved_model.load(str(version)).signatures
    text = (version / "signatures.md").read_text("utf-8")
    names = json.loads((version / "signatures.json").read_text("utf-8"))
    assert names["format"] == 1
    assert set(names["signatures"]) == set(signatures)
    for name, signature in signatures.items():
        (section,) = [part for part in text.split("\n## ") if part.startswith(f"`{name}`\n")]
        inputs, outputs = (names["signatures"][name][side] for side in ("inputs", "outputs"))
        assert set(inputs) == set(signature.structured_input_signature[1])
        assert set(outputs) == set(signature.structured_outputs)
        for key in (*inputs, *outputs):
            (row,) = [line for line in section.splitlines() if line.startswith("| ") and f" `{key}` |" in line]
            assert len(row.split("|")[-2].strip()) > 3, f"{name}: {key} is not explained"


def test_versions_count_up(tiny_pipeline, version):
    assert version.name == "1"
    assert oct(version.stat().st_mode)[-3:] == "755"
    (version.parent / "notes").mkdir()
    assert save(tiny_pipeline, version.parent, unseen=False).name == "2"
    assert versions(version.parent) == [1, 2]
    assert sorted(path.name for path in version.parent.iterdir()) == ["1", "2", "notes"]


@pytest.mark.slow
def test_a_failed_export_leaves_nothing(tiny_pipeline, tmp_path, monkeypatch):
    def fails(directory):
        assert (directory / "saved_model.pb").exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mtkit.serving.export.tensor_names", fails)
    with pytest.raises(RunError, match=r"cannot be written: .*No space left"):
        save(tiny_pipeline, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_leaves_no_version(tiny_pipeline, tmp_path, monkeypatch):
    def killed(directory):
        os.kill(os.getpid(), signal.SIGKILL)

    process = os.fork()
    if process == 0:
        # Nothing of TensorFlow runs in the child: its threads are not there.
        monkeypatch.setattr("tensorflow.saved_model.save", lambda *args, **options: None)
        monkeypatch.setattr("mtkit.serving.export.describe", killed)
        monkeypatch.setattr("mtkit.serving.export.signatures", lambda servable: {})
        monkeypatch.setattr("mtkit.serving.export.Servable", lambda *args: None)
        try:
            save(tiny_pipeline, tmp_path)
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert versions(tmp_path) == []
    (left,) = tmp_path.iterdir()
    # The next export takes it away.
    assert save(tiny_pipeline, tmp_path, unseen=False).name == "1"
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_place_that_cannot_be_written(tiny_pipeline, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        save(tiny_pipeline, tmp_path / "file")


@pytest.mark.slow
def test_tables_are_stored_once(tiny_recipe, tmp_path):
    """A catalog of 100,000 items: the graph stays small, and no two variables hold the same table."""
    sets = ["data.items=115_000", "data.users=2_000", "data.lines=230_000", "rows.windows.count=1"]
    recipe = load_recipe(tiny_recipe, sets)
    dataset = recipe.data.source.load()
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(recipe, dataset, test, cache_dir=tmp_path)
    items = len(pipeline.fold.entities["item"])
    assert items > 100_000
    path = save(pipeline, tmp_path / "export")
    assert (path / "saved_model.pb").stat().st_size < 20e6
    saved = tf.train.load_checkpoint(str(path / "variables/variables"))
    large = [name for name, shape in saved.get_variable_to_shape_map().items() if np.prod(shape) >= items]
    tables = [saved.get_tensor(name) for name in large]
    assert len(tables) > 10
    assert len({(table.shape, table.tobytes() if table.dtype != object else "ids") for table in tables}) == len(tables)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.slow
def test_serves_from_c(version, tmp_path):
    specification = importlib.util.spec_from_file_location("serving", ROOT / "bench/serving.py")
    serving = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(serving)
    client = serving.compile_client(tmp_path)
    for name in ("serving_default", "rank", "department_new_item"):
        answer, _ = serving.serve(client, version, name, QUESTIONS[name])
        expected = answers_of(version, {name: QUESTIONS[name]})[name]
        assert set(answer) == set(expected)
        for key, values in expected.items():
            flat = np.array(values, object).ravel().tolist()
            if answer[key] and isinstance(answer[key][0], float):
                np.testing.assert_allclose(answer[key], np.array(flat, float), atol=1e-6)
            else:
                assert list(map(str, answer[key])) == flat
