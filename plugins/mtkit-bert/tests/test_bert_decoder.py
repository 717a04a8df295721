"""Decoders against an independent implementation: loops over tokens and heads in float64."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from mtkit.backend import tf
from mtkit.errors import DataError
from mtkit.testing import check_layer_config
from mtkit_bert import Bert
from mtkit_bert.decoder import DecoderBlock, DecoderModel, RmsNorm
from mtkit_bert.layers import BertModel, Pooling

WIDTH, INNER, WORDS, HEADS, SHARED, SIZE = 12, 20, 18, 4, 2, 6
BASE = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": SHARED,
    "head_dim": SIZE,
    "intermediate_size": INNER,
    "max_position_embeddings": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
}
CONFIGS = {
    "llama": BASE | {"model_type": "llama", "rope_theta": 100.0, "attention_bias": False},
    "llama with biases": BASE | {"model_type": "llama", "rope_theta": 100.0, "attention_bias": True},
    "mistral": BASE | {"model_type": "mistral", "rope_theta": 1e4, "sliding_window": 16},
    "qwen2": BASE | {"model_type": "qwen2", "rope_theta": 1e6, "sliding_window": 4, "use_sliding_window": False},
    "qwen3": BASE | {"model_type": "qwen3", "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
}
SCALED = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 40,
}
CONFIGS["llama with long texts"] = CONFIGS["llama"] | {"rope_scaling": SCALED}
BIASED = {"llama with biases": "qkvo", "qwen2": "qkv"}


def state_of(name, seed=0):
    """Tensors under the names that PyTorch gives them."""
    rng = np.random.default_rng(seed)
    shapes = {"embed_tokens.weight": (WORDS, WIDTH), "norm.weight": (WIDTH,), "lm_head": (WORDS, WIDTH)}
    for i in range(BASE["num_hidden_layers"]):
        own = {
            "self_attn.q_proj.weight": (HEADS * SIZE, WIDTH),
            "self_attn.k_proj.weight": (SHARED * SIZE, WIDTH),
            "self_attn.v_proj.weight": (SHARED * SIZE, WIDTH),
            "self_attn.o_proj.weight": (WIDTH, HEADS * SIZE),
            "mlp.gate_proj.weight": (INNER, WIDTH),
            "mlp.up_proj.weight": (INNER, WIDTH),
            "mlp.down_proj.weight": (WIDTH, INNER),
            "input_layernorm.weight": (WIDTH,),
            "post_attention_layernorm.weight": (WIDTH,),
        }
        for part in BIASED.get(name, ""):
            own[f"self_attn.{part}_proj.bias"] = own[f"self_attn.{part}_proj.weight"][:1]
        if name == "qwen3":
            own |= {"self_attn.q_norm.weight": (SIZE,), "self_attn.k_norm.weight": (SIZE,)}
        shapes |= {f"layers.{i}.{key}": shape for key, shape in own.items()}
    tensors = {f"model.{key}": rng.normal(0, 0.5, shape).astype(np.float32) for key, shape in shapes.items()}
    tensors["lm_head.weight"] = tensors.pop("model.lm_head")
    return tensors


def write_tokenizer(directory):
    """Words and bytes, with a token at the beginning, as Llama has it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {word: number for number, word in enumerate(["!", "milk", "bread", "fresh", "<s>", "?"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 4)])
    tokenizer.save(str(directory / "tokenizer.json"))


@pytest.fixture
def make_decoder(tmp_path):
    def make(name, tensors=None, **config):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(CONFIGS[name] | config))
        save_file(tensors or state_of(name), directory / "model.safetensors")
        write_tokenizer(directory)
        return directory

    return make


def speed(config, theta, pair):
    """Radians by which a pair turns, as the weights of Llama 3.1 were published."""
    own = theta ** (-2 * pair / SIZE)
    if "rope_scaling" not in config:
        return own
    wavelength, context = 2 * np.pi / own, SCALED["original_max_position_embeddings"]
    if wavelength < context / SCALED["high_freq_factor"]:
        return own
    if wavelength > context / SCALED["low_freq_factor"]:
        return own / SCALED["factor"]
    smooth = (context / wavelength - SCALED["low_freq_factor"]) / 3.0
    return (1 - smooth) * own / SCALED["factor"] + smooth * own


