"""Made-up tasks whose relations are known: two alike, one opposed to them, and one of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mtkit.types import DAY

#: The tasks, in the order of the recipe.
ALIKE, OPPOSED, NOISE = ("first", "second"), "opposed", "noise"
TASKS = (*ALIKE, OPPOSED, NOISE)

_DAYS, _FACTORS, _STEEP = 100, 2, 4.0

_TASK = """
[encoder.of_{task}]
use = "features"
reads = ["context.x_{task}"]
dim = 32
[task.{task}]
use = "fm"
rows = "lines"
inputs = ["user", "item", "of_{task}"]
label = "{task}"
weight = {weight}
judged_by = "auc"
"""

_RECIPE = """\
recipe = 1
name = "related_tasks"
seed = {seed}
deterministic = false

[data]
use = "files"
interactions = "related_tasks.csv"
[data.columns]
user = {{kind = "id", entity = "user"}}
item = {{kind = "id", entity = "item"}}
time = {{kind = "time"}}
{columns}
[data.split]
use = "time"
valid = 1970-03-02
test = 1970-04-01

[rows.lines]
use = "interactions"
labels = [{labels}]
batch_size = 256

[encoder.user]
use = "features"
reads = ["user.id"]
dim = 32
[encoder.item]
use = "features"
reads = ["item.id"]
dim = 32
{tasks}
[train]
epochs = 4
learning_rate = 0.01

[evaluate]
prediction_metrics = ["auc", "log_loss"]
"""


def related_tasks(strength: float, seed: int = 0, *, users: int = 150, items: int = 60, rows: int = 9000) -> pa.Table:
    """Interactions with a binary label for each of `TASKS`.

    A label is drawn by a number of the row that its task alone reads (`x_TASK`), and by what user and item have in common, a
    product of factors that all tasks would read. Two tasks are drawn by the same product, one by the opposite of it, and one by
    a coin in its place.

    Args:
        strength: from 0, where the numbers alone decide, and tasks have nothing to do with one another, to 1, where the products
            alone do.
        seed: of all that is drawn.
        users: number of users.
        items: number of items.
        rows: number of interactions, evenly over 100 days from 1970-01-01 on.
    """
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, users, rows), rng.integers(0, items, rows)
    match = (rng.normal(size=(users, _FACTORS))[user] * rng.normal(size=(items, _FACTORS))[item]).sum(1)
    match /= np.sqrt(_FACTORS)
    common = {**dict.fromkeys(ALIKE, match), OPPOSED: -match, NOISE: np.zeros(rows)}
    columns: dict[str, np.ndarray] = {"user": user, "item": item, "time": np.sort(rng.integers(0, _DAYS * DAY, rows))}
    for task in TASKS:
        own = rng.normal(size=rows)
        logits = _STEEP * (np.sqrt(strength) * common[task] + np.sqrt(1 - strength) * own)
        columns[f"x_{task}"] = own.round(4)
        columns[task] = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(int)
    return pa.table(columns)


def write_related_tasks(directory: Path, strength: float, seed: int = 0, **sizes: int) -> Path:
    """Writes `related_tasks` and a recipe that trains on them in a second or two, and returns the recipe's path.

    All tasks read embeddings of the user and of the item by their product, which no task can turn around for itself.

    Args:
        directory: where both files go.
        strength: as of `related_tasks`.
        seed: of the data, and of the recipe.
        sizes: as of `related_tasks`.
    """
    csv.write_csv(related_tasks(strength, seed, **sizes), directory / "related_tasks.csv")
    recipe = directory / "related_tasks.toml"
    recipe.write_text(related_recipe(seed), encoding="utf-8")
    return recipe


def expected_verdicts(strength: float) -> dict[str, str]:
    """What `mtkit tasks` is to say of each task, at strength 0 and at 1: what is opposed is to be trained apart.

    Noise is a task of a small weight, which nothing helps, and which does no harm.
    """
    return {task: "train apart" if strength and task == OPPOSED else "keep" for task in TASKS}


def related_recipe(seed: int) -> str:
    """The recipe's text."""
    columns = "".join(f'x_{task} = {{kind = "numeric"}}\n{task} = {{kind = "label"}}\n' for task in TASKS)
    weights = {**dict.fromkeys(ALIKE, 1.0), OPPOSED: 0.5, NOISE: 0.2}
    tasks = "".join(_TASK.format(task=task, weight=weights[task]) for task in TASKS)
    labels = ", ".join(f'"{task}"' for task in TASKS)
    return _RECIPE.format(seed=seed, columns=columns, labels=labels, tasks=tasks)
