"""Files with all that preparation could get wrong: nulls, lists, weights, baskets, labels, conditions, ids as text."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86400
RECIPE = """\
recipe = 1
name = "hard"
seed = 3
[data]
use = "files"
interactions = "log.parquet"
entities.user = "users.parquet"
entities.item = "items.parquet"
columns.user = {kind = "id", entity = "user"}
columns.item = {kind = "id", entity = "item"}
columns.basket = {kind = "id"}
columns.time = {kind = "time"}
columns.event = {kind = "categorical"}
columns.price = {kind = "numeric"}
columns.tags = {kind = "list"}
columns.counts = {kind = "weight", labels = ["gift"]}
columns.worth = {kind = "weight"}
columns.gift = {kind = "label"}
columns.returns = {kind = "label", horizon = "5d"}
columns.payment = {kind = "label", classes = true}
entity_columns.user.town = {kind = "categorical"}
entity_columns.item.weight = {kind = "numeric"}
entity_columns.item.words = {kind = "list"}
entity_columns.item.shelf = {kind = "label", classes = true}
[data.split]
use = "time"
valid = 2024-03-11
test = 2024-03-25
[data.catalog.user]
min_count = 2
unlisted = "drop"
[data.catalog.item]
min_count = 2
unlisted = "drop"
[events.buys]
where = {event = ["buy", "gift"], price = {at_least = 0.1}}
[rows.windows]
use = "windows"
length = "14d"
count = 3
where = "buys"
batch_size = 8
[rows.lines]
use = "interactions"
since = "60d"
batch_size = 16
[rows.shelves]
use = "entity"
holdout_by = "weight"
batch_size = 4
[encoder.user]
use = "features"
reads = ["user.id", "user.town"]
dim = 4
[encoder.item]
use = "features"
reads = ["item.weight", "item.words"]
dim = 4
[encoder.product]
use = "features"
reads = ["item.id"]
dim = 4
[encoder.visit]
use = "features"
reads = ["context.event", "context.price", "context.tags"]
dim = 4
[encoder.past]
use = "history"
reads = ["history.item", "history.event", "history.price"]
items = "item"
length = 8
where = "buys"
dim = 4
[task.next]
use = "retrieval"
rows = "windows"
query = ["past", "user"]
candidate = ["item", "product"]
[task.gift]
use = "user_preference"
rows = "lines"
inputs = ["user", "product", "item"]
label = "gift"
weight_by = "price"
where = {price = {at_least = 0}}
[task.returns]
use = "user_preference"
rows = "lines"
inputs = ["user", "past", "product"]
label = "returns"
[task.payment]
use = "user_preference"
rows = "lines"
inputs = ["visit", "user"]
label = "payment"
[task.shelf]
use = "content"
rows = "shelves"
inputs = ["item"]
label = "item.shelf"
[train]
epochs = 1
[evaluate]
metrics = ["ndcg"]
prediction_metrics = ["auc", "accuracy"]
baselines = ["popularity", "majority"]
"""


def write(directory, lines=1500, seed=0, **changed):
    """Writes the files and the recipe, with some of its text changed (old = new); the path of the recipe."""
    rng = np.random.default_rng(seed)
    users, items, baskets = 60, 40, lines // 3

    def some(values, share=0.1):
        return pa.array(values, mask=rng.random(len(values)) < share)

    def lists(size):
        words = [[f"w{n}" for n in rng.integers(0, 9, rng.integers(0, 5))] for _ in range(size)]
        return pa.array([None if rng.random() < 0.1 else one for one in words])

    basket = np.sort(rng.integers(0, baskets, lines))
    user, start = rng.integers(0, users, baskets), rng.integers(0, 100 * DAY, baskets)
    table = {
        "user": some([f"u{n % 60:03}" for n in user[basket]], 0.02),
        "item": some([f"p{n:02}" for n in rng.zipf(1.4, lines) % (items + 5)], 0.02),
        "basket": [f"b{n}" for n in rng.permutation(baskets)[basket]],
        "time": pa.array(1_704_067_200 + start[basket] + rng.integers(0, 3, lines) * 60).cast(pa.timestamp("s")),
        "event": some(np.array(["view", "buy", "gift"])[rng.integers(0, 3, lines)]),
        "price": some(rng.random(lines).astype(np.float32), 0),
        "tags": lists(lines),
        "counts": rng.integers(0, 3, lines),
        "worth": rng.random(lines),
        "gift": some(rng.random(lines) < 0.4),
        "returns": some(rng.random(lines) < 0.3),
        "payment": some(np.array(["card", "cash", "voucher"])[rng.choice(3, lines, p=[0.6, 0.38, 0.02])]),
    }
    log = pa.table(table).take(rng.permutation(lines))
    pq.write_table(log, directory / "log.parquet", row_group_size=200)
    people = pa.table(
        {"id": [f"u{n:03}" for n in rng.permutation(users)], "town": some(["a", "b", "c"] * (users // 3))}
    )
    pq.write_table(people, directory / "users.parquet")
    goods = {
        "id": [f"p{n:02}" for n in rng.permutation(items)],
        "weight": some(rng.random(items)),
        "words": lists(items),
        "shelf": some(["top", "low"] * (items // 2)),
    }
    pq.write_table(pa.table(goods), directory / "items.parquet")
    text = RECIPE
    for old, new in changed.get("text", {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path = directory / "recipe.toml"
    path.write_text(text, "utf-8")
    return path
