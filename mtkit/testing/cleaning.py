"""What holds of cleaners."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa

from mtkit.data.cleaners import applied
from mtkit.data.cleaning import cleaned
from mtkit.data.columns import check
from mtkit.data.row_cleaning import within
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS
from mtkit.spec import Cleaner
from mtkit.testing.data import sample_data
from mtkit.types import Dataset


def check_cleaner(cleaner: Cleaner, dataset: Dataset | None = None, as_of: date | None = None) -> None:
    """Tables under the schema that it declares, the same each time, with a note that has counts; also of tables without rows.

    Args:
        cleaner: the cleaner.
        dataset: what it fits; default: `sample_data()`. Ids may be repeated in tables of entities if it makes them one.
        as_of: a day (UTC): interactions before it do not change when some of the later ones are taken away, for cleaners of
            which that can be said.
    """
    dataset = cleaned(sample_data() if dataset is None else dataset, repeated=True)
    schema, tables = dataset.schema, {INTERACTIONS: dataset.interactions, **dataset.entities}
    wrong = list(cleaner.mistakes(schema))
    assert not wrong, f"it does not fit the data: {wrong}"
    assert cleaner.declares(schema) == cleaner.declares(schema), "declares() does not say the same twice"
    _check_tables(cleaner, tables, dataset)
    _check_tables(cleaner, {name: table.slice(0, 0) for name, table in tables.items()}, dataset)
    result = applied(dataset, {"checked": cleaner})
    try:
        check(result)
    except DataError as error:
        raise AssertionError(f"the tables do not fit what it declares: {error}") from error
    if as_of is not None:
        _check_as_of(cleaner, dataset, result, as_of)


def _check_tables(cleaner: Cleaner, tables: Mapping[str, pa.Table], dataset: Dataset) -> None:
    changed, note = cleaner.clean(tables, dataset.schema)
    again, same = cleaner.clean(tables, dataset.schema)
    assert note == same, f"it says {note!r}, and then {same!r}"
    assert any(map(str.isdigit, note)), f"the note has no counts: {note!r}"
    schema = cleaner.declares(dataset.schema)
    declared = {INTERACTIONS: schema.interactions, **schema.entities}
    for name, table in changed.items():
        assert name in declared, f"it returns a table {name!r} that the schema does not have"
        assert table.equals(again[name]), f"{name} differs when it is cleaned again"
    for name, columns in declared.items():
        there = {**tables, **changed}[name].column_names
        lacking = [column for column in columns if column not in there]
        assert not lacking, f"{name} lacks columns that are declared: {', '.join(lacking)}"


def _check_as_of(cleaner: Cleaner, dataset: Dataset, whole: Dataset, as_of: date) -> None:
    clock = dataset.schema.time
    assert clock, "interactions have no times, so nothing is as of a day"
    later = np.flatnonzero(~within(dataset.interactions[clock], None, as_of))
    kept = np.setdiff1d(np.arange(len(dataset.interactions)), later[::2])
    less = applied(
        Dataset(dataset.interactions.take(pa.array(kept)), dataset.entities, dataset.schema), {"checked": cleaner}
    )
    before = [
        each.interactions.filter(pa.array(within(each.interactions[clock], None, as_of))) for each in (whole, less)
    ]
    assert before[0].combine_chunks().equals(before[1].combine_chunks()), (
        f"interactions before {as_of} are others when later ones are taken away"
    )
