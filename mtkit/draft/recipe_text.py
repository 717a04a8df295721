"""The first recipe of some tables, as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtkit.draft import rules
from mtkit.draft.declarations import data_parts
from mtkit.draft.outline import Draft
from mtkit.draft.toml_text import Part, text_of

#: Kinds of events that mean that something was had, if there are others beside them.
_HAD = ("buy", "purchase", "order", "transaction", "checkout", "play", "watch", "download", "install", "apply")


def recipe_text(draft: Draft, name: str, directory: Path) -> str:
    """The recipe.

    Args:
        draft: what it is written from.
        name: its name.
        directory: where it will lie; paths of data are relative to it.
    """
    body = {"rows": _of_rows, "outcomes": _of_outcomes, "profiles": _of_profiles, "windows": _of_windows}[draft.shape]
    parts = [
        _head(draft, name),
        *data_parts(draft, directory),
        _split(draft),
        *_catalogs(draft),
        *_events(draft),
        *body(draft),
    ]
    return text_of(parts)


def name_of(path: Path) -> str:
    """A name for a recipe of these data: that of the folder, or of the file."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.resolve().name if path.is_dir() else path.resolve().stem).strip("-._")
    return plain or "first"


def _head(draft: Draft, name: str) -> Part:
    counts = draft.counts
    what = {
        "rows": "Rows that stand for themselves",
        "outcomes": "What users were shown, and what they did",
        "profiles": "Which items go with those that a user had",
        "windows": "What users will do next",
    }[draft.shape]
    sizes = f"{counts.rows:,} rows"
    if counts.users:
        sizes += f", {counts.users:,} users, {counts.items:,} items"
    about = f"{what}: {sizes}. Written by `mtkit init`; a beginning, to be changed."
    values: dict[str, Any] = {"recipe": 1, "name": name}
    if draft.text_columns:
        values["requires"] = {"mtkit-bert": ">=0.1"}
    return Part("", values, about)


def _split(draft: Draft) -> Part:
    share = {"valid": rules.SHARE, "test": rules.SHARE}
    if part := draft.one("part"):
        values = set(draft.tables.facts[part].common)
        valid = next((value for value in ("valid", "validation", "dev", "val") if value in values), None)
        return Part("data.split", {"use": "column", "column": part} | ({"valid": valid} if valid else {}))
    if draft.one("time") and (draft.shape == "rows" or rules.splits_by_time(draft.counts)):
        return Part("data.split", {"use": "time_shares", **share}, "The last interactions are the test.")
    if draft.shape == "rows":
        return Part("data.split", {"use": "random", **share})
    about = "Times are forgotten: "
    about += f"only {draft.counts.returning:.0%} of the last rows are of users who were there before."
    return Part(
        "data.split", {"use": "user_stratified", **share}, about if draft.one("time") else "There are no times."
    )


def _catalogs(draft: Draft) -> Iterator[Part]:
    if not draft.counts.users:
        return
    for entity in ("user", "item"):
        values: dict[str, Any] = {}
        unlisted = (draft.counts.unlisted or {}).get(entity, 0)
        if draft.shape == "outcomes":
            values["unlisted"] = "unknown"
        elif unlisted:
            values["unlisted"] = "drop"
        least = _least(draft, entity)
        if least != 1:
            values["min_count"] = least
        if values:
            about = f"{unlisted:,} rows have ids that the table lacks." if unlisted else ""
            yield Part(f"data.catalog.{entity}", values, about)


def _least(draft: Draft, entity: str) -> int:
    """Interactions that a row of a catalog needs."""
    if draft.shape == "profiles":
        return 0
    if entity == "user":
        return 1
    return 1 if draft.shape == "outcomes" else rules.min_count(draft.counts)


def _had(draft: Draft) -> str:
    """The kind of event that is the one to ask about; empty if all are alike."""
    event = draft.one("event")
    values = draft.tables.facts[event].common if event else []
    return next((value for kind in _HAD for value in values if value.lower() == kind), "")


def _events(draft: Draft) -> Iterator[Part]:
    if draft.shape == "outcomes":
        if draft.wanted:
            yield Part("events.positive", {"where": {draft.wanted: 1}})
    elif kind := _had(draft):
        yield Part("events.positive", {"where": {draft.one("event"): kind}})


def _where(draft: Draft) -> dict[str, Any]:
    return {"where": "positive"} if [*_events(draft)] else {}


def _heads(draft: Draft, rows: str, inputs: list[str]) -> Iterator[Part]:
    for label in draft.labels:
        head = "regression" if draft.form(label) == "number" else "user_preference"
        yield Part(f"task.{task_name(label)}", {"use": head, "rows": rows, "inputs": inputs, "label": label})


