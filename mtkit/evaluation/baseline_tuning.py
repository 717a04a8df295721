"""Baselines beside the model: tuned on validation, fitted on the same history, scored on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mtkit.conditions import Where
from mtkit.data.conditions import events_where
from mtkit.data.feature_scopes import scope_of
from mtkit.data.row_tables import Tables
from mtkit.evaluation.metrics import RankingProtocol, labeled, predict_metrics, rank_metrics
from mtkit.evaluation.user_sums import Measured
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Evaluate
from mtkit.schema import HISTORY, INTERACTIONS, KNOWN, Address, ColumnKind, Schema
from mtkit.spec import Baseline, ContentBaseline, EventsBaseline, Rows
from mtkit.spec.heads import query_column
from mtkit.types import Events, Fold, LabeledRows, MetricKey, RowTable, Watch, unwatched

_Scorer = Callable[[np.ndarray], np.ndarray]
"""Of the whole catalog, from users or rows."""

Tuned = Mapping[str, Mapping[str, Baseline]]
"""Baseline -> task that it fits -> the baseline as set for this task."""


@dataclass(frozen=True)
class Comparison:
    """Where baselines are tried: what is known, the rows, and how they are judged.

    Attributes:
        plan: the tasks.
        fold: what was known, and what is to be predicted.
        tables: row table -> part -> its rows.
        settings: the metrics, and the one that decides.
        protocol: how rankings are judged.
        rows: the declarations of the row tables.
        watch: shows a baseline at work, and how many of its settings are tried.
    """

    plan: Plan
    fold: Fold
    tables: Tables
    settings: Evaluate
    protocol: RankingProtocol
    rows: Mapping[str, Rows] = field(default_factory=dict)
    watch: Watch = unwatched
    _known: dict[Where | None, Events] = field(default_factory=dict, init=False, repr=False)

    def tune(self, baselines: Mapping[str, Baseline]) -> Tuned:
        """Each baseline with the setting of its grid that is best on these rows, for each task that it fits.

        A task is decided by the metric of `main` if it is measured there, or else by the first one that is.
        """
        ranking, predicting = (_of_form(baselines, form) for form in ("retrieval", "prediction"))
        tuned: dict[str, dict[str, Baseline]] = {name: {} for name in baselines}
        for name, baseline in ranking.items():
            tuned[name] = self._tune_ranking(name, baseline)
        for task in self._tasks("prediction") if predicting else ():
            train, rows = self._labeled(task)
            for name, baseline in predicting.items():
                grid, values = baseline.grid(), []
                with self.watch(f"baseline {name}, tuned for {task}", len(grid)) as advance:
                    for setting in grid:
                        values.append(self._predicted(setting, task, train, rows))
                        advance(1)
                tuned[name][task] = self._best(grid, values, task)
        return tuned

    def judge(self, tuned: Tuned) -> dict[str, Measured]:
        """Baseline -> metric key -> value, for every task that a baseline fits; nothing where it does not apply."""
        results = {name: Measured() for name in tuned}
        for name, of_task in tuned.items():
            for baseline, tasks in _by_setting({t: of_task[t] for t in self._tasks("retrieval") if t in of_task}):
                with self.watch(f"baseline {name}, measured on {', '.join(tasks)}", 0):
                    results[name] |= self._ranked(baseline, dict.fromkeys(tasks, self.protocol))
        for task in self._tasks("prediction"):
            if chosen := {name: of_task[task] for name, of_task in tuned.items() if task in of_task}:
                train, rows = self._labeled(task)
                for name, baseline in chosen.items():
                    with self.watch(f"baseline {name}, measured on {task}", 0):
                        results[name] |= self._predicted(baseline, task, train, rows)
        return results

    def results(
        self, baselines: Mapping[str, Baseline], tuned: Tuned | None = None
    ) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, Measured]]:
        """What a run keeps: the options as tuned, which `as_tuned` reads, and the values of `judge`.

        Args:
            baselines: those of the recipe.
            tuned: how they were set before; None = they are tuned here.
        """
        tuned = self.tune(baselines) if tuned is None else tuned
        plain = {name: {task: b.model_dump(mode="json") for task, b in of.items()} for name, of in tuned.items()}
        return plain, self.judge(tuned)

    def _tune_ranking(self, name: str, baseline: Baseline) -> dict[str, Baseline]:
        grid, tasks = self._grid(baseline), self._tasks("retrieval")
        if len(grid) == 1:
            return dict.fromkeys(tasks, grid[0])
        protocols = {
            task: self.protocol.only(MetricKey.parse(keys[0])) for task in tasks if (keys := self._deciding(task))
        }
        values = []
        with self.watch(f"baseline {name}, tuned", len(grid)) as advance:
            for setting in grid:
                values.append(self._ranked(setting, protocols))
                advance(1)
        return {task: self._best(grid, values, task) for task in tasks}

    def _grid(self, baseline: Baseline) -> Sequence[Baseline]:
        """What is tried: the baseline's settings, on all events and on those that targets are made of."""
        if not isinstance(baseline, EventsBaseline) or baseline.where:
            return baseline.grid()
        meant = [self.rows[name].targets for name in self._evaluated() if name in self.rows]
        found = [where for number, where in enumerate(meant) if where and where not in meant[:number]]
        return [setting.model_copy(update={"where": where}) for where in (None, *found) for setting in baseline.grid()]

    def _events(self, where: Where | None) -> Events:
        """The events for which a condition holds, looked for once for all settings and baselines."""
        if where not in self._known:
            self._known[where] = events_where(self.fold.events, where, self.fold.schema.interactions)
        return self._known[where]

    def _evaluated(self) -> list[str]:
        """The row tables on which retrieval tasks are evaluated."""
        return [self.plan.tasks[task].evaluated_on for task in self._tasks("retrieval")]

    def _best(self, grid: Sequence[Baseline], values: Sequence[Mapping[str, float]], task: str) -> Baseline:
        """The setting whose value is best by the key that decides; the first setting if none has a value."""
        key = next((key for key in self._deciding(task) if any(key in measured for measured in values)), None)
        if key is None:
            return grid[0]
        sign = -1 if self.plan.tasks[task].lower_is_better(MetricKey.parse(key).metric, self.settings) else 1
        found = [sign * measured.get(key, math.nan) for measured in values]
        return grid[int(np.argmax(np.nan_to_num(found, nan=-math.inf)))]

    def _deciding(self, task: str) -> tuple[str, ...]:
        """Metric keys of a task; the first that has a value decides."""
        return self.settings.deciding(task, self.plan.tasks[task])

    def _tasks(self, form: str) -> list[str]:
        """The tasks beside which baselines of a form stand."""
        return [name for name, spec in self.plan.tasks.items() if spec.baseline_form == form]

    def _ranked(self, baseline: Baseline, protocols: Mapping[str, RankingProtocol]) -> Measured:
        """Metric key -> value of the given retrieval tasks, for which the baseline is fitted once."""
        user, item = list(self.fold.events.ids)[:2]
        extra = {"vectors": self.protocol.vectors} if isinstance(baseline, ContentBaseline) else {}
        where = baseline.where if isinstance(baseline, EventsBaseline) else None
        score = baseline.rank(self._events(where), self.fold.cut, len(self.fold.catalog(item)), **extra)
        measured = Measured()
        if score is None:
            return measured
        for task, protocol in protocols.items():
            table = self.tables[self.plan.rows_of(task)]["eval"].weighed(self.plan.tasks[task].scales)
            of_rows = _of_users(score, table.ids[user])
            if baseline.needs_past and protocol.shares is not None:
                of_rows = _else_popular(of_rows, without_past(table), protocol.shares)
            measured |= rank_metrics(task, of_rows, table, protocol)
        return measured

    def falling_back(self, baselines: Mapping[str, Baseline]) -> list[str]:
        """What readers should know of baselines that need a past, for each row table with rows that have none."""
        needing = [name for name, baseline in _of_form(baselines, "retrieval").items() if baseline.needs_past]
        found = []
        for name in dict.fromkeys(map(self.plan.rows_of, self._tasks("retrieval"))) if needing else ():
            table = self.tables[name]["eval"]
            if count := int(np.count_nonzero(without_past(table))):
                found.append(
                    f"{count:,} of {len(table):,} rows of {name} have no past; baselines that need one rank these by "
                    f"popularity: {', '.join(needing)}"
                )
        return found

    def _predicted(self, baseline: Baseline, task: str, train: LabeledRows, rows: LabeledRows) -> Measured:
        several = rows.labels.ndim == 2
        fits = baseline.multi_label if several else baseline.numeric or rows.classes > 0
        predictions = baseline.predict(train, rows) if fits else None
        if predictions is None:
            return Measured()
        slices = self.protocol.of_rows(self.tables[self.plan.rows_of(task)]["eval"])
        return predict_metrics(task, predictions, rows, self.settings.prediction_metrics, slices)

    def _labeled(self, task: str) -> tuple[LabeledRows, LabeledRows]:
        """The rows of a prediction task for training, those that count, and for evaluation."""
        spec, features = self.plan.tasks[task], self.plan.features(task)
        parts = {part: table.weighed(spec.scales) for part, table in self.tables[spec.rows].items()}
        train, rows = (
            labeled_rows(self.fold, table, spec.predicts, features, numeric=spec.numeric)
            for table in (parts["train"].of_population(spec.predicts), parts["eval"])
        )
        there = train.weights > 0
        queries = None if spec.query_by is None else parts["eval"].dense[query_column(spec.query_by)]
        rows = replace(rows, form=spec.form, queries=queries)
        return train if there.all() else train.take(np.flatnonzero(there)), rows


