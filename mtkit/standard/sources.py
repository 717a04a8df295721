"""Data sources for one's own tables: files, and data frames."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mtkit.errors import DataError, nearest
from mtkit.schema import INTERACTIONS, Column, Schema
from mtkit.spec import DataSource
from mtkit.synthetic.settings import Settings
from mtkit.types import Dataset, Origin

if TYPE_CHECKING:
    import pyarrow as pa

    from mtkit.synthetic.domain import Domain


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(
            f"{name!r} is no encoding that Python knows; utf-8, utf-16, cp1252 and latin-1 are common"
        ) from None
    return name


#: Of text files, by Python's name.
Encoding = Annotated[str, AfterValidator(_known_encoding)]


class _Tables(DataSource):
    """What sources of tables share: declared columns, and entities without a table of their own."""

    columns: Mapping[str, Column] = Field(description="columns of the interactions: name -> `{kind = ...}`")
    entity_columns: Mapping[str, Mapping[str, Column]] = Field(
        {}, description="entity -> columns of its table, without its key: name -> `{kind = ...}`"
    )
    keys: Mapping[str, str] = Field({}, description="entity -> column of its table that holds the ids; default: `id`")

    @model_validator(mode="after")
    def _times_and_ids(self) -> Self:
        times = [name for name, column in self.columns.items() if column.kind == "time"]
        if len(times) > 1:
            raise ValueError(f"columns: expected one of kind time at most, got {', '.join(times)}")
        ids = [name for name, column in self.columns.items() if column.kind == "id" and column.entity]
        if len(ids) not in (0, 2):
            raise ValueError(
                'columns: expected two that hold ids of entities, the one that acts first, as in {kind = "id", entity = '
                f'"user"}}, or none at all, got {", ".join(ids)}'
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

    def _wanted(self, entity: str) -> tuple[str, ...]:
        """The columns of an entity's table that are read: the key, and what is declared."""
        return self._key(entity), *(name for name in self.entity_columns.get(entity, ()) if name != self._key(entity))

    def _key(self, entity: str) -> str:
        return self.keys.get(entity, "id")

    def _dataset(self, interactions: pa.Table, tables: Mapping[str, pa.Table], origins: Mapping[str, str]) -> Dataset:
        """The tables under the declared schema.

        Args:
            interactions: the interactions.
            tables: entity -> its table.
            origins: table -> where it comes from, in words.
        """
        if stray := sorted(set(tables) - set(self.schema().entities)):
            raise DataError(
                f"{stray[0]}: there is a table, but no declared column of it, and no interaction refers to it"
            )
        named = {table: Origin(name, self._key(table)) for table, name in origins.items()}
        entities = {entity: _keyed(table, self._key(entity)) for entity, table in tables.items()}
        return Dataset(interactions, entities, self.schema(), named)


