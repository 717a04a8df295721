"""The best that a model can reach on data that are made up: what the planted model itself reaches on the rows of the test."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from mtkit.synthetic.domain import Domain, Part
from mtkit.synthetic.world import DAYS, TEST

#: Scores by which rankings are measured at most, and the cutoff.
_SCORES, _TOP = 2_000_000, 10


@dataclass(frozen=True)
class Best:
    """What can be had of a task.

    Attributes:
        metric: by which it is measured (`auc`, `ndcg@10`, `rmse`, `accuracy`, `macro_auc`).
        planted: the value of the planted model.
        plain: that of popularity for rankings, else of the same answer for every row.
        rows: how many rows, or users, were measured.
    """

    metric: str
    planted: float
    plain: float
    rows: int

    def share(self, value: float) -> float:
        """How much of the way from `plain` to `planted` a value has come; 1 = all of it."""
        return (value - self.plain) / (self.planted - self.plain)


class Account:
    """Takes note of interactions as they are made.

    Args:
        domain: what makes them.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        items = len(domain.world.kind)
        self._popular, self._past = np.zeros(items), np.zeros(len(domain.world.before), bool)
        asked = ("", domain.asked) if domain.asked else ()
        self._doers = {behavior: np.zeros(len(self._past)) for behavior in asked}
        self._rows: list[dict[str, np.ndarray]] = []
        self._before: dict[str, list[float]] = {}

    def add(self, part: Part) -> None:
        """Takes note of a part."""
        test = part.days >= TEST
        labels = {name: part.table[name].to_numpy(zero_copy_only=False).astype(float) for name in part.chances}
        target = labels[self.domain.target] == 1 if self.domain.target else np.ones(len(test), bool)
        self._popular += np.bincount(part.items[~test & target], minlength=len(self._popular))
        self._past[part.users[~test]] = True
        for behavior in self._doers:
            did = ~test & (labels[behavior] == 1) if behavior else ~test
            self._doers[behavior] += np.bincount(part.users[did], minlength=len(self._past))
        for name, label in labels.items():
            there = label[~test & ~np.isnan(label)]
            seen = self._before.setdefault(name, [0.0, 0.0])
            seen[0], seen[1] = seen[0] + there.sum(), seen[1] + len(there)
        if test.any():
            kept = {"users": part.users, "items": part.items, "target": target} | labels
            kept |= {f"{name} planted": chance for name, chance in part.chances.items()}
            self._rows.append({name: values[test] for name, values in kept.items()})

    def best(self) -> dict[str, Best]:
        """Task -> what can be had; those without rows in the test are left out."""
        rows = (
            {name: np.concatenate([part[name] for part in self._rows]) for name in self._rows[0]} if self._rows else {}
        )
        found = dict(self._predictions(rows)) | dict(_of_texts(self.domain)) | dict(_of_users(self.domain))
        if rows and (ranking := self._ranking(rows)):
            found["next"] = ranking
        for behavior in self._doers if rows else ():
            if ranking := self._askers(rows, behavior):
                found["who" if behavior else "reader"] = ranking
        return found

    def _predictions(self, rows: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Best]]:
        for name, (total, count) in self._before.items():
            if not rows:
                return
            there = ~np.isnan(rows[name])
            label, planted = rows[name][there], rows[f"{name} planted"][there]
            if name not in self.domain.behaviors:
                known, mean = (
                    float(np.sqrt(np.mean((label - guess) ** 2))) for guess in (planted, total / max(count, 1))
                )
                yield name, Best("rmse", known, mean, len(label))
                continue
            yield from _order(name, label, planted)
            if given := self.domain.behaviors[name].given:
                after = rows[given][there] == 1
                chance = planted[after] / rows[f"{given} planted"][there][after]
                yield from _order(f"{name}_if_{given}", label[after], chance)

    def _ranking(self, rows: Mapping[str, np.ndarray]) -> Best | None:
        """Items for users who have a past."""
        target = rows["target"].astype(bool) & self._past[rows["users"]]
        scores = functools.partial(self._chances, self.domain.target)
        return _ranked(rows["users"][target], rows["items"][target], scores, self._popular)

    def _askers(self, rows: Mapping[str, np.ndarray], behavior: str) -> Best | None:
        """Users for items: who chooses them, and with a behavior who does that, too; popularity is how often they did."""
        target = rows[behavior] == 1 if behavior else np.ones(len(rows["users"]), bool)

        def scores(items: np.ndarray) -> np.ndarray:
            users = np.arange(len(self._past))
            activity = np.diff(self.domain.world.activity, prepend=0)
            return np.asarray(activity * self._chances(behavior, users)[:, items].T)

        return _ranked(rows["items"][target], rows["users"][target], scores, self._doers[behavior])

    def _chances(self, behavior: str, users: np.ndarray) -> np.ndarray:
        """float64 `[users, items]`: how often each item is chosen in the test, and a behavior follows."""
        chosen = self.domain.expected(users)
        return chosen * self.domain.acts.matrix(behavior, users, (TEST + DAYS) / 2) if behavior else chosen


