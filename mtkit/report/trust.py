"""Can I trust it? How things were measured, on what, and what is suspicious about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, clipped, el, join, part, prose, section, slug, table
from mtkit.report.numbers import NONE, figure, percent

TITLE = "Can I trust it?"
_PARTS = {"train": "training", "eval": "test"}
#: Columns that are shown of a task, and what is said of one without another.
_COLUMNS, _GOLDEN, _TELLS = 8, 0.98, 0.55


def trust(run: KeptRun) -> Html:
    """The section."""
    return section(
        "trust",
        TITLE,
        part("How it was measured", _protocol(run), place="protocol"),
        part("The data over time", _time_line(run), place="time-line"),
        part("What looks suspicious in the data", *_suspicious(run), place="data"),
        part("Labels in training and test", _labels(run), place="labels"),
        part("What single columns tell of a label", *_columns(run), place="columns"),
        part("What was left out", _left_out(run), place="left-out"),
    )


def _protocol(run: KeptRun) -> Html:
    protocol = run.metrics.get("protocol") or {}
    options = ", ".join(f"{name} {clipped(value)}" for name, value in (protocol.get("options") or {}).items())
    lines = [
        ("Split", f"{protocol.get('split')} ({options})" if options else protocol.get("split")),
        ("Interactions", _sizes(protocol.get("interactions"))),
        ("The model of the test", _refit(protocol.get("refit"))),
        ("Rankings", _against(protocol.get("sampled"))),
        ("Baselines", "tuned on validation, with the same past as the model; the test decides nothing"),
        ("Intervals", "95 %, of 1,000 draws of users"),
        *(("Note", note) for note in _list(protocol.get("data"))),
    ]
    return el("dl", [(el("dt", name), el("dd", value)) for name, value in lines])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sizes(sizes: Any) -> str:
    if not isinstance(sizes, Mapping):
        return "another number in each run"
    return ", ".join(f"{part} {number:,}" for part, number in sizes.items())


def _refit(refit: Any) -> str:
    return "trained anew on training and validation" if refit else "that of validation, not trained anew"


def _against(sampled: Any) -> str:
    return f"against {sampled:,} sampled items: biased" if sampled else "of the whole catalog"


def _time_line(run: KeptRun) -> Html | None:
    line = run.data.get("time_line")
    if not line:
        return None
    caption = "Interactions by time, colored by the part of the split that they are in."
    return svg(charts.time_line(line["edges"], line["counts"]), "time-line", caption, wide=True)


def _suspicious(run: KeptRun) -> Iterator[Html | None]:
    leaks = [
        (leak["level"], leak["where"], f"{leak['what']}; {leak['advice']}") for leak in run.data.get("leaks") or ()
    ]
    yield table("What training could know of what is evaluated", ("", "where", "what"), _long(leaks))
    found = [
        (one["severity"], one["where"], _what(one))
        for one in run.data.get("findings") or ()
    ]  # fmt: skip
    yield table("Quick checks of the data", ("", "where", "what"), _long(found))
    if run.data and not leaks and not found:
        yield prose("Nothing was found before training.")


def _what(one: Mapping[str, Any]) -> str:
    detail = f" ({one['detail']})" if one["detail"] else ""
    return f"{one['code']} {one['title']}{detail}: {one['count']:,} of {one['of']:,} {one['unit']}"


def _long(rows: list[tuple[str, str, str]]) -> Iterator[tuple[Any, ...]]:
    for level, where, what in rows:
        yield level, clipped(where), el("span", clipped(what, 400), class_="long")


def _labels(run: KeptRun) -> Html | None:
    rows = []
    for task, parts in (run.said.get("labels") or {}).items():
        cells: list[str] = []
        for part_ in ("train", "eval"):
            of = parts.get(part_, {})
            cells += [f"{of.get('rows', 0):,.0f}", _mean(of, run.form(task))]
        rows.append((task, *cells))
    head = ("task", "rows, training", "mean or rate", "rows, test", "mean or rate")
    return table("Rows with a label, and how many of them are 1, or the mean", head, rows, numbers=range(1, 5))


def _mean(of: Mapping[str, Any], form: str) -> str:
    if "mean" not in of:
        return NONE
    return percent(of["mean"], 2) if form == "binary" else figure(of["mean"])


def _columns(run: KeptRun) -> Iterator[Html | None]:
    drawn = []
    for task, columns in (run.said.get("columns") or {}).items():
        most = sorted(columns.items(), key=lambda pair: -pair[1])[:_COLUMNS]
        best, area = most[0]
        told = f"best is {best} with {area:.3f}" if area > _TELLS else "none of them tells much"
        caption = (
            f"{task}: the area under the ROC curve of one column alone, on rows of the test; {told}. 0.5 tells nothing, and "
            "what is near 1 knows the label."
        )
        names, values = zip(*most, strict=True)
        figure_ = charts.areas(names, values, f"{task}: AUC of the column alone", _GOLDEN)
        drawn.append(el("div", svg(figure_, slug("columns", task), caption), id=slug("columns", task)))
    if drawn:
        yield prose("Of numbers, whether they are above their median; of classes, whether it is the most frequent one.")
        yield el("div", drawn, class_="grid")


def _left_out(run: KeptRun) -> Html | None:
    found = run.metrics.get("left_out") or {}
    rows = []
    for phase, of in found.items() if isinstance(found, Mapping) else ():
        tables = (
            {"interactions": of.get("interactions") or {}, **(of.get("rows") or {})} if isinstance(of, Mapping) else {}
        )
        rows += [(phase, name, why, f"{n:,}") for name, reasons in tables.items() for why, n in reasons.items() if n]
    if not rows:
        return prose("Nothing.")
    return join(
        [
            table(
                "Interactions and rows that are not there, by phase",
                ("phase", "of", "why", "how many"),
                rows,
                numbers=(3,),
            )
        ]
    )
