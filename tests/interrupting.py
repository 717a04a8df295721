"""A shop whose labels have gaps, a hook that interrupts its own process, and small recipes that are interrupted."""

from __future__ import annotations

import os
import signal

from tiny_shop import TinyShop

from mtkit.hooks import hookimpl

STOP = "MTKIT_TEST_STOP"
"""Environment variable: PHASE:EPOCH:SIGNAL."""

#: Two tasks, dropout, and gaps; the last batch of a pass is not full.
SETS = (
    "data.use=gappy_shop",
    "deterministic=true",
    "train.epochs=3",
    "encoder.past.dropout=0.3",
    "encoder.customer.dropout=0.2",
)
UNSETS = ("task.gift", "task.department", "rows.items", "encoder.visit", "correlation.experts")


class GappyShop(TinyShop):
    """The tiny shop, which has forgotten whether some lines were discounted."""

    def load(self):
        from dataclasses import replace

        import numpy as np
        import pyarrow as pa

        dataset = super().load()
        lines = dataset.interactions
        gaps = np.random.default_rng(1).random(len(lines)) < 0.3
        column = pa.array(lines["discounted"].to_numpy(zero_copy_only=False), mask=gaps)
        index = lines.column_names.index("discounted")
        return replace(dataset, interactions=lines.set_column(index, "discounted", column))


class Interrupter:
    """Sends its process a signal after the epoch that the environment names."""

    @hookimpl
    def epoch_end(self, phase, epoch):
        at, _, name = os.environ.get(STOP, "").rpartition(":")
        if at == f"{phase}:{epoch}":
            os.kill(os.getpid(), signal.Signals[name])


def install(site):
    """Puts the shop and the hook where Python finds them."""
    information = site / "interrupting-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: interrupting\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[mtkit.data_source]\ngappy_shop = interrupting:GappyShop\n"
        "[mtkit.hooks]\ninterrupter = interrupting:Interrupter\n"
    )