def at_edges(baselines: Mapping[str, Baseline], tuned: Tuned) -> dict[str, dict[str, list[str]]]:
    """Baseline -> task -> options whose best value is the smallest or the largest of three or more that were tried.

    Beyond it may be better ones, and the baseline stronger. A smallest value of 0 is the end of an option, and no edge.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name, of_task in tuned.items():
        grid = baselines[name].grid()
        for task, chosen in of_task.items():
            if keys := [key for key in type(chosen).model_fields if _at_edge(key, grid, chosen)]:
                found.setdefault(name, {})[task] = keys
    return found


def _at_edge(key: str, grid: Sequence[Baseline], chosen: Baseline) -> bool:
    tried, value = (
        {getattr(setting, key) for setting in grid if _is_number(getattr(setting, key))},
        getattr(chosen, key),
    )
    return len(tried) > 2 and _is_number(value) and (value == max(tried) or value == min(tried) > 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def weight_notes(plan: Plan, baselines: Mapping[str, Baseline], schema: Schema) -> Iterator[str]:
    """What readers of results should know of baselines that do not learn by what rows count, a sentence each."""
    of_all = any(not schema.interactions[name].labels for name in schema.of_kind("weight"))
    declared = any(schema.of_kind("weight", table) for table in (INTERACTIONS, *schema.entities))
    for form, concerned in (("retrieval", of_all), ("prediction", declared)):
        by_task = [name for name, head in plan.tasks.items() if head.weight_by and head.baseline_form == form]
        alike = [name for name, baseline in _of_form(baselines, form).items() if not baseline.weighs]
        if alike and (concerned or (by_task and form == "prediction")):
            yield f"{', '.join(alike)}: learned from all rows alike, whatever they count, and measured as the model is"
        others = [name for name in _of_form(baselines, form) if form == "retrieval" and name not in alike]
        if others and by_task:
            yield f"{', '.join(others)}: learned without weight_by of {', '.join(by_task)}, and measured as the model is"


def as_tuned(baselines: Mapping[str, Baseline], plain: Mapping[str, Mapping[str, Any]]) -> Tuned:
    """Baselines as set by an earlier phase, from what it kept under `tuned`."""
    return {
        name: {task: type(baseline).model_validate(options) for task, options in plain[name].items()}
        for name, baseline in baselines.items()
    }


def labeled_rows(
    fold: Fold, table: RowTable, label: str, features: Sequence[str], *, numeric: bool = False
) -> LabeledRows:
    """The table's rows with one label, the texts of their entities, and the features that are single values.

    Args:
        fold: the fold.
        table: the rows.
        label: the label.
        features: addresses; histories among them are left out.
        numeric: whether the label is a number.
    """
    scopes = fold.schema.scopes
    texts = [Address.of(role, name) for role in table.ids for name in fold.schema.of_kind("text", scopes[role])]
    declared = fold.schema.features()
    columns: dict[str, np.ndarray] = {}
    kinds: dict[str, ColumnKind] = {}
    read = dict.fromkeys(part for address in map(Address, (*texts, *features)) for part in fold.schema.parts(address))
    for address in (address for address in read if address.scope != HISTORY):
        kind = declared[address].kind
        if kind in ("text", "categorical", "numeric", "list") or address.column == "id":
            values = scope_of(address).of_rows(fold, table, address.column)
            made = _apart(address, values) if address.scope == KNOWN else {address: values}
            columns, kinds = columns | made, kinds | dict.fromkeys(made, kind)
    return replace(labeled(table, label, numeric=numeric), columns=columns, kinds=kinds)


def _apart(address: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers `[rows, width]` as columns of their own."""
    return {f"{address}/{place}": column for place, column in enumerate(values.T)}