class Files(_Tables):
    """Files: the interactions, and a file for each entity that has attributes.

    CSV (`.csv`, `.tsv`, `.txt`, `.dat`, `.data`, `.inter`, `.item`, `.user`), JSON lines (`.jsonl`, `.ndjson`, `.json`),
    Parquet and Arrow; text may be compressed (`.gz`, `.zst`, `.bz2`). A folder, or a pattern such as `log-*.csv`, is read as
    one table; columns may stand in the names of folders below it (`year=2024/month=05/part-0.parquet`). Values are what their
    column is declared to be, whatever they look like; an entity without a file is made of the ids that the interactions have.
    """

    interactions: Path = Field(description="file, folder or pattern of the interactions")
    entities: Mapping[str, Path] = Field({}, description="entity -> its file, folder or pattern")
    names: Mapping[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description="`interactions`, or an entity -> the columns of its CSV files in their order, where these have no header",
    )
    headers: Mapping[str, Mapping[str, str]] = Field(
        {},
        description="`interactions`, or an entity -> what its file calls a column that has another name here: "
        '`{age = "age:token"}`',
    )
    separator: Annotated[str, Field(max_length=4)] = Field(
        "",
        description="what stands between the fields of CSV files, such as `::`; default: what their header has, of `,` `;` `|` "
        "and tabs",
    )
    encoding: Encoding = Field("utf-8", description="of text files, by Python's name (`cp1252`, `utf-16`)")

    escape: Annotated[str, Field(max_length=1)] = Field(
        "",
        description="what stands before quotes within quoted fields of CSV files (a backslash in exports of Spark and MySQL); "
        "default: nothing, they are doubled",
    )

    newer: tuple[Path, ...] = Field(
        (),
        description="folders with newer rows, in files that are called as the older ones: rows that are added; of entities they "
        "take the place of older ones of the same id. `mtkit update --data` adds one",
    )

    @model_validator(mode="after")
    def _of_tables(self) -> Self:
        tables = (INTERACTIONS, *self.schema().entities)
        for key in ("names", "headers"):
            for table in getattr(self, key):
                if table not in tables:
                    raise ValueError(f"{key}: {table!r} is no table; {nearest(table, tables)}")
        for table, called in self.headers.items():
            known = tuple(self.columns) if table == INTERACTIONS else self._wanted(table)
            for name in called:
                if name not in known:
                    raise ValueError(f"headers.{table}: no column {name!r} is declared; {nearest(name, known)}")
        return self

    def load(self) -> Dataset:
        """Reads the declared columns of the files.

        Raises:
            DataError: what is wrong with each of the files.
        """
        from mtkit.data.newer_files import newer_paths

        paths = {INTERACTIONS: self.interactions, **self.entities}
        tables = self._read(paths)
        for folder in self.newer:
            found = newer_paths(folder, paths)
            tables |= self._with(tables, self._read(found), found)
        return self._dataset(tables.pop(INTERACTIONS), tables, {name: path.name for name, path in paths.items()})

    def _read(self, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
        """Table -> its declared columns, of the files of some tables.

        Raises:
            DataError: what is wrong with each of the files.
        """
        from mtkit.data.table_files import read_table
        from mtkit.data.text_files import Reading

        tables, mistakes = {}, []
        for name, path in paths.items():
            columns = tuple(self.columns) if name == INTERACTIONS else self._wanted(name)
            called = [self.headers.get(name, {}).get(column, column) for column in columns]
            key_of = name if name in self.entities and name not in self.keys else ""
            reading = Reading(self.separator, self.encoding, self.escape, self.names.get(name, ()))
            try:
                tables[name] = read_table(path, called, reading, key_of).rename_columns(list(columns))
            except DataError as error:
                mistakes.append(str(error))
        if mistakes:
            raise DataError("\n".join(mistakes))
        return tables

    def _with(
        self, older: Mapping[str, pa.Table], newer: Mapping[str, pa.Table], paths: Mapping[str, Path]
    ) -> dict[str, pa.Table]:
        """The tables that have newer rows, with these."""
        from mtkit.data.newer_files import with_newer

        moments = [name for name, column in self.columns.items() if column.kind in ("id", "time")]
        keys = {name: moments if name == INTERACTIONS else [self._key(name)] for name in newer}
        return {name: with_newer(older[name], table, name, keys[name], paths[name]) for name, table in newer.items()}

    def parts(self, rows: int) -> Iterator[Dataset] | None:
        """Row groups of Parquet files whose columns are all in the files; others, and newer rows, are read as a whole."""
        from mtkit.data.table_files import parquet_parts

        if self.newer:
            return None
        called = [self.headers.get(INTERACTIONS, {}).get(column, column) for column in self.columns]
        parts = parquet_parts(self.interactions, called, rows)
        if parts is None:
            return None
        names = {table: path.name for table, path in {INTERACTIONS: self.interactions, **self.entities}.items()}
        entities = self._read(self.entities)
        return (self._dataset(part.rename_columns(list(self.columns)), entities, names) for part in parts)


class Frames(_Tables):
    """Data frames of pandas, for recipes that are composed in Python.

    An entity without a frame is made of the ids that the interactions have. Missing values are nulls.
    """

    interactions: Any = Field(description="`pandas.DataFrame` of the interactions")
    entities: Mapping[str, Any] = Field({}, description="entity -> `pandas.DataFrame`")

    def load(self) -> Dataset:
        """Converts the frames; columns that are not declared are left out."""
        interactions = _convert(self.interactions, self.columns, INTERACTIONS)
        tables = {entity: _convert(frame, self._wanted(entity), entity) for entity, frame in self.entities.items()}
        return self._dataset(interactions, tables, {})


def _keyed(table: pa.Table, key: str) -> pa.Table:
    """The table with the key called `id`."""
    others = [name for name in table.column_names if name not in (key, "id")]
    return table.select(others).append_column("id", table[key])


def _convert(frame: Any, names: Any, where: str) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for name in names:
        if name not in frame.columns:
            raise DataError(f"{where}.{name}: declared, but the frame has only {', '.join(map(str, frame.columns))}")
        try:
            columns[name] = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowException, OverflowError) as error:
            raise DataError(
                f"{where}.{name}: values of several types, or of one that is no number, text or time: {error}; make all of them "
                "texts, or all numbers"
            ) from error
    return pa.table(columns)


class Synthetic(Settings, DataSource):
    """Data that are made up as a run begins: what is planted in them is known, and so is the best that a model can reach.

    Domains: `shop` (purchases in baskets), `media` (videos that are shown), `social` (questions that are read and answered),
    `people` (users who turn to users) and `finance` (offers of a bank). `mtkit data make DOMAIN` writes the same data as files,
    with a recipe that reads them, and `truth.json`, what the planted model reaches on the test from 2024-04-16 on. The same
    settings make the same data. [Generated data](data.md#generated-data) says what is planted.
    """

    domain: Literal["shop", "media", "social", "people", "finance"] = Field(description="which domain")
    acts: str = Field("", description="role of the ids that act, as whose the past is; default: the first (`user`)")

    @model_validator(mode="after")
    def _acts_is_a_role(self) -> Self:
        roles = self._domain().roles
        if self.acts and self.acts not in roles:
            raise ValueError(f"acts: {self.domain} has no role {self.acts!r}; {nearest(self.acts, roles)}")
        return self

    def _domain(self) -> type[Domain]:
        from mtkit.synthetic.domains import domain_of

        return domain_of(self.domain)

    def schema(self) -> Schema:  # type: ignore[override]  # as in DataSource
        """The declared columns."""
        return self._domain().schema(self, self.acts)

    def load(self) -> Dataset:
        """Makes the tables."""
        import pyarrow as pa

        made = self._domain()(self)
        interactions = pa.concat_tables([part.table for part in made.parts()])
        return Dataset(interactions.select(list(self.schema().interactions)), made.tables, self.schema())

    def parts(self, rows: int) -> Iterator[Dataset] | None:
        """The parts in which it is made, each from a seed of its own."""
        made, schema = self._domain()(self), self.schema()
        return (Dataset(part.table.select(list(schema.interactions)), made.tables, schema) for part in made.parts())