def task_name(column: str) -> str:
    """A name of a task for a label."""
    plain = re.sub(r"[^a-z0-9_]", "_", column.lower()).strip("_")
    return plain if plain[:1].isalpha() else f"label_{plain}"


def _prediction_metrics(draft: Draft) -> list[str]:
    forms = {draft.form(label) for label in draft.labels} | ({"number"} if draft.one("rating") else set())
    wanted = {"auc": {"binary"}, "log_loss": {"binary", "classes"}, "accuracy": {"classes"}, "rmse": {"number"}}
    return [metric for metric, fits in wanted.items() if fits & forms]


def _of_rows(draft: Draft) -> Iterator[Part]:
    """Rows that stand for themselves: features, hidden layers, a head for each label."""
    yield Part("rows.rows", {"use": "interactions"})
    yield from _buckets(draft)
    layers = rules.layers(draft.counts)
    yield Part("encoder.row", {"use": "features", "reads": draft.context, **layers})
    if len(draft.labels) > 1:
        yield Part("correlation.experts", {"use": "mmoe"}, "A state for each task, by experts that they share.")
    yield from _heads(draft, "rows", ["row"])
    label = draft.labels[0]
    metric = {"binary": "auc", "classes": "log_loss", "number": "rmse"}[draft.form(label)]
    yield _evaluate({"prediction_metrics": _prediction_metrics(draft)}, f"{task_name(label)}/{metric}")


def _buckets(draft: Draft) -> Iterator[Part]:
    """Numbers as trees see them: of few values a bucket for each, of many as many buckets as their rows can teach."""
    numbers = {f"context.{name}": draft.tables.facts[name].distinct for name in draft.of_role("numeric")}
    few = [name for name, distinct in numbers.items() if distinct <= rules.FEW_VALUES]
    many = [name for name in numbers if name not in few]
    about = "Numbers as trees see them: a bucket for each value, or for as many rows."
    for name, columns, count in (("values", few, 10 * rules.FEW_VALUES), ("numbers", many, rules.BUCKETS)):
        if columns:
            yield Part(f"preprocess.{name}", {"use": "buckets", "columns": columns, "count": count}, about)
            about = ""


def _of_outcomes(draft: Draft) -> Iterator[Part]:
    """Outcomes of what was shown, by all that is known before; and what to show next."""
    binary = [name for name in draft.of_role("label") if draft.form(name) == "binary"]
    keys = ["user.id", "item.id", *(key for keys in _statistic_keys(draft) for key in keys)]
    yield Part("rows.shown", {"use": "interactions", "labels": draft.labels})
    yield _window_rows(draft)
    yield Part(
        "preprocess.known",
        {"use": "target_statistics", "columns": keys, "together": _together(draft), "labels": binary},
        "What became of earlier rows of the user, the item, ..., as of each row.",
    )
    reads = ["known.known", *draft.features("user"), *draft.features("item"), *draft.context]
    yield Part("encoder.view", {"use": "features", "reads": reads, **rules.view(draft.counts)})
    yield from _retrieval_encoders(draft)
    if len(draft.labels) > 1:
        yield Part(
            "correlation.experts", {"use": "mmoe", "on": ["view"]}, "A state for each task, by experts that they share."
        )
    yield from _heads(draft, "shown", ["view"])
    yield _next(draft)
    metrics = {"metrics": ["ndcg", "recall"], "slices": ["new"], "prediction_metrics": _prediction_metrics(draft)}
    yield Part("train", {"epoch_of": "shown"})
    yield _evaluate(metrics, f"{task_name(draft.labels[0])}/auc")


def _statistic_keys(draft: Draft) -> tuple[list[str], list[str]]:
    """By which columns of items, and of rows, outcomes are counted: those with the most values that come again and again."""
    facts = draft.tables.entities["item"].facts if "item" in draft.tables.entities else {}
    columns = sorted(draft.of_role("categorical", table="item"), key=lambda name: -facts[name].distinct)
    context = draft.of_role("categorical")
    return [f"item.{name}" for name in columns[: rules.KEYS]], [f"context.{name}" for name in context[: rules.KEYS]]


def _together(draft: Draft) -> list[list[str]]:
    """Pairs: what the user does with such items, and in such a place, and what is done with the item there."""
    items, context = _statistic_keys(draft)
    pairs = [["user.id", key] for key in (*items[: rules.PAIRS], *context[: rules.PAIRS])]
    return pairs + [["item.id", key] for key in context[: rules.PAIRS]]


