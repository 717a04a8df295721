"""What one should know of a model before it is used, as Markdown beside each export; no TensorFlow.

Source: Mitchell et al., "Model cards for model reporting", 2019, for the sections. Deviation: what only people know, as whom a
model affects, is there as far as the recipe states it.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mtkit
from mtkit.files import versions, write_text
from mtkit.recipe.loader import Recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.result_tables import cell
from mtkit.runs.results import RunResults
from mtkit.shown import counted, shown_line

NAME = "model_card.md"
_LIBRARIES = ("tensorflow", "tf-keras", "numpy")


def write_card(directory: RunDirectory, results: RunResults, recipe: Recipe) -> Path | None:
    """Writes the card of a run beside its latest export; None where nothing was exported.

    Raises:
        RunError: it cannot be written.
    """
    if not (found := versions(directory.export)):
        return None
    path = directory.export / str(found[-1]) / NAME
    write_text(path, model_card(recipe, results, directory.read_fingerprint()))
    return path


def model_card(recipe: Recipe, results: RunResults, fingerprint: str) -> str:
    """The text of a card.

    Args:
        recipe: what ran.
        results: what was found.
        fingerprint: of the data.
    """
    parts = {
        "": [recipe.description] if recipe.description else [],
        "Intended use": [recipe.intended_use or "Not stated: the recipe has no `intended_use`."],
        "Data": [*_data(recipe, results, fingerprint)],
        "Tasks": [*_tasks(recipe)],
        "Metrics": [*_metrics(results)],
        "Limits": [*_limits(recipe, results)],
        "Versions": [*_versions(recipe)],
    }
    sections = [
        "\n".join([f"## {title}\n" if title else "", *lines]).strip() for title, lines in parts.items() if lines
    ]
    return "\n\n".join([f"# {_text(recipe.name)}", *sections]) + "\n"


def _data(recipe: Recipe, results: RunResults, fingerprint: str) -> Iterator[str]:
    protocol = results.protocol
    yield f"- source: `{recipe.uses['data']}`, fingerprint `{fingerprint}`"
    sizes = ", ".join(f"{count:,} {part}" for part, count in protocol.get("interactions", {}).items())
    options = ", ".join(f"{key} = {_text(value)}" for key, value in protocol.get("options", {}).items())
    yield f"- split: `{protocol['split']}`" + (f" ({options})" if options else "")
    yield f"- interactions: {sizes}"
    yield from (f"- {_text(note)}" for note in protocol.get("data", ()))
    for phase, of in results.left_out.items():
        for reason, count in of.get("interactions", {}).items() if phase == "test" else ():
            if count:
                yield f"- left out: {counted(count, 'interaction')}, {_text(reason)}"


def _tasks(recipe: Recipe) -> Iterator[str]:
    yield from ("| task | head | rows | trained on |", "|---|---|---|---|")
    for name, head in recipe.task.items():
        label = getattr(head, "label", None) or "the items that follow"
        yield f"| {name} | `{recipe.uses[f'task.{name}']}` | {head.rows} | {_text(label)} |"


def _metrics(results: RunResults) -> Iterator[str]:
    yield "On the test, beside the baseline that is best on validation; intervals hold the value with 95 %."
    yield ""
    yield from (
        "| task | metric | model | 95 % | baseline | value | verdict |",
        "|---|---|---|---|---|---|---|",
    )
    for line in results.verdicts or ():
        key = f"{line['task']}/{line['metric']}"
        bounds = results.intervals.get("test", {}).get(key)
        interval = " to ".join(f"{bound:.4f}" for bound in bounds or ())
        values = (cell(line["model"]), interval, line["baseline"] or "", cell(line["value"]), line["verdict"])
        yield f"| {line['task']} | {line['metric']} | {' | '.join(values)} |"
    yield ""
    yield "All metrics, of slices too, are in `metrics.json` of the run."


def _limits(recipe: Recipe, results: RunResults) -> Iterator[str]:
    yield "- Figures are of the past that the test covers; they are no promise for other users, items or times."
    for line in results.verdicts or ():
        if line["verdict"] in ("worse", "not told apart"):
            what = "is worse than" if line["verdict"] == "worse" else "cannot be told from"
            yield f"- `{line['task']}` {what} the baseline `{line['baseline']}` by {line['metric']}."
    yield from (f"- {_text(text)}" for text in _weak_slices(recipe, results))
    for task, groups in ((results.unknown or {}).get("test") or {}).items():
        for group, of in groups.items():
            if group != "known" and of["rows"]:
                ratio = (
                    "" if of["ratio"] is None else f", where its mean prediction is {of['ratio']:.2f} times the rate"
                )
                yield f"- `{task}`: {of['rows']:,} rows of the test are of {group.replace('_', ' ')}{ratio}."
    yield from (f"- {_text(text)}" for text in results.warnings or ())


def _weak_slices(recipe: Recipe, results: RunResults) -> Iterator[str]:
    """Slices in which a baseline is better by the task's main metric."""
    for line in {one["task"]: one for one in reversed(results.verdicts or ())}.values():
        task, _, label = f"{line['task']}/{line['metric']}".partition("/")
        lower = recipe.lower_is_better(f"{task}/{label}")
        for key, value in (results.test or {}).items():
            if key.startswith(f"{task}/") and key.endswith(f"/{label}") and key != f"{task}/{label}":
                others = {
                    name: mean for name, of in results.baselines.items() if (mean := _mean(of.get(key))) is not None
                }
                mean = _mean(value)
                best = (min if lower else max)(others, key=others.__getitem__, default=None)
                if mean is not None and best is not None and (others[best] < mean if lower else others[best] > mean):
                    yield f"{key} is {mean:.4f}, and {others[best]:.4f} by the baseline {best}."


def _versions(recipe: Recipe) -> Iterator[str]:
    yield f"- mtkit {mtkit.__version__}, Python {platform.python_version()}"
    yield "- " + ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    if others := {name: of for name, of in recipe.distributions.items() if name != "mtkit"}:
        yield "- " + ", ".join(f"{name} {of}" for name, of in others.items())
    yield f"- seed {recipe.seed}; the recipe with every default is `recipe.lock.toml` of the run"


def _mean(value: Any) -> float | None:
    mean = value["mean"] if isinstance(value, Mapping) else value
    return None if mean is None or mean != mean else float(mean)  # noqa: PLR0124 - nan


def _text(value: Any) -> str:
    """Text of data and recipes in a line of Markdown, which makes no markup of it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ", ".join(map(str, value))
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", shown_line(value))
