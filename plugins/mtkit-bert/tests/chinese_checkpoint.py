# ruff: noqa: RUF001 - Chinese texts have punctuation of their own
"""A random checkpoint with a Chinese vocabulary, and texts for it; made without mtkit, as in checkpoints.py."""

import json
import random
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

MAX_TOKENS, HIDDEN, LAYERS, INTERMEDIATE = 24, 48, 3, 96
SENTENCES = """
今天天气很好，我们去公园散步吧。
请问这款手机支持5G网络吗？电池能用多久？
新鲜全脂牛奶，250毫升×12盒，保质期21天！
苹果公司发布了iPhone 15 Pro Max，售价9,999元起。
他说：“我明天上午九点到北京，然后坐高铁去上海。”
這本書的作者是臺灣人，內容非常有趣。
香港的夏天又熱又濕，颱風也很多。
机器学习与深度学习有什么区别？请举例说明。
超市里的面包、鸡蛋和蔬菜都在打折。
《红楼梦》是中国古典小说的巅峰之作。
我喜欢吃火锅，尤其是四川的麻辣火锅🌶️🔥。
价格：￥128.00（含税），满200减30。
下载 APP 后用微信登录即可领取优惠券~
二〇二四年三月十五日，星期五，阴转小雨。
这家餐厅的服务态度很差，再也不会来了……
Python和Java哪个更适合初学者？
全棉四件套 1.8米床 纯色 简约风格 夏季透气
儿童节快到了，给孩子买什么礼物好呢？
北京大学位于海淀区颐和园路5号。
他的成绩比去年提高了12.5%，名列前茅。
“不积跬步，无以至千里；不积小流，无以成江海。”
我在图书馆借了三本关于量子力学的书。
男士休闲鞋 透气网面 42码 黑色/白色
妈妈做的红烧肉，色香味俱全，真好吃！
地铁2号线早上七点到九点特别拥挤。
这个bug怎么修复？报错信息：NullPointerException
春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。
欢迎光临！请问您几位？需要看一下菜单吗？
生僻字测试：𠮷野家、㐂、龘、犇、𪚥。
ＡＢＣ全角字符１２３与半角abc123混排。
pīnyīn：nǐ hǎo，声调符号也要处理。
日语の例：東京タワーに行きました。
한국어도 섞여 있습니다 그리고 中文。
邮箱：test_user@example.com，电话：010-88886666
A股三大指数集体收涨，沪指涨0.8%。
咖啡豆 中度烘焙 500g 云南小粒咖啡（赠滤纸）
""".strip().splitlines()


def corpus():
    """The sentences, and made ones: pieces of them side by side, with and without spaces between."""
    rng = random.Random(0)
    pieces = [piece for text in SENTENCES for piece in (text[: len(text) // 2], text[len(text) // 2 :])]
    made = [
        rng.choice(["", " ", "，", "\u3000", "\t"]).join(rng.choices(pieces, k=rng.randint(1, 4))) for _ in range(400)
    ]
    return [*SENTENCES, *made]


def write_chinese(directory: Path) -> Path:
    """As those of Chinese networks are: a vocabulary of characters, some pieces, and gaps."""
    rng = np.random.default_rng(0)
    characters = sorted({char for text in SENTENCES for char in text.lower() if not char.isspace()})
    known = [char for place, char in enumerate(characters) if place % 12]
    pieces = ["app", "##p", "##le", "py", "##thon", "ph", "##one", "##0", "##00", "##5g", "ip", "##hone", "##o", "##e"]
    special = ["[PAD]", *(f"[unused{i}]" for i in range(1, 20)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = list(dict.fromkeys([*special, *known, *pieces, *(f"##{char}" for char in known[::3])]))
    (directory / "vocab.txt").write_text("\n".join(words), "utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    config = {
        "model_type": "bert",
        "vocab_size": len(words),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 0,
    }
    (directory / "config.json").write_text(json.dumps(config))
    save_file(state(rng, len(words)), directory / "model.safetensors")
    return directory


def state(rng, words):
    shapes = {"word": (words, HIDDEN), "position": (64, HIDDEN), "token_type": (2, HIDDEN)}
    shapes = {f"embeddings.{name}_embeddings.weight": shape for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        widths = {f"attention.self.{name}": (HIDDEN, HIDDEN) for name in ("query", "key", "value")}
        widths |= {"attention.output.dense": (HIDDEN, HIDDEN), "intermediate.dense": (INTERMEDIATE, HIDDEN)}
        for name, shape in (widths | {"output.dense": (HIDDEN, INTERMEDIATE)}).items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    tensors = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    for norm in norms:
        tensors[f"{norm}.weight"] = rng.normal(1, 0.2, HIDDEN).astype(np.float32)
        tensors[f"{norm}.bias"] = rng.normal(0, 0.2, HIDDEN).astype(np.float32)
    return tensors