def without_past(table: RowTable) -> np.ndarray:
    """Which rows have no past, bool `[rows]`; none where rows have no histories."""
    if not len(table.history):
        return np.zeros(len(table), bool)
    found: np.ndarray = table.history[:, 1] <= table.history[:, 0]
    return found


def _else_popular(score: _Scorer, lacking: np.ndarray, popularity: np.ndarray) -> _Scorer:
    """A scorer of rows, by popularity float64 `[items]` where rows are `lacking`."""

    def scores(rows: np.ndarray) -> np.ndarray:
        found = score(rows)
        assert isinstance(found, np.ndarray), "baselines score the whole catalog"
        return np.where(lacking[rows, None], popularity, found) if lacking[rows].any() else found

    return scores


def _of_users(score: _Scorer, users: np.ndarray) -> _Scorer:
    """A scorer of rows, from one of users."""
    return lambda rows: score(users[rows])


def _of_form(baselines: Mapping[str, Baseline], form: str) -> dict[str, Baseline]:
    return {name: baseline for name, baseline in baselines.items() if baseline.form == form}


def _by_setting(of_task: Mapping[str, Baseline]) -> list[tuple[Baseline, list[str]]]:
    """Distinct baselines, each with its tasks."""
    groups: list[tuple[Baseline, list[str]]] = []
    for task, baseline in of_task.items():
        known = next((tasks for other, tasks in groups if other == baseline), None)
        if known is None:
            groups.append((baseline, [task]))
        else:
            known.append(task)
    return groups
