"""GPT-2 against an independent implementation: loops over tokens and heads in float64."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from mtkit.errors import DataError
from mtkit.testing import check_layer_config
from mtkit_bert.gpt2 import Gpt2Block, Gpt2Model
from mtkit_bert.layers import Pooling
from mtkit_bert.network import load_network

WIDTH, WORDS, HEADS, POSITIONS = 12, 18, 3, 10
CONFIG = {
    "model_type": "gpt2",
    "vocab_size": WORDS,
    "n_embd": WIDTH,
    "n_layer": 2,
    "n_head": HEADS,
    "n_inner": None,
    "n_positions": POSITIONS,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
}
TEXTS = ([3, 1, 4, 1, 5, 9, 2], [6], [0, 0, 17])


def state():
    """Tensors under the names that PyTorch gives them, with the mask that some checkpoints hold."""
    rng = np.random.default_rng(0)
    shapes = {
        "wte.weight": (WORDS, WIDTH),
        "wpe.weight": (POSITIONS, WIDTH),
        "ln_f.weight": (WIDTH,),
        "ln_f.bias": (WIDTH,),
    }
    for i in range(2):
        for module, shape in {
            "ln_1": (WIDTH,),
            "attn.c_attn": (WIDTH, 3 * WIDTH),
            "attn.c_proj": (WIDTH, WIDTH),
            "ln_2": (WIDTH,),
            "mlp.c_fc": (WIDTH, 4 * WIDTH),
            "mlp.c_proj": (4 * WIDTH, WIDTH),
        }.items():
            shapes |= {f"h.{i}.{module}.weight": shape, f"h.{i}.{module}.bias": shape[-1:]}
        shapes[f"h.{i}.attn.bias"] = (1, 1, POSITIONS, POSITIONS)
    return {f"transformer.{name}": rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(state(), tmp_path / "model.safetensors")
    return tmp_path


def slow(ids):
    """Hidden states `[tokens, width]` of a text without padding."""
    w = {name.removeprefix("transformer."): value.astype(np.float64) for name, value in state().items()}

    def norm(x, name):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    states = [w["wte.weight"][token] + w["wpe.weight"][place] for place, token in enumerate(ids)]
    for i in range(2):
        at, size = f"h.{i}.", WIDTH // HEADS
        qkv = [linear(norm(x, f"{at}ln_1"), f"{at}attn.c_attn").reshape(3, HEADS, size) for x in states]
        for t in range(len(ids)):
            attended = []
            for head in range(HEADS):
                weights = np.exp([qkv[t][0, head] @ qkv[s][1, head] / np.sqrt(size) for s in range(t + 1)])
                attended.append(sum(p * qkv[s][2, head] for s, p in enumerate(weights / weights.sum())))
            states[t] = states[t] + linear(np.concatenate(attended), f"{at}attn.c_proj")
            x = linear(norm(states[t], f"{at}ln_2"), f"{at}mlp.c_fc")
            x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
            states[t] = states[t] + linear(x, f"{at}mlp.c_proj")
    return np.stack([norm(x, "ln_f") for x in states])


@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states(path, side):
    ids, mask = np.full([3, 9], -1, np.int32), np.zeros([3, 9], np.int32)
    for row, text in enumerate(TEXTS):
        place = slice(0, len(text)) if side == "right" else slice(9 - len(text), 9)
        ids[row, place], mask[row, place] = text, 1
    model = load_network(path)
    assert isinstance(model, Gpt2Model)
    assert model.usable_positions == POSITIONS
    hidden = model(ids, mask).numpy()
    last = Pooling("last")(hidden, mask).numpy()
    for row, text in enumerate(TEXTS):
        expected = slow(text)
        np.testing.assert_allclose(hidden[row][mask[row] > 0], expected, atol=1e-4)
        np.testing.assert_allclose(last[row], expected[-1], atol=1e-4)


def test_other_attention_is_refused(path):
    (path / "config.json").write_text(json.dumps(CONFIG | {"scale_attn_by_inverse_layer_idx": True}))
    with pytest.raises(DataError, match="scale_attn_by_inverse_layer_idx True, expected False"):
        load_network(path)


def test_configs():
    check_layer_config(Gpt2Block(num_heads=2, intermediate_size=8, name="block"))
    check_layer_config(Gpt2Model(vocab_size=9, hidden_size=8, num_layers=1, num_heads=2, name="gpt2"))