def _window_rows(draft: Draft) -> Part:
    if not rules.splits_by_time(draft.counts):
        return Part("rows.next", {"use": "profiles", **_where(draft)}, "(user) with all items of the past.")
    found = rules.windows(draft.counts)
    values: dict[str, Any] = {"use": "windows", "length": f"{found.length.days}d", "stride": f"{found.stride.days}d"}
    past = {"past": "positive"} if draft.shape == "outcomes" and draft.wanted else {}
    return Part(
        "rows.next",
        values | {"count": found.count} | _where(draft) | past,
        "(user, days) with the items of these days.",
    )


def _retrieval_encoders(draft: Draft) -> Iterator[Part]:
    width = rules.dim(draft.counts)
    if texts := draft.text_columns:
        reads = [f"item.{name}" for name in texts]
        yield Part(
            "encoder.text",
            {"use": "bert", "reads": reads, "components": width, "dim": width},
            "Frozen: encoded once, and kept.",
        )
    yield Part(
        "encoder.item",
        {"use": "features", "reads": draft.features("item"), "dim": width, "dropout": rules.ITEM_DROPOUT},
    )
    values: dict[str, Any] = {"use": "history", "reads": ["history.item"]} | ({"items": "text"} if texts else {})
    values |= {"length": rules.history_length(draft.counts), "dropout": rules.PAST_DROPOUT, "dim": width}
    yield Part("encoder.past", values)


def _next(draft: Draft) -> Part:
    values: dict[str, Any] = {"use": "gated_retrieval", "rows": "next", "query": ["past"]}
    values["candidate"] = ["item", "text"] if draft.text_columns else ["item"]
    if draft.counts.items > rules.DRAWN:
        values["negatives"] = "uniform"
    return Part("task.next", values)


def _of_windows(draft: Draft) -> Iterator[Part]:
    """What comes next, by windows of time, and ratings."""
    yield _window_rows(draft)
    yield from _rating_rows(draft, 1.0)
    yield from _retrieval_encoders(draft)
    yield from _rating_encoders(draft)
    yield _next(draft)
    yield from _rating_task(draft)
    yield _evaluate(_ranking_metrics(draft), _main(draft))


def _of_profiles(draft: Draft) -> Iterator[Part]:
    """A linear auto-encoder of profiles, and ratings."""
    profiles = rules.profiles(draft.counts)
    about = (
        "(user) with all items of the past, of which a random half is hidden from the encoder: a linear auto-encoder."
    )
    yield Part("rows.next", {"use": "profiles", "batch_size": profiles.batch, **_where(draft)}, about)
    yield from _rating_rows(draft, profiles.passes)
    past = {"use": "history", "reads": ["history.item"], "length": profiles.length, "dropout": 0.5, "dim": profiles.dim}
    yield Part("encoder.past", past)
    yield Part("encoder.item", {"use": "features", "reads": ["item.id"], "id_dropout": 0, "dim": profiles.dim})
    yield from _rating_encoders(draft)
    task = {"use": "retrieval", "rows": "next", "query": ["past"], "candidate": ["item"], "loss": "squared"}
    yield Part("task.next", task)
    yield from _rating_task(draft)
    yield Part("train", rules.TRAIN_PROFILES)
    yield _evaluate(_ranking_metrics(draft), _main(draft))


def _rating_rows(draft: Draft, passes: float) -> Iterator[Part]:
    if rating := draft.one("rating"):
        yield Part(
            "rows.ratings", {"use": "interactions", "labels": [rating]} | ({"passes": passes} if passes != 1 else {})
        )


def _rating_encoders(draft: Draft) -> Iterator[Part]:
    if draft.one("rating"):
        width = rules.dim(draft.counts)
        options = {"dim": width, **rules.RATERS}
        yield Part("encoder.rater", {"use": "features", "reads": draft.features("user"), **options})
        yield Part("encoder.rated", {"use": "features", "reads": draft.features("item"), **options})
        pair = {"use": "fusion", "apply": "pair", "on": ["rater", "rated"], "dim": width}
        yield Part("correlation.pair", pair)


def _rating_task(draft: Draft) -> Iterator[Part]:
    if rating := draft.one("rating"):
        inputs = ["rater", "rated", "pair"]
        yield Part(
            f"task.{task_name(rating)}", {"use": "regression", "rows": "ratings", "inputs": inputs, "label": rating}
        )


def _ranking_metrics(draft: Draft) -> dict[str, Any]:
    predictions = {"prediction_metrics": ["rmse"]} if draft.one("rating") else {}
    return {"metrics": ["ndcg", "recall", "hit"], "slices": ["new"], **predictions}


def _main(draft: Draft) -> str:
    return "next/ndcg@10" if draft.counts.repeats >= rules.REPEATS else "next/new/ndcg@10"


def _evaluate(values: Mapping[str, Any], main: str) -> Part:
    return Part("evaluate", {**values, "baselines": "auto", "main": main})
