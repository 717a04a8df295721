"""A shop whose labels have gaps, a hook that interrupts its own process, and how interrupted runs are compared."""

from __future__ import annotations

import csv
import json
import os
import signal

import numpy as np
from tiny_shop import TinyShop

from mtkit.hooks import hookimpl

PROGRAM = "import sys; from mtkit.cli.program import main; main(sys.argv[1:])"

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


def everything(directory):
    """All tensors of the last checkpoints, metrics without timing, losses of the epochs, versions of the export."""
    from mtkit.backend import tf

    tensors = {}
    for phase in ("valid", "test"):
        last = max((directory / "checkpoints" / phase).iterdir())
        reader = tf.train.load_checkpoint(str(last / "checkpoint"))
        names = reader.get_variable_to_shape_map()
        tensors |= {(phase, name): np.asarray(reader.get_tensor(name)).tobytes() for name in names}
    metrics = {
        key: value for key, value in json.loads((directory / "metrics.json").read_text()).items() if key != "timing"
    }
    with (directory / "history.csv").open() as file:
        losses = [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]
    return tensors, metrics, losses, sorted(path.name for path in (directory / "export").iterdir())


def assert_same(directory, reference):
    tensors, *others = everything(directory)
    expected, *theirs = everything(reference)
    assert others == theirs
    assert tensors.keys() == expected.keys()
    assert [key for key, value in tensors.items() if value != expected[key]] == []
