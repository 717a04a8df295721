"""Texts for the published checkpoint."""

TEXTS = [
    "FRZN MEAT/MEAT DINNERS | FRZN SINGLE SERVE PREMIUM MEALS",
    "Crème brûlée™ ½ straße — naïve café",
    "牛奶 和 面包 with emoji 🥖 and [SEP] and [MASK] literals",
    "a",
    "a man is playing a guitar " * 30,
]
PAIR = ("what is it?", "fresh milk")
MAX_TOKENS = 64
