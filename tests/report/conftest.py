"""A finished run without faults, as its directory keeps it, into which tests plant some; nothing is trained."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtkit.evaluation.user_sums import UserSums, to_table
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.report.checks import checked
from mtkit.report.kept import KeptRun

USERS, ITEMS, ROWS, EPOCHS = 200, 120, 2000, 6
CLASSES = ["blue heavy", "blue light", "red heavy", "red light"]
#: Task -> metric that judges it, the model's value, the baseline and its value.
TASKS = {
    "next": ("ndcg@3", 0.58, "own_frequency", 0.41),
    "discounted": ("auc", 0.74, "majority", 0.5),
    "gift": ("auc", 0.76, "majority", 0.5),
    "department": ("accuracy", 0.8, "majority", 0.3),
}


class Clean:
    """The parts of a run; `write` puts them where a run has them."""

    def __init__(self, recipe_file, path):
        self.recipe_file, self.path, self.sets = recipe_file, Path(path), []
        self.random = np.random.default_rng(0)
        self.metrics, self.scores, self.said, self.data = _metrics(), _scores(), _said(), _data()
        self.history = _history()
        self.predictions = {"discounted": self._binary(0.33), "gift": self._binary(0.5), "department": self._classes()}
        self.lists = self._lists()
        self.catalog = {
            "id": ["", *(f"p{i:03}" for i in range(1, ITEMS + 1))],
            "text": [None, *(f"thing {i}" for i in range(1, ITEMS + 1))],
            "family": [None, *(f"f{i % 7}" for i in range(1, ITEMS + 1))],
        }
        self.export, self.users, self.seeds, self.tasks = True, USERS, {}, None

    def _binary(self, rate):
        chance = self.random.beta(4 * rate, 4 * (1 - rate), ROWS).astype(np.float32)
        label = (self.random.random(ROWS) < chance).astype(np.float32)
        return pd.DataFrame({"label": label, "weight": np.ones(ROWS, np.float32), "prediction": chance})

    def _classes(self):
        label = self.random.integers(0, len(CLASSES), 400).astype(np.int32)
        right = self.random.random(400) < 0.8
        predicted = np.where(right, label, (label + 1) % len(CLASSES)).astype(np.int32)
        confidence = np.full(400, 0.8, np.float32)
        true = np.where(right, 0.8, 0.1).astype(np.float32)
        columns = {"label": label, "weight": np.ones(400, np.float32), "prediction": predicted}
        return pd.DataFrame(columns | {"confidence": confidence, "true": true})

    def _lists(self):
        items = [self.random.permutation(ITEMS)[:10].astype(np.int32) + 1 for _ in range(USERS)]
        past = [self.random.permutation(ITEMS)[: 5 + i % 10].astype(np.int32) + 1 for i in range(USERS)]
        targets = [np.sort(np.append(one[:1], 1 + (one[1:3] % ITEMS))).astype(np.int32) for one in items]
        hits = [np.isin(one, then) for one, then in zip(items, targets, strict=True)]
        return pd.DataFrame(
            {
                "user": np.arange(1, USERS + 1, dtype=np.int32), "past": past, "past_size": [len(one) for one in past],
                "targets": targets, "items": items, "hits": hits, "relevant": [len(one) for one in targets],
                "popularity": [np.full(10, 0.1, np.float32)] * USERS,
            }
        )  # fmt: skip

    def write(self):
        recipe = load_recipe(self.recipe_file, self.sets)
        for name in ("evidence", "entities", *(["export/1"] if self.export else [])):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        if self.export:
            (self.path / "export/1/saved_model.pb").write_bytes(b"x" * 5000)
        (self.path / "recipe.lock.toml").write_text(lock(recipe, self.path), encoding="utf-8")
        (self.path / "data.json").write_text('{"format": 1, "fingerprint": "x", "files": {}}')
        for name, value in (
            ("metrics", self.metrics), ("scores", {"scores": self.scores}), ("evidence/test", self.said),
            ("evidence/data", self.data),
        ):  # fmt: skip
            (self.path / f"{name}.json").write_text(json.dumps({"format": 1, **value}), encoding="utf-8")
        self.history.to_csv(self.path / "history.csv", index=False)
        for task, rows in self.predictions.items():
            pq.write_table(pa.Table.from_pandas(rows), self.path / f"evidence/predictions-{task}.parquet")
        pq.write_table(pa.Table.from_pandas(self.lists), self.path / "evidence/lists-next.parquet")
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.random.normal(size=ITEMS * 4).astype(np.float32)), 4)
        kept = {"item": np.arange(1, ITEMS + 1, dtype=np.int32), "vector": vectors, "popularity": np.full(ITEMS, 0.1)}
        pq.write_table(pa.table(kept), self.path / "evidence/vectors-next.parquet")
        pq.write_table(pa.table(self.catalog), self.path / "entities/test-item.parquet")
        users = {"id": [-1, *range(100, 100 + USERS)]}
        pq.write_table(pa.table(users), self.path / "entities/test-user.parquet")
        pq.write_table(to_table(self._sums()), self.path / "per_user.parquet")
        return self.path

    def _sums(self):
        users, ones = np.arange(self.users).astype(str).astype(object), np.ones(self.users)
        ends = {task: metric for task, (metric, *_) in TASKS.items()}
        of = {f"{t}/": UserSums("user", users, ones, {m: ones * 0.5}, {m: ones}) for t, m in ends.items()}
        return {"model": of}

    def kept(self):
        """The run as a report reads it: of several seeds where it has their figures, with a task report where it has one."""
        report = self.path.parent / "tasks.json"
        if self.tasks is not None:
            report.write_text(json.dumps(self.tasks), encoding="utf-8")
        return KeptRun(self._parent() if self.seeds else self.path, report if self.tasks is not None else None)

    def _parent(self):
        above = self.path.parent / "several"
        above.mkdir()
        for number in (1, 2, 3):
            shutil.copytree(self.path, above / f"seed-{number}")
        test = {key: _spread(self.seeds.get(key, [value] * 3)) for key, value in self.metrics["test"].items()}
        timing = {name: _spread([value] * 3) for name, value in self.metrics["timing"].items()}
        baselines = {n: {k: _spread([v] * 3) for k, v in of.items()} for n, of in self.metrics["baselines"].items()}
        of_all = {"test": test, "timing": timing, "baselines": baselines}
        metrics = {k: v for k, v in self.metrics.items() if k not in ("valid", "memory", "training")} | of_all
        (above / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        return above

    def found(self):
        """Code -> places, of all checks of the run as it is."""
        self.write()
        places = {}
        for finding in checked(self.kept()).findings:
            places.setdefault(finding.code, []).append(finding.where)
        return places


def _spread(values):
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)), "values": values}


def _metrics():
    test = {f"{task}/{metric}": value for task, (metric, value, *_) in TASKS.items()}
    test |= {"next/ndcg@10": 0.6, "next/new/ndcg@3": 0.2, "discounted/accuracy": 0.7, "discounted/new/auc": 0.7}
    baselines = {name: {} for _, _, name, _ in TASKS.values()}
    for task, (metric, _, name, value) in TASKS.items():
        baselines[name][f"{task}/{metric}"] = value
    verdicts = [
        {
            "task": task, "metric": metric, "model": value, "baseline": name, "value": other, "difference": value - other,
            "relative": (value - other) / other, "interval": [value - other - 0.03, value - other + 0.03], "effect": 0.5,
            "detectable": 0.02, "p": 1e-6, "p_holm": 4e-6, "verdict": "better",
        }
        for task, (metric, value, name, other) in TASKS.items()
    ]  # fmt: skip
    phases = [f"{phase}_{part}" for phase in ("valid", "test") for part in ("build", "fit", "evaluate", "baselines")]
    passes = {"windows": 6.0, "lines": 3.0, "items": 20.0}
    training = {"epochs": EPOCHS, "passes": passes, "best_epochs": dict.fromkeys(TASKS, EPOCHS), "left_after": {}}
    return {
        "protocol": {
            "split": "time", "refit": True, "options": {"valid": "2024-07-01", "test": "2024-08-01"},
            "interactions": {"train": 3000, "valid": 600, "test": 400}, "sampled": None, "data": [],
        },
        "test": test,
        "baselines": baselines,
        "counts": {"next": 200, "next/new": 150, "discounted": ROWS, "discounted/new": 300, "gift": ROWS, "department": 400},
        "intervals": {
            "test": {key: [value - 0.02, value + 0.02] for key, value in test.items()},
            "baselines": {n: {key: [v - 0.02, v + 0.02] for key, v in of.items()} for n, of in baselines.items()},
        },
        "verdicts": verdicts,
        "valid": {"model": dict(test), "baselines": baselines, "tuned": {"own_frequency": {"next": {}}}},
        "timing": {f"{phase}_seconds": 2.0 for phase in phases} | {"total_seconds": 20.0},
        "memory": dict.fromkeys(phases, 800.0),
        "left_out": {phase: {"interactions": {"eval: item not in the catalog": 4}, "rows": {}} for phase in ("valid", "test")},
        "training": {"valid": training, "test": training},
    }  # fmt: skip


def _scores():
    return {task: [value - 0.2 * 0.4**epoch for epoch in range(EPOCHS)] for task, (_, value, *_) in TASKS.items()}


def _history():
    rows = []
    for phase in ("valid", "test"):
        for epoch in range(EPOCHS):
            losses = {f"{task}_loss": 0.4 + 0.5 * 0.6**epoch for task in TASKS}
            rows.append({"phase": phase, "epoch": epoch + 1, "seconds": 1.0, "rows_per_second": 900.0, **losses})
    return pd.DataFrame(rows)


def _said():
    rates = {"discounted": 0.33, "gift": 0.5}
    labels = {
        task: {
            "train": {"rows": 8000, "mean": rate, "positives": int(8000 * rate)},
            "eval": {"rows": ROWS, "mean": rate, "positives": int(ROWS * rate)},
        }
        for task, rate in rates.items()
    }
    forms = {"discounted": "binary", "gift": "binary", "department": "classes"}
    rows = {"discounted": ROWS, "gift": ROWS, "department": 400}
    return {
        "predictions": {
            task: {"form": form, "rows": rows[task], "kept": rows[task], "classes": CLASSES if form == "classes" else []}
            for task, form in forms.items()
        },
        "labels": labels | {"department": {"train": {"rows": 80}, "eval": {"rows": 400}}},
        "columns": {"discounted": {"item.color": 0.67, "user.age": 0.51}, "gift": {"context.channel": 0.76}},
        "items": {"entity": "item", "catalog": ITEMS, "popular": list(range(1, 11))},
        "parameters": {"encoder.look": 5000, "task.next": 600},
        "weights": dict.fromkeys(TASKS, 1.0),
    }  # fmt: skip


def _data():
    edges = np.linspace(1_704_067_200, 1_724_000_000, 11).tolist()
    counts = {"train": [300] * 8 + [0, 0], "valid": [0] * 8 + [600, 0], "test": [0] * 9 + [400]}
    return {"leaks": [], "findings": [], "time_line": {"edges": edges, "counts": counts}}


@pytest.fixture
def clean(tiny_recipe, tmp_path):
    """A run without faults, not written yet."""
    return Clean(tiny_recipe, tmp_path / "run")
