"""A small shop as CSV files, with ids of many scripts, that grows by two months: new customers, new goods, new shelves."""

import numpy as np
import pandas as pd

RECIPE = """
recipe = 1
name = "kiosk"
seed = 3
[data]
use = "files"
interactions = "log.csv"
[data.entities]
item = "goods.csv"
[data.columns.user]
kind = "id"
entity = "user"
[data.columns.item]
kind = "id"
entity = "item"
[data.columns.time]
kind = "time"
[data.columns.liked]
kind = "label"
[data.entity_columns.item.shelf]
kind = "categorical"
[data.entity_columns.item.weight]
kind = "numeric"
[data.catalog.item]
min_count = 0
[data.split]
use = "time"
valid = 2024-03-01
test = 2024-04-01
[rows.windows]
use = "windows"
length = "20d"
stride = "10d"
count = 4
batch_size = 16
[rows.lines]
use = "interactions"
batch_size = 64
[encoder.who]
use = "features"
reads = ["user.id"]
dim = 4
[encoder.what]
use = "features"
reads = ["item.id", "item.shelf", "item.weight"]
dim = 4
[encoder.past]
use = "history"
reads = ["history.item"]
items = "what"
length = 8
dim = 4
[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["past", "who"]
candidate = ["what"]
[task.liked]
use = "user_preference"
rows = "lines"
inputs = ["who", "what"]
label = "liked"
[train]
epochs = 2
learning_rate = 0.02
[evaluate]
metrics = ["ndcg"]
prediction_metrics = ["log_loss"]
baselines = ["popularity"]
[export]
use = "saved_model"
verify = false
together = 3
unseen = false
"""

SHELVES = ("große", "малая", "棚", "dolna")


def user(number):
    return f"käufer {number}" if number % 2 else f"客{number}"


def item(number):
    return f"товар-{number}" if number % 2 else f'"göd,{number}'


def _log(rng, users, items, days, rows):
    who, what = rng.choice(users, rows), rng.choice(items, rows)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(days[0], days[1], rows), "D")
    columns = {"user": map(user, who), "item": map(item, what), "time": moments.strftime("%Y-%m-%d")}
    return pd.DataFrame({**columns, "liked": (who + what + rng.integers(0, 3, rows)) % 2})


def _goods(items, shelf=lambda number: SHELVES[number % 3]):
    return pd.DataFrame(
        {"id": map(item, items), "shelf": map(shelf, items), "weight": [10.0 + number for number in items]}
    )


def write(folder):
    """Writes the recipe and its files, those of later months to `later`: users from 40 on and goods from 20 on are new.

    Goods 20 are alike those of the first shelf; what stands on the last shelf is new altogether; goods 0 have moved.
    """
    rng = np.random.default_rng(0)
    (folder / "later").mkdir(parents=True)
    (folder / "kiosk.toml").write_text(RECIPE, encoding="utf-8")
    _log(rng, np.arange(40), np.arange(20), (0, 121), 1500).to_csv(folder / "log.csv", index=False)
    _goods(range(20)).to_csv(folder / "goods.csv", index=False)
    late = _log(rng, np.arange(50), np.arange(24), (121, 182), 900)
    late.to_csv(folder / "later" / "log.csv", index=False)
    moved = _goods([0, 20, 21, 22, 23], lambda number: SHELVES[3] if number in (0, 23) else SHELVES[0])
    moved.to_csv(folder / "later" / "goods.csv", index=False)
    return folder
