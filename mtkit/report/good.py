"""Is it good? Each task beside its best baseline, and all figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, details, el, part, prose, section, slug, table
from mtkit.report.numbers import NONE, bounds, chance, figure, signed, signed_percent, value_of
from mtkit.types import MetricKey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Is it good?"
#: Behind metrics of which less is better.
_LESS = "\N{NO-BREAK SPACE}\N{DOWNWARDS ARROW}"
_CLASSES = {"better": "good", "worse": "bad"}
_GAINS = {"better": 1, "worse": -1}


def good(run: KeptRun) -> Html:
    """The section."""
    return section(
        "good", TITLE, prose(*_summary(run)), _verdicts(run), _forest(run), _seeds(run),
        part("All figures of the test", *_figures(run)),
    )  # fmt: skip


def _summary(run: KeptRun) -> Iterator[Any]:
    words = [line["verdict"] for line in run.verdicts]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    if not counts:
        yield "There is no model in this run: baselines stand alone."
        return
    told = ", ".join(f"{word} {count}" for word, count in counts.items())
    yield f"The model beside the baseline that is best on validation, on the test: {told}. "
    yield "A task is better or worse where a paired test over users says so at 5 %, corrected for all lines together (Holm)."


def word(text: str) -> Html:
    """A verdict."""
    return el("span", text, class_=f"word {_CLASSES.get(text, 'muted')}")


def _verdicts(run: KeptRun) -> Html | None:
    head = (
        "task", "verdict", "metric", "model", "95 %", "best baseline", "its value", "difference", "relative", "effect d",
        "would be seen", "p",
    )  # fmt: skip
    caption = f"Verdicts by task; of metrics with{_LESS} less is better"
    return table(caption, head, [_line(run, line) for line in run.verdicts], numbers=(3, 4, 6, 7, 8, 9, 10, 11))


def _line(run: KeptRun, line: Mapping[str, Any]) -> tuple[Any, ...]:
    key = f"{line['task']}/{line['metric']}"
    effect, p = line.get("effect"), line.get("p_holm")
    return (
        el("a", line["task"], href=f"#{slug('weak', line['task'])}"),
        word(line["verdict"]),
        line["metric"] + (_LESS if run.recipe.lower_is_better(key) else ""),
        figure(run.test.get(key)),
        bounds(run.interval(key)),
        line["baseline"] or NONE,
        figure(line["value"]),
        signed(line["difference"]),
        signed_percent(line["relative"]),
        NONE if effect is None else signed(effect, 2),
        figure(line.get("detectable")),
        NONE if p is None else chance(p),
    )


def verdict_chart(run: KeptRun) -> Figure | None:
    """Relative differences to the best baselines; None where no task has one."""
    lines = [line for line in run.verdicts if line["relative"] is not None and line["value"]]
    if not lines:
        return None
    signs = [-1 if run.recipe.lower_is_better(f"{line['task']}/{line['metric']}") else 1 for line in lines]
    values = [sign * line["relative"] for sign, line in zip(signs, lines, strict=True)]
    pairs = [
        None if line["interval"] is None else [sign * bound / abs(line["value"]) for bound in line["interval"]]
        for sign, line in zip(signs, lines, strict=True)
    ]
    names = [f"{line['task']} {line['metric']}" for line in lines]
    return charts.forest(names, values, pairs, [_GAINS.get(line["verdict"], 0) for line in lines])


def _forest(run: KeptRun) -> Html | None:
    drawn = verdict_chart(run)
    caption = "The model's difference to the best baseline, with its interval; green is better for sure, red is worse for sure."
    return None if drawn is None else svg(drawn, "forest", caption, wide=True)


def _seeds(run: KeptRun) -> Html | None:
    if not run.several:
        return None
    names = [path.name for path in run.several]
    keys = dict.fromkeys(f"{line['task']}/{line['metric']}" for line in run.verdicts)
    rows = [(key, figure(run.test[key]), *map(figure, run.test[key]["values"])) for key in keys if key in run.test]
    found = table("Figures of each run", ("figure", "mean", *names), rows, numbers=range(1, len(names) + 2))
    note = prose(f"What follows below is of {names[0]}; figures are means over {len(names)} runs.")
    return part(f"{len(names)} runs", note, found)


def _figures(run: KeptRun) -> Iterator[Html | None]:
    """A table for each task and slice, closed."""
    keys = dict.fromkeys(key for of in (run.test, *run.baselines.values()) for key in of)
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(MetricKey.parse(key).group, []).append(key)
    for group, found in groups.items():
        rows = run.rows(group)
        yield details(f"{group}{'' if rows is None else f', {rows:,} rows'}", _group(run, group, found))


def _group(run: KeptRun, group: str, keys: list[str]) -> Html | None:
    names = [name for name, values in run.baselines.items() if any(key in values for key in keys)]
    head = ("metric", *(["model", "95 %"] if run.test else []), *names)
    rows = []
    for key in keys:
        of_model = (_best(run, key, run.test.get(key)), bounds(run.interval(key))) if run.test else ()
        others = (_best(run, key, run.baselines[name].get(key)) for name in names)
        rows.append((MetricKey.parse(key).label, *of_model, *others))
    return table(f"{group}: the best of a line is bold", head, rows, numbers=range(1, len(head)))


def _best(run: KeptRun, key: str, value: Any) -> Any:
    """A figure, bold where none is better."""
    if value is None:
        return ""
    known = [number for of in (run.test, *run.baselines.values()) if (number := value_of(of.get(key))) is not None]
    best = (min if run.recipe.lower_is_better(key) else max)(known, default=None)
    return el("b", figure(value)) if value_of(value) == best and best is not None else figure(value)
