"""What only data and tensors can tell about a recipe, before anything is trained."""

from __future__ import annotations

from dataclasses import replace

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.cleaners import late
from mtkit.data.columns import load
from mtkit.data.event_kinds import unused_kinds
from mtkit.data.label_counts import check_labels, count_table, label_counts
from mtkit.data.leakage import find_leaks, refuse
from mtkit.data.row_tables import make_tables
from mtkit.errors import WiringError
from mtkit.evaluation.baseline_tuning import weight_notes
from mtkit.feed.batch import Batch
from mtkit.model.assembly import Pipeline, assemble
from mtkit.model.component_probe import check_components, spread_rows
from mtkit.model.forward import Forward
from mtkit.profile.survey import glance
from mtkit.recipe.blame import of_recipe
from mtkit.recipe.loader import Recipe
from mtkit.runs.console import suspicions
from mtkit.runs.continuing import earlier_of
from mtkit.runs.origins import origin_of
from mtkit.runtime.unused_gpu import unseen_gpu
from mtkit.training.warm_start import begin_with


@of_recipe
def check_full(recipe: Recipe) -> list[str]:
    """Builds the recipe's model on its data and probes it; returns lines: what the rows are, their labels, and warnings.

    Raises:
        DataError: the data do not fit the recipe, or tell what is to be predicted.
        RecipeError: a task asks for something that its row table does not have, or has no label in a part.
        WiringError: a row depends on other rows of its batch, a query on the candidate of its row, or a candidate on
            anything but itself.
    """
    dataset = load(recipe.data.source)
    valid, test = make_cuts(dataset, recipe.data.split)
    findings = find_leaks(recipe, dataset, valid, test)
    refuse(findings)
    check_labels(recipe, dataset, valid, test)
    origins = [origin_of(recipe, dataset, cut) for cut in (valid, test)]
    of_test = label_counts(recipe.plan, make_tables(recipe, dataset, test)[1])
    pipeline = assemble(recipe, dataset, valid, earlier=earlier_of(recipe, dataset, valid))
    check_components(pipeline)
    check_factorized(pipeline)
    begins = begin_with(pipeline, origins[0]) if origins[0] else None
    warning = unseen_gpu(recipe.train.strategy)
    return [
        f"rows {name} {part}: {len(table):,}, {table.note}"
        for name, parts in pipeline.tables.items()
        for part, table in parts.items()
    ] + [
        *count_table(label_counts(recipe.plan, pipeline.tables), of_test),
        *(f"data: {note}" for note in (*dataset.notes, *late(recipe.clean, valid))),
        *unused_kinds(recipe, dataset),
        *(f"data: {note}" for note in weight_notes(recipe.plan, recipe.evaluate.baselines, dataset.schema)),
        *map(str, findings),
        *suspicions(recipe, glance(recipe, dataset, valid, test)),
        *((*begins.lines(), *(f"warning: {message}" for message in begins.warnings())) if begins else ()),
        *([f"warning: {warning}"] if warning else []),
    ]


def check_factorized(pipeline: Pipeline) -> None:
    """Confirms on a tiny batch that queries stay when candidates change, and candidates when all else does.

    Declared reads say the same; this catches a component that does otherwise.

    Raises:
        WiringError: one of them does not stay.
    """
    for task, spec in pipeline.plan.rankings().items():
        feed, role = pipeline.model.feed, pipeline.plan.candidate_entity(task)
        batch = feed.batch(spec.rows, tf.constant(spread_rows(pipeline, spec.rows)))
        if role not in batch.ids:
            continue  # candidates are the catalog: no row could tell its query about them
        moved = {key: tf.roll(ids, 1, 0) for key, ids in batch.ids.items()}
        elsewhere, alone = {**batch.ids, role: moved[role]}, {**moved, role: batch.ids[role]}
        names = dict.fromkeys(name for _, name in pipeline.plan.reads(task)[spec.rows])
        asked = tuple(name for name in names if name not in spec.ranks)
        query = _differs(pipeline, asked, batch, replace(batch, ids=elsewhere))
        candidate = _differs(pipeline, spec.ranks, batch, replace(batch, ids=alone))
        for name in (*query, *candidate):
            what, other = ("query", f"its row's {role}") if name in query else ("candidate", "more than its own row")
            raise WiringError(
                f"task {task}: {what} {name!r} depends on {other}, so the catalog cannot be ranked by a dot product"
            )


def _differs(
    pipeline: Pipeline,
    names: tuple[str, ...],
    batch: Batch,
    other: Batch,
) -> list[str]:
    """Those of the embeddings that are not the same on both batches."""
    first, second = _states(pipeline, names, batch), _states(pipeline, names, other)
    return [name for name in names if bool(tf.reduce_any(first[name] != second[name]))]


def _states(pipeline: Pipeline, names: tuple[str, ...], batch: Batch) -> dict[str, tf.Tensor]:
    forward = Forward(pipeline.model, whole=frozenset())
    return {name: forward.states(name, batch) for name in names}
