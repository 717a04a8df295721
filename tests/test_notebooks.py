"""The notebooks of the documentation do what they say, and show what they show."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import mtkit

ROOT = Path(mtkit.__file__).parents[1]


def runner():
    specification = importlib.util.spec_from_file_location("run_notebook", ROOT / "docs/run_notebook.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def words(text):
    """What a cell shows, without figures, whose last digits are a machine's."""
    return re.sub(r"-?[0-9][0-9.]*", "0", text).split()


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_and_show_what_they_keep(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    notebook, module = json.loads(path.read_text(encoding="utf-8")), runner()
    kept = ["".join("".join(out["text"]) for out in cell["outputs"]) for cell in module.code_of(notebook)]
    assert [cell["execution_count"] for cell in module.code_of(notebook)] == list(range(1, len(kept) + 1))
    shown = module.run(notebook)
    assert [words(text) for text in shown] == [words(text) for text in kept]
    if path.stem == "first_model":
        auc = float(re.search(r"'returned/auc': ([0-9.]+)", "".join(shown)).group(1))
        assert auc > 0.7
        assert shown[-1].endswith("True\n")
