"""A data source that makes up a shop with habits, tastes and fashions, and a recipe that trains on it in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtkit.schema import Column, Schema
from mtkit.spec import DataSource, PositiveInt

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from mtkit.types import Dataset

START, DAYS, DAY = 1_704_067_200, 240, 86400  # from 2024-01-01 to 2024-08-28
COLORS = ("red", "green", "blue")
FAMILIES = 12

RECIPE = """\
recipe = 1
name = "tiny"
seed = 1
deterministic = false

[data]
use = "tiny_shop"
[data.split]
use = "time"
valid = 2024-07-01
test = 2024-08-01

[rows.windows]
use = "windows"
length = "30d"
stride = "15d"
count = 6
batch_size = 16
[rows.lines]
use = "interactions"
since = "90d"
labels = ["discounted", "gift"]
batch_size = 32
[rows.items]
use = "entity"
holdout_by = "family"
holdout = 0.2
batch_size = 8

[encoder.customer]
use = "features"
reads = ["user.id", "user.town", "user.age"]
dim = 8
[encoder.look]
use = "features"
reads = ["item.color", "item.weight"]
dim = 8
[encoder.product]
use = "features"
reads = ["item.id", "item.family"]
dim = 8
[encoder.past]
use = "history"
reads = ["history.item"]
items = "look"
length = 64
dim = 8
[encoder.visit]
use = "features"
reads = ["context.channel", "context.hour"]
dim = 8

[correlation.experts]
use = "mmoe"
experts = 2
units = 8
residual = true

[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["past", "customer"]
candidate = ["product", "look"]
[task.discounted]
use = "user_preference"
rows = "lines"
inputs = ["customer", "past", "product", "look"]
label = "discounted"
[task.gift]
use = "recommendation"
rows = "lines"
inputs = ["customer", "visit", "task.department"]
label = "gift"
[task.department]
use = "content"
rows = "items"
inputs = ["look"]
label = "item.department"

[balance]
use = "uncertainty"

[train]
epochs = 2
optimizer = "adam"
learning_rate = 0.02
steps_per_execution = 8

[evaluate]
k = [3, 10]
metrics = ["recall", "ndcg"]
slices = ["new"]
prediction_metrics = ["auc", "accuracy"]
baselines = ["popularity", "own_frequency", "majority"]
main = "next/ndcg@3"
"""

#: Options that leave one task of few parts, and no split: for tests that ask how a run goes, and not how tasks share.
ONE = (
    "task.next", "task.gift", "task.department", "rows.items", "rows.windows", "correlation.experts", "data.split",
    "encoder.visit", "encoder.past", "encoder.product", "evaluate.slices", "evaluate.main",
)  # fmt: skip
ONE_SETS = (
    'task.discounted.inputs=["customer", "look"]', "train.epochs=1", 'evaluate.baselines=["majority"]',
    "export.unseen=false",
)  # fmt: skip


class TinyShop(DataSource):
    """Lines of baskets. To be learned: `discounted` goes with the color, `gift` with the channel, and a department
    is a color and a load.
    """

    users: PositiveInt = 80
    items: PositiveInt = 40
    lines: PositiveInt = 4000
    seed: int = 0

    def schema(self) -> Schema:
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "basket": Column(kind="id"),
                "time": Column(kind="time"),
                "channel": Column(kind="categorical"),
                "hour": Column(kind="numeric"),
                "price": Column(kind="numeric"),
                "discounted": Column(kind="label", sources=("price",)),
                "gift": Column(kind="label"),
            },
            entities={
                "user": {"town": Column(kind="categorical"), "age": Column(kind="numeric")},
                "item": {
                    "text": Column(kind="text"),
                    "family": Column(kind="categorical"),
                    "color": Column(kind="categorical"),
                    "weight": Column(kind="numeric"),
                    "department": Column(kind="label", classes=True),
                },
            },
        )

    def load(self) -> Dataset:
        import numpy as np
        import pyarrow as pa

        from mtkit.types import Dataset

        rng = np.random.default_rng(self.seed)
        item, color = np.arange(self.items), rng.integers(0, 3, self.items)
        weight = rng.random(self.items)
        load = np.where(weight > 0.5, "heavy", "light")
        entities = {
            "user": pa.table(
                {
                    "id": 100 + np.arange(self.users),
                    "town": [("a", "b", None)[u % 3] for u in range(self.users)],
                    "age": pa.array(rng.integers(20, 80, self.users), mask=np.arange(self.users) % 4 == 0),
                }
            ),
            "item": pa.table(
                {
                    "id": [f"p{i:02}" for i in item],
                    "text": [f"{COLORS[color[i]]} thing of family {i % FAMILIES}" for i in item],
                    "family": [f"f{i % FAMILIES}" for i in item],
                    "color": [COLORS[c] for c in color],
                    "weight": pa.array(weight, mask=weight < 0.05),
                    "department": [f"{COLORS[color[i]]} {load[i]}" for i in item],
                }
            ),
        }
        return Dataset(self._lines(rng, color), entities, self.schema())

    def _lines(self, rng: np.random.Generator, color: np.ndarray) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        baskets = max(self.lines // 4, 1)
        user = rng.integers(0, self.users, baskets)
        time = START + rng.integers(0, DAYS, baskets) * DAY + rng.integers(8, 20, baskets) * 3600
        basket = np.sort(np.append(np.arange(baskets), rng.integers(0, baskets, self.lines - baskets)))
        item = self._chosen(rng, user[basket], color)
        gift, price = rng.random(baskets) < 0.5, rng.random(self.lines)
        return pa.table(
            {
                "user": 100 + user[basket],
                "item": [f"p{i:02}" for i in item],
                "basket": basket,
                "time": time[basket],
                "channel": np.where(gift, "web", "store")[basket],
                "hour": ((time - START) // 3600 % 24)[basket].astype(float),
                "price": price,
                "discounted": price < np.where(color[item] == 0, 0.7, 0.2),
                "gift": (rng.random(self.lines) < 0.8) == gift[basket],
            }
        )

    def _chosen(self, rng: np.random.Generator, user: np.ndarray, color: np.ndarray) -> np.ndarray:
        """Items int `[lines]`: everything once, then habits of the user, a favorite color, or what everybody buys."""
        import numpy as np

        popular = np.minimum(rng.zipf(1.4, len(user)) - 1, self.items - 1)
        habit = (7 * user + rng.integers(0, 3, len(user))) % self.items
        taste = np.where(color[popular] == user % 3, popular, rng.integers(0, self.items, len(user)))
        item = np.choose(rng.integers(0, 3, len(user)), [popular, habit, taste])
        once = rng.permutation(len(user))[: self.items]
        item[once] = np.arange(len(once))
        return item