def _ranked(
    who: np.ndarray, what: np.ndarray, scores: Callable[[np.ndarray], np.ndarray], popular: np.ndarray
) -> Best | None:
    """Rankings by scores, of some of those who have targets, and by popularity.

    Args:
        who: int64 `[targets]`, whose target it is.
        what: int64 `[targets]`.
        scores: from some of these to `[n, candidates]`.
        popular: `[candidates]`.
    """
    some = np.random.default_rng(0).permutation(np.unique(who))[: max(1, _SCORES // len(popular))]
    some = np.sort(some)
    if not len(some):
        return None
    of = np.isin(who, some)
    relevant = np.zeros((len(some), len(popular)), bool)
    relevant[np.searchsorted(some, who[of]), what[of]] = True
    plain = _ndcg(np.broadcast_to(popular, relevant.shape), relevant)
    return Best(f"ndcg@{_TOP}", _ndcg(scores(some), relevant), plain, len(some))


def _order(name: str, label: np.ndarray, planted: np.ndarray) -> Iterator[tuple[str, Best]]:
    if len(label) and 0 < label.mean() < 1:
        yield name, Best("auc", float(roc_auc_score(label, planted)), 0.5, len(label))


def _of_texts(domain: Domain) -> Iterator[tuple[str, Best]]:
    """What texts tell of topics and tags, over all items."""
    columns = domain.entities.get("item", {})
    topic = domain.world.topic
    if named := next((name for name, column in columns.items() if column.classes), ""):
        right = float(np.mean(domain.texts.topics.argmax(1) == topic))
        yield named, Best("accuracy", right, float(np.bincount(topic).max() / len(topic)), len(topic))
    if "tags" in columns:
        tags = domain.texts.tags
        some = [n for n in range(tags.shape[1]) if 0 < tags[:, n].mean() < 1]
        values = [roc_auc_score(tags[:, n], domain.texts.tag_chances[:, n]) for n in some]
        yield "tags", Best("macro_auc", float(np.mean(values)), 0.5, len(topic))


def _of_users(domain: Domain) -> Iterator[tuple[str, Best]]:
    for name, (label, chances) in domain.facts().items():
        plain = float(np.bincount(label).max() / len(label))
        yield name, Best("accuracy", float(np.mean(chances.argmax(1) == label)), plain, len(label))


def _ndcg(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Mean NDCG of binary relevance; both `[rows, items]`."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :_TOP]
    discount = 1 / np.log2(np.arange(2, _TOP + 2))
    gain = np.take_along_axis(relevant, top, 1) @ discount
    ideal = np.cumsum(discount)[np.minimum(relevant.sum(1), _TOP) - 1]
    return float(np.mean(gain / ideal))


def as_json(found: Mapping[str, Best]) -> dict[str, Any]:
    """Values of JSON, rounded."""
    return {
        task: {
            "metric": best.metric,
            "planted": round(best.planted, 4),
            "plain": round(best.plain, 4),
            "rows": best.rows,
        }
        for task, best in found.items()
    }
