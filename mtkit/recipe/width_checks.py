"""Widths that do not match, as far as declarations tell them: of embeddings, states of tasks, and what heads add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtkit.recipe.source_text import Mistake
from mtkit.spec import Correlation, Encoder, TaskHead, prediction_of

#: How wide each embedding is, on its way to the heads; of those that are not here it is not known.
Widths = dict[str, int]


def unfit_widths(
    encoders: Mapping[str, Encoder | None],
    correlations: Mapping[str, Correlation | None],
    tasks: Mapping[str, TaskHead | None],
) -> Iterator[Mistake]:
    """Correlations that cannot take an embedding, and heads whose embeddings are not equally wide, though they have to be."""
    widths = {name: encoder.width for name, encoder in encoders.items() if encoder}
    read = _read(correlations, tasks)
    for name, spec in correlations.items():
        if spec is None:
            return  # of what comes after it nothing is known
        on = spec.on or tuple(name for name in (*encoders, *correlations) if name in widths)
        known = {each: widths[each] for each in on if each in widths and each in read}
        if message := _not_shared(spec, known):
            yield Mistake(("correlation", name, "share"), message)
        if spec.apply == "pair":
            yield from _pair(name, spec, on, widths, len(tasks))
        else:
            for each, width in known.items():
                yield from _misfit(name, spec, each, width, len(tasks))
            widths |= _states(spec, known, widths)
    for name, head in tasks.items():
        if head and (message := _not_equal(head, widths)):
            yield Mistake(("task", name), message)


def _read(correlations: Mapping[str, Correlation | None], tasks: Mapping[str, TaskHead | None]) -> set[str]:
    """Embeddings that heads read, or pairs; others have no layers."""
    found = {read.name for head in tasks.values() if head for read in head.reads() if read.embedded}
    pairs = [spec for spec in correlations.values() if spec and spec.apply == "pair"]
    return found.union(*(spec.on for spec in pairs))


def _pair(name: str, spec: Correlation, on: tuple[str, ...], widths: Widths, tasks: int) -> Iterator[Mistake]:
    parts = [widths.get(each) for each in on]
    if None in parts:
        return
    total = sum(filter(None, parts))
    if spec.joined:
        yield from _misfit(name, spec, " and ".join(on), total, tasks)
    if (state := spec.state_width(total)) is not None:
        widths[name] = state


def _misfit(name: str, spec: Correlation, embedding: str, width: int, tasks: int) -> Iterator[Mistake]:
    key, message = spec.misfit(width, tasks if spec.tasks == "all" else 1)
    if key:
        yield Mistake(("correlation", name, key), f"{message} (embedding {embedding!r})")


def _states(spec: Correlation, known: Widths, widths: Widths) -> Widths:
    """The widths after a correlation on each embedding for itself; one that does not tell its own leaves nothing known."""
    after = {each: spec.state_width(width) for each, width in known.items()}
    for each in [each for each, width in after.items() if width is None]:
        widths.pop(each)
    return {each: width for each, width in after.items() if width is not None}


def _not_shared(spec: Correlation, known: Widths) -> str:
    if not spec.share or len(set(known.values())) < 2:
        return ""
    return (
        f"share = true is one layer for all embeddings of `on`, but {_told(known)}; make them alike (`dim` of encoders)"
    )


def _not_equal(head: TaskHead, widths: Widths) -> str:
    """Why embeddings of a head do not go together; empty if they do, or if that cannot be told."""
    known = {name: widths[name] for name in head.equally_wide if name in widths and not prediction_of(name)}
    if len(set(known.values())) < 2:
        return ""
    return (
        f"its embeddings need one width on both sides, but {_told(known)}; give their encoders one `dim`, or the task a `dim` "
        "of its own, where it has that option"
    )


def _told(widths: Widths) -> str:
    return ", ".join(f"{name!r} is {width} wide" for name, width in widths.items())