def slow(name, ids):
    """Hidden states `[tokens, width]` of a text without padding."""
    config, w = CONFIGS[name], {key: value.astype(np.float64) for key, value in state_of(name).items()}
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]

    def norm(x, key):
        return x / np.sqrt(np.mean(x**2) + 1e-6) * w[key]

    def linear(x, key):
        return w[f"{key}.weight"] @ x + w.get(f"{key}.bias", 0)

    def turned(head, position):
        pairs = head[: SIZE // 2] + 1j * head[SIZE // 2 :]
        pairs = pairs * np.exp(1j * position * np.array([speed(config, theta, pair) for pair in range(SIZE // 2)]))
        return np.concatenate([pairs.real, pairs.imag])

    def heads_of(x, key, position=None, normalized=""):
        heads = linear(x, key).reshape(-1, SIZE)
        if normalized in w:
            heads = [norm(head, normalized) for head in heads]
        return heads if position is None else [turned(head, position) for head in heads]

    states = [w["model.embed_tokens.weight"][token] for token in ids]
    for i in range(2):
        at = f"model.layers.{i}."
        normed = [norm(x, f"{at}input_layernorm.weight") for x in states]
        queries, keys = (
            [heads_of(x, f"{at}self_attn.{p}_proj", t, f"{at}self_attn.{p}_norm.weight") for t, x in enumerate(normed)]
            for p in "qk"
        )
        values = [heads_of(x, f"{at}self_attn.v_proj") for x in normed]
        for t in range(len(ids)):
            attended = []
            for head in range(HEADS):
                own = head // (HEADS // SHARED)
                scores = np.array([queries[t][head] @ keys[s][own] / np.sqrt(SIZE) for s in range(t + 1)])
                weights = np.exp(scores - scores.max())
                attended.append(sum(p * values[s][own] for s, p in enumerate(weights / weights.sum())))
            states[t] = states[t] + linear(np.concatenate(attended), f"{at}self_attn.o_proj")
            x = norm(states[t], f"{at}post_attention_layernorm.weight")
            gate = linear(x, f"{at}mlp.gate_proj")
            states[t] = states[t] + linear(
                gate / (1 + np.exp(-gate)) * linear(x, f"{at}mlp.up_proj"), f"{at}mlp.down_proj"
            )
    return np.stack([norm(x, "model.norm.weight") for x in states])


TEXTS = ([3, 1, 4, 1, 5, 9, 2], [6], [0, 0, 17])


def padded(side):
    ids, mask = np.full([2, 3, 9], -1, np.int32)
    mask[:] = 0
    for row, text in enumerate(TEXTS):
        place = slice(0, len(text)) if side == "right" else slice(9 - len(text), 9)
        ids[row, place], mask[row, place] = text, 1
    return ids, mask


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", CONFIGS)
def test_hidden_states(make_decoder, name, side):
    model = DecoderModel.from_checkpoint(make_decoder(name))
    ids, mask = padded(side)
    hidden = model(ids, mask).numpy()
    for row, text in enumerate(TEXTS):
        expected = slow(name, text)
        np.testing.assert_allclose(hidden[row][mask[row] > 0], expected, atol=1e-4)
        last = Pooling("last")(hidden, mask).numpy()[row]
        np.testing.assert_allclose(last, expected[-1], atol=1e-4)
        mean = Pooling("mean")(hidden, mask).numpy()[row]
        np.testing.assert_allclose(mean, expected.mean(0), atol=1e-4)


def test_later_tokens_are_not_seen(make_decoder):
    model = DecoderModel.from_checkpoint(make_decoder("qwen2"))
    one, other = model(np.array([[1, 2, 3, 4]])).numpy(), model(np.array([[1, 2, 9, 4]])).numpy()
    np.testing.assert_array_equal(one[:, :2], other[:, :2])
    assert np.abs(one[:, 2:] - other[:, 2:]).min(axis=-1).max() > 0


def test_missing_heads_and_sizes_have_their_defaults(make_decoder):
    config = {"num_key_value_heads": None, "head_dim": None, "num_attention_heads": 3}
    tensors = {
        key: value.repeat(WIDTH, 0)[:WIDTH] if key.split(".")[-2] in ("q_proj", "k_proj", "v_proj") else value
        for key, value in state_of("llama").items()
    }
    tensors = {k: np.ones((WIDTH, WIDTH), np.float32) if "o_proj" in k else v for k, v in tensors.items()}
    model = DecoderModel.from_checkpoint(make_decoder("llama", tensors, **config))
    assert model.blocks[0].num_kv_heads == 3
    assert model.blocks[0].head_dim == 4


def test_half_precision_weights_are_read(make_decoder):
    tensors = {key: value.astype(np.float16) for key, value in state_of("qwen2").items()}
    model = DecoderModel.from_checkpoint(make_decoder("qwen2", tensors))
    np.testing.assert_allclose(model(np.array([TEXTS[0]]))[0], slow("qwen2", TEXTS[0]), atol=0.02)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "llama",
            {"rope_scaling": {"type": "linear", "factor": 8.0}},
            "positions of type 'linear', expected 'default' or 'llama3'",
        ),
        ("llama", {"mlp_bias": True}, "mlp_bias True, expected False"),
    ],
)
def test_other_decoders_are_refused(make_decoder, name, config, message):
    with pytest.raises(DataError, match=message):
        DecoderModel.from_checkpoint(make_decoder(name, **config))


def test_windows_limit_texts(make_decoder):
    assert DecoderModel.from_checkpoint(make_decoder("mistral")).usable_positions == 16
    assert DecoderModel.from_checkpoint(make_decoder("qwen2")).usable_positions == 32


def test_a_decoder_is_no_bert(make_decoder):
    with pytest.raises(DataError, match="is a DecoderModel, expected a BertModel"):
        BertModel.from_checkpoint(make_decoder("llama"))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_frozen_texts(make_decoder, make_context, pooling):
    """Through the encoder: id 0 is a word here, not padding; missing texts are zeros; requests give the same."""
    path, context = make_decoder("qwen2"), make_context([None, "fresh milk ! !", "bread", ""])
    spec = Bert(reads=("item.text",), checkpoint=str(path), pooling=pooling, max_tokens=8)
    ((address, vectors),) = spec.derive(context).items()
    for row, ids in {1: [4, 3, 1, 0, 0], 2: [4, 2]}.items():
        states = slow("qwen2", ids)
        np.testing.assert_allclose(vectors[row], states[-1] if pooling == "last" else states.mean(0), atol=1e-4)
    assert not vectors[[0, 3]].any()
    derivation = spec.derivation(context)
    assert derivation.padding == -1
    ids = tf.constant([[-1] * 6, [4, 3, 1, 0, 0, -1], [4, 2, -1, -1, -1, -1], [-1] * 6])
    np.testing.assert_allclose(derivation({"item_text_token_ids": ids})[address], vectors, atol=1e-5)


def test_the_first_token_is_refused(make_decoder, make_context):
    spec = Bert(reads=("item.text",), checkpoint=str(make_decoder("llama")), pooling="cls", max_tokens=8)
    with pytest.raises(DataError, match=r"pooling is 'cls', but .* the first token sees no other"):
        spec.derive(make_context(["milk"]))


def test_configs():
    check_layer_config(RmsNorm(1e-5, name="norm"))
    block = {"num_heads": 4, "num_kv_heads": 2, "head_dim": 6, "intermediate_size": 8}
    check_layer_config(DecoderBlock(**block, qkv_bias=True, qk_norm=True, name="block"))
    sizes = {"vocab_size": 9, "hidden_size": 24, "num_layers": 1, "num_heads": 4, "intermediate_size": 8}
    check_layer_config(DecoderModel(**sizes, name="decoder"))
