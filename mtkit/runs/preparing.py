"""`mtkit prepare`: from the source of a recipe to a directory of prepared data, a part after another; what is done stays done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from mtkit.data.asked_rows import PARTS
from mtkit.data.catalogs import make_cuts, part_sizes
from mtkit.data.column_files import ColumnWriter, intact, read_columns, writing_columns
from mtkit.data.fingerprint import fingerprint
from mtkit.data.label_counts import check_labels
from mtkit.data.out_of_core import (
    catalogs_of,
    check_recipe,
    counted,
    extremes,
    of_about,
    rows_within,
    with_classes,
    write_log,
    write_shards,
    write_tables,
)
from mtkit.data.out_of_core_rows import OutOfCore
from mtkit.data.prepared import (
    RECORD,
    TABLES,
    Record,
    add_tables,
    check_fits,
    fits,
    hash_of_split,
    kept_cut,
    read_record,
    tables_of_directory,
    write_record,
)
from mtkit.data.prepared_features import add_features
from mtkit.data.prepared_rows import add_catalogs, add_events, add_rows, read_fold, read_tables, rows_directory
from mtkit.data.row_tables import check_rows, fold_of, tables_of
from mtkit.declared import Declared
from mtkit.errors import DataError
from mtkit.evaluation.baseline_budget import sizes_of
from mtkit.evaluation.evidence import time_line
from mtkit.files import remove, sweep, write_text
from mtkit.recipe.drafts import with_known
from mtkit.recipe.loader import Recipe
from mtkit.runs.console import Reporter
from mtkit.runs.directory import RunDirectory
from mtkit.runs.evidence import LookedOver
from mtkit.runs.run import found_in, looked_over
from mtkit.shown import shown_values
from mtkit.spec import Cut
from mtkit.types import Dataset

_BEGUN, _SHARDS, _SCRATCH = "begun.json", "shards", ".rows"


class Begun(Declared):
    """What a directory that is not complete is to hold."""

    engine: str
    fits: Mapping[str, str]
    fingerprint: str


@dataclass(frozen=True)
class Parts:
    """The parts of a directory of prepared data.

    Attributes:
        directory: where they are.
        report: what is told of them.
    """

    directory: Path
    report: Reporter

    def make(self, name: str, write: Callable[[ColumnWriter], None]) -> None:
        """Makes a part, unless it is there and as it was written."""
        path = self.directory / name
        if path.exists():
            if not (wrong := intact(path)):
                return
            self.report.warn(f"{wrong}; it is made anew")
        with self.report.working(f"writing {name}"), writing_columns(path) as writer:
            write(writer)

    def lacking(self, *names: str) -> bool:
        """Whether one of some parts is not there, or not as it was written."""
        return any(not (path := self.directory / name).exists() or bool(intact(path)) for name in names)


def prepare(
    recipe: Recipe, directory: Path, report: Reporter, engine: str = "memory", gigabytes: float = 4.0
) -> Record:
    """Prepares the data of a recipe, or what is missing or damaged of them.

    Args:
        recipe: the resolved recipe.
        directory: where to; it may have been begun before.
        report: what the user sees.
        engine: `memory`, or `arrow`: by parts of the interactions.
        gigabytes: about how much memory the latter takes.

    Raises:
        DataError: the data do not fit the recipe, or the directory has others.
        RecipeError: rows are made by parts, and something in the recipe takes all interactions at once.
        RunError: the directory cannot be written, or another process is at work in it.
    """
    begin = time.perf_counter()
    if recipe.data.prepared is not None:
        raise DataError(
            f"data.prepared names {recipe.data.prepared}, which is prepared; leave it out to prepare the source's data"
        )
    with RunDirectory(directory).exclusive():
        sweep(directory)
        if (directory / RECORD).exists():
            check_fits(recipe, directory)
        parts = Parts(directory, report)
        if engine == "memory":
            looked = looked_over(recipe, report)
            cuts = make_cuts(looked.dataset, recipe.data.split)
            check_labels(recipe, looked.dataset, *cuts)
            _begin(recipe, directory, fingerprint(looked.dataset), engine)
            parts.make(TABLES, partial(add_tables, dataset=looked.dataset))
            for cut in cuts:
                _in_memory(recipe, looked.dataset, cut, parts)
        else:
            looked, cuts = _out_of_core(recipe, parts, rows_within(gigabytes))
        for cut in cuts:
            _features(recipe, cut, parts)
        if not (directory / RECORD).exists():
            write_record(directory, _record(recipe, looked, cuts, engine, time.perf_counter() - begin))
            remove(directory / _SHARDS)
            remove(directory / _BEGUN)
    return read_record(directory)


def _out_of_core(recipe: Recipe, parts: Parts, rows: int) -> tuple[LookedOver, tuple[Cut, Cut]]:
    """The rows of both cuts, made by parts of the interactions; the data, of which a sample of the users was looked over."""
    check_recipe(recipe)
    schema, directory = recipe.data.source.schema(), parts.directory
    _begin(recipe, directory, "", "arrow")
    parts.make(TABLES, partial(write_tables, source=recipe.data.source))
    kept = read_columns(directory / TABLES)
    dataset = of_about(kept.about, tables_of_directory(kept, schema))
    cuts = recipe.data.split.cuts(extremes(dataset))
    with parts.report.working("counting ids"):
        known = counted(recipe, dataset, cuts)
    names = [str(rows_directory(Path(cut.name), name, part)) for cut in cuts for name in recipe.rows for part in PARTS]
    logs = [f"{cut.name}/log" for cut in cuts]
    if parts.lacking(*logs) or not (directory / RECORD).exists():
        parts.make(_SHARDS, partial(write_shards, recipe=recipe, dataset=dataset, known=known, rows=rows))
    looked = LookedOver(dataset)
    if (directory / _SHARDS).exists():
        shards = read_columns(directory / _SHARDS).tables
        looked = _sample_looked_over(recipe, dataset, shards, cuts, parts.report)
        for cut, log in zip(cuts, logs, strict=True):
            write = partial(write_log, recipe=recipe, dataset=dataset, shards=shards, known=known, cut=cut)
            parts.make(log, write)
    for cut in cuts if parts.lacking(*names, *(f"{cut.name}/catalogs" for cut in cuts)) else ():
        dropped = read_columns(directory / cut.name / "log").about["dropped"]
        parts.make(f"{cut.name}/catalogs", partial(add_catalogs, fold=catalogs_of(dataset, known, cut, dropped)))
        fold = with_classes(read_fold(directory / cut.name, with_known(schema, recipe.preprocess)))
        made = OutOfCore(recipe, fold, rows, directory / _SCRATCH)
        for name in recipe.rows:
            for part in PARTS:
                path = str(rows_directory(Path(cut.name), name, part))
                parts.make(path, partial(made.write, name=name, part=part))
        check_rows(recipe, fold, read_tables(directory / cut.name, recipe.rows, fold))
    return looked, cuts


def _sample_looked_over(
    recipe: Recipe, dataset: Dataset, shards: Mapping[str, pa.Table], cuts: tuple[Cut, Cut], report: Reporter
) -> LookedOver:
    """What is found in the interactions of the first users, of which it is said that they are some."""
    first = shards[min(shards, key=int)]
    some = replace(dataset, interactions=first)
    share = len(first) / len(dataset.interactions)
    if share < 1:
        note = f"looked over: the {len(first):,} interactions of the users with the first ids ({share:.0%})"
        dataset = replace(dataset, notes=(*dataset.notes, note))
    report.data(dataset.notes)
    leaks, findings = found_in(recipe, some, cuts, report)
    report.leaks(leaks)
    report.profile(recipe, findings)
    return LookedOver(dataset, leaks, findings)


def _begin(recipe: Recipe, directory: Path, data: str, engine: str) -> None:
    """Says what a directory is to hold.

    Raises:
        DataError: it holds something else.
    """
    begun, path = Begun(engine=engine, fits=fits(recipe), fingerprint=data), directory / _BEGUN
    if (directory / RECORD).exists():
        kept = read_record(directory)
        before = Begun(engine=kept.engine, fits=kept.fits, fingerprint=kept.fingerprint)
    elif path.exists():
        before = _read_begun(path)
    elif others := sorted(other.name for other in directory.iterdir() if other.name[0] != "."):
        raise DataError(f"{directory}: holds {', '.join(others[:3])}; choose an empty directory, or a new one")
    else:
        before = None
    if before is None:
        write_text(path, begun.model_dump_json(indent=1))
    elif before != begun:
        what = next(name for name in ("fits", "fingerprint", "engine") if getattr(before, name) != getattr(begun, name))
        why = {
            "fingerprint": "the data have changed since",
            "fits": "it was another recipe",
            "engine": "the engine was another",
        }
        raise DataError(f"{directory}: was begun before, and {why[what]}; choose another directory, or remove it")


def _read_begun(path: Path) -> Begun:
    try:
        return Begun.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be understood; remove {path.parent}, and begin anew") from error


def _in_memory(recipe: Recipe, dataset: Dataset, cut: Cut, parts: Parts) -> None:
    """The rows of a cut, made in memory as for a run."""
    names = {(name, part): str(rows_directory(Path(cut.name), name, part)) for name in recipe.rows for part in PARTS}
    catalogs, log = f"{cut.name}/catalogs", f"{cut.name}/log"
    if not parts.lacking(catalogs, log, *names.values()):
        return
    with parts.report.working(f"{cut.name}: catalogs and rows"):
        fold = fold_of(recipe, dataset, cut)
        tables = tables_of(recipe, fold, model=False)
    parts.make(catalogs, partial(add_catalogs, fold=fold))
    parts.make(log, partial(add_events, events=fold.events))
    for (name, part), path in names.items():
        parts.make(path, partial(add_rows, table=tables[name][part]))


def _features(recipe: Recipe, cut: Cut, parts: Parts) -> None:
    """The features of rows that were prepared."""
    if not parts.lacking(name := f"{cut.name}/features"):
        return
    directory = parts.directory / cut.name
    fold = read_fold(directory, with_known(recipe.data.source.schema(), recipe.preprocess))
    tables = read_tables(directory, recipe.rows, fold)
    parts.make(name, partial(add_features, recipe=recipe, fold=fold, tables=tables))


def _record(recipe: Recipe, looked: LookedOver, cuts: tuple[Cut, Cut], engine: str, seconds: float) -> Record:
    dataset = looked.dataset
    size = sizes_of(recipe, dataset)
    found: dict[str, Any] = {
        "leaks": [asdict(leak) for leak in looked.leaks],
        "findings": [asdict(one) for one in looked.findings],
    }
    return Record(
        engine=engine,
        seconds=round(seconds, 3),
        fits=fits(recipe),
        split=hash_of_split(recipe.data.split),
        cuts={cut.name: kept_cut(cut) for cut in cuts},
        fingerprint=fingerprint(dataset),
        notes=dataset.notes,
        left_out=dict(dataset.left_out),
        origins={name: tuple(origin) for name, origin in dataset.origins.items()},
        sizes=(size.users, size.items, size.events),
        parts=part_sizes(dataset, *cuts),
        found=shown_values(found) | {"time_line": time_line(dataset, *cuts)},
    )
