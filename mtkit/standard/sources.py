"""Data sources for one's own tables: files, and data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS, Column, Schema
from mtkit.spec import DataSource
from mtkit.types import Dataset

if TYPE_CHECKING:
    import pyarrow as pa


class _Tables(DataSource):
    """What sources of tables share: declared columns, and entities without a table of their own."""

    columns: Mapping[str, Column] = Field(description="columns of the interactions: name -> `{kind = ...}`")
    entity_columns: Mapping[str, Mapping[str, Column]] = Field(
        {}, description="entity -> columns of its table, without its key: name -> `{kind = ...}`"
    )
    keys: Mapping[str, str] = Field({}, description="entity -> column of its table that holds the ids; default: `id`")

    @model_validator(mode="after")
    def _one_time_two_entities(self) -> Self:
        times = [name for name, column in self.columns.items() if column.kind == "time"]
        if len(times) != 1:
            raise ValueError(f"columns: expected exactly one of kind time, got {', '.join(times) or 'none'}")
        ids = [name for name, column in self.columns.items() if column.kind == "id" and column.entity]
        if len(ids) != 2:
            raise ValueError(
                'columns: expected two that hold ids of entities, the one that acts first, as in {kind = "id", entity = '
                f'"user"}}, got {", ".join(ids) or "none"}'
            )
        self.schema()
        return self

    def schema(self) -> Schema:  # type: ignore[override]  # as in DataSource
        """The declared columns."""
        names = dict.fromkeys((*self._referenced(), *self.entity_columns))
        return Schema(interactions=self.columns, entities={name: self.entity_columns.get(name, {}) for name in names})

    def _referenced(self) -> list[str]:
        """The entities that interactions refer to."""
        ids = (column.entity for column in self.columns.values() if column.kind == "id" and column.entity)
        return list(dict.fromkeys(ids))

    def _dataset(self, interactions: pa.Table, tables: Mapping[str, pa.Table]) -> Dataset:
        """The declared columns of the tables; entities without a table are the ids of the interactions."""
        import pyarrow as pa

        schema = self.schema()
        entities = {}
        for entity in schema.entities:
            if entity in tables:
                entities[entity] = self._keyed(entity, tables[entity])
            else:
                if entity not in self._referenced():
                    raise DataError(f"{entity}: there is no such table, and no interaction refers to it")
                names = [schema.reference(role) for role, of in schema.roles.items() if of == entity]
                entities[entity] = pa.table({"id": _ids(interactions, names)})
        return Dataset(interactions, entities, schema)

    def _keyed(self, entity: str, table: pa.Table) -> pa.Table:
        key = self.keys.get(entity, "id")
        ids = _column(table, key, entity)
        others = [name for name in table.column_names if name not in (key, "id")]
        return table.select(others).append_column("id", ids)


class Files(_Tables):
    """CSV and Parquet files: interactions, and a file for each entity that has attributes.

    An entity without a file is made of the ids that the interactions have. Types of CSV columns are told from their
    values; ids and categories may be strings or integers.
    """

    interactions: Path = Field(description="file of the interactions, `.csv` or `.parquet`")
    entities: Mapping[str, Path] = Field({}, description="entity -> its file, `.csv` or `.parquet`")

    def load(self) -> Dataset:
        """Reads the files."""
        return self._dataset(_read(self.interactions), {name: _read(path) for name, path in self.entities.items()})


class Frames(_Tables):
    """Data frames of pandas, for recipes that are composed in Python.

    An entity without a frame is made of the ids that the interactions have. Missing values are nulls.
    """

    interactions: Any = Field(description="`pandas.DataFrame` of the interactions")
    entities: Mapping[str, Any] = Field({}, description="entity -> `pandas.DataFrame`")

    def load(self) -> Dataset:
        """Converts the frames; columns that are not declared are left out."""
        interactions = _convert(self.interactions, self.columns, INTERACTIONS)
        tables = {}
        for entity, frame in self.entities.items():
            key = self.keys.get(entity, "id")
            tables[entity] = _convert(frame, (key, *self.entity_columns.get(entity, ())), entity)
        return self._dataset(interactions, tables)


def _column(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise DataError(f"{where}.{name}: declared, but the table has only {', '.join(table.column_names)}")
    return table[name]


def _ids(interactions: pa.Table, names: Sequence[str]) -> pa.Array:
    """The distinct ids of the columns that refer to one entity.

    Raises:
        DataError: one holds strings, another one numbers.
    """
    import pyarrow as pa

    from mtkit.data.columns import plain

    columns = [plain(_column(interactions, name, INTERACTIONS)) for name in names]
    if len({column.type for column in columns}) > 1:
        of = ", ".join(f"{INTERACTIONS}.{name} of {column.type}" for name, column in zip(names, columns, strict=True))
        raise DataError(f"ids of one entity have different types: {of}; make them the same")
    return (
        pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type).unique().drop_null()
    )


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv, parquet

    readers = {".csv": csv.read_csv, ".parquet": parquet.read_table}
    if path.suffix not in readers:
        raise DataError(f"{path}: expected a file that ends in {' or '.join(readers)}")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        return readers[path.suffix](path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _convert(frame: Any, names: Any, where: str) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for name in names:
        if name not in frame.columns:
            raise DataError(f"{where}.{name}: declared, but the frame has only {', '.join(map(str, frame.columns))}")
        try:
            columns[name] = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"{where}.{name}: values of several types: {error}") from error
    return pa.table(columns)
