"""What does it cost? Time and memory by phase, parameters, and what is served."""

from __future__ import annotations

from collections.abc import Iterator

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, el, part, section, table
from mtkit.report.numbers import NONE, percent, seconds, size, value_of

TITLE = "What does it cost?"
_SECONDS, _MEBI = "_seconds", 1024 * 1024


def cost(run: KeptRun) -> Html:
    """The section."""
    return section(
        "cost",
        TITLE,
        el("dl", [(el("dt", name), el("dd", value)) for name, value in _facts(run)]),
        el("div", _times(run), _parameters(run), class_="grid"),
        part("Time and memory by phase", _table(run)),
        part("Speed of training", _speed(run)),
    )


def _facts(run: KeptRun) -> Iterator[tuple[str, str]]:
    total = value_of((run.metrics.get("timing") or {}).get("total_seconds"))
    if total is not None:
        yield "Whole run", seconds(total)
    if memory := run.metrics.get("memory"):
        yield "Most memory", size(max(memory.values()) * _MEBI)
    if parameters := run.said.get("parameters"):
        yield "Parameters", f"{sum(parameters.values()):,}"
    yield "Export", size(run.export_bytes) if run.export_bytes else "none"


def _laps(run: KeptRun) -> dict[str, float]:
    timing = run.metrics.get("timing") or {}
    found = {name.removesuffix(_SECONDS): value_of(of) for name, of in timing.items() if name.endswith(_SECONDS)}
    return {name: of for name, of in found.items() if of is not None and name != "total"}


def _times(run: KeptRun) -> Html | None:
    laps = _laps(run)
    if not laps:
        return None
    longest = max(laps, key=laps.__getitem__)
    caption = (
        f"Seconds of each part of the run; the longest is {longest.replace('_', ' ')} with {seconds(laps[longest])}."
    )
    return svg(charts.bars([name.replace("_", " ") for name in laps], list(laps.values()), "seconds"), "times", caption)


def _parameters(run: KeptRun) -> Html | None:
    parameters = dict(sorted((run.said.get("parameters") or {}).items(), key=lambda pair: -pair[1])[:16])
    if not parameters:
        return None
    first = next(iter(parameters))
    share = parameters[first] / max(sum(run.said["parameters"].values()), 1)
    caption = f"Numbers that each component learned; {first} has {percent(share)} of them."
    return svg(charts.bars(list(parameters), list(parameters.values()), "parameters"), "parameters", caption)


def _table(run: KeptRun) -> Html | None:
    laps, memory = _laps(run), run.metrics.get("memory") or {}
    whole = sum(laps.values()) or 1.0
    rows = [
        (
            name.replace("_", " "),
            f"{of:.1f}",
            percent(of / whole),
            size(memory[name] * _MEBI) if name in memory else NONE,
        )
        for name, of in laps.items()
    ]
    return table(
        "By phase; memory is the most that the process had taken until its end",
        ("phase", "seconds", "share", "memory"),
        rows,
        numbers=(1, 2, 3),
    )


def _speed(run: KeptRun) -> Html | None:
    if "rows_per_second" not in run.history:
        return None
    of = run.history.groupby("phase", sort=False)[["seconds", "rows_per_second"]].median()
    rows = [(phase, f"{row['seconds']:.1f}", f"{row['rows_per_second']:,.0f}") for phase, row in of.iterrows()]
    return table("Median over epochs", ("phase", "seconds of an epoch", "rows per second"), rows, numbers=(1, 2))
