"""Data that are made up as files: tables as Parquet, what can be had of them, and a recipe that reads them."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.errors import RunError
from mtkit.files import whole, write_text, writing
from mtkit.recipe.toml_writer import toml_document
from mtkit.schema import Column, Schema
from mtkit.synthetic.domain import Domain
from mtkit.synthetic.domains import domain_of
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.truth import Account, as_json

INTERACTIONS, TRUTH = "interactions.parquet", "truth.json"


def make(name: str, settings: Settings, directory: Path, *, force: bool = False) -> list[Path]:
    """Writes the files of a domain, each whole or not at all; those of the same settings are the same to the byte.

    Args:
        name: of the domain.
        settings: sizes and knobs.
        directory: where they go; it is made if it is not there.
        force: whether files that are there are overwritten.

    Returns:
        The files: interactions, entities, `truth.json`, and the domain's recipes.

    Raises:
        DataError: there is no such domain.
        RunError: there are such files already, or they cannot be written.
    """
    kind = domain_of(name)
    entities = {entity: directory / f"{entity}s.parquet" for entity in kind.entities}
    recipes = {directory / file: text for file, text in _recipes(kind, settings).items()}
    written = [directory / INTERACTIONS, *entities.values(), directory / TRUTH, *recipes]
    for path in written:
        if path.exists() and not force:
            raise RunError(f"{path}: is there already; choose another directory with -o, or overwrite with --force")
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    domain = kind(settings)
    account = _write_interactions(domain, directory / INTERACTIONS)
    for entity, path in entities.items():
        with whole(path) as temporary:
            pq.write_table(domain.tables[entity], temporary)
    truth = {
        "format": 1, "domain": name, "settings": settings.model_dump(include=set(Settings.model_fields)),
        "tasks": as_json(account.best()),
    }  # fmt: skip
    write_text(directory / TRUTH, json.dumps(truth, indent=1) + "\n")
    for path, text in recipes.items():
        write_text(path, text)
    return written


def _write_interactions(domain: Domain, path: Path) -> Account:
    """Writes a row group for each part, so that memory does not grow with the rows."""
    account = Account(domain)
    with whole(path) as temporary:
        writer: pq.ParquetWriter | None = None
        try:
            for part in domain.parts():
                table = _dense(part.table)
                writer = writer or pq.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
                account.add(part)
        finally:
            if writer:
                writer.close()
    return account


def _dense(table: pa.Table) -> pa.Table:
    """The table with strings as dictionaries, which are written many times as fast."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(place, field.name, table[field.name].dictionary_encode().combine_chunks())
    return table


def recipe_texts() -> dict[str, str]:
    """The recipes of all domains, by their file's name, as they come with the package: their data are made by the run."""
    folder = resources.files("mtkit.synthetic") / "recipes"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def _recipes(kind: type[Domain], settings: Settings) -> dict[str, str]:
    """The domain's recipes, reading files beside them."""
    found = {}
    for name, text in recipe_texts().items():
        head, data, rest = _parted(text)
        if f'domain = "{kind.name}"' in data:
            acts = next((line.split('"')[1] for line in data if line.startswith("acts = ")), "")
            found[name] = head + _files(kind.schema(settings, acts)) + rest
    return found


def _parted(text: str) -> tuple[str, list[str], str]:
    """What stands before the table `data`, its lines, and what follows."""
    lines = text.splitlines()
    begin = lines.index("[data]")
    end = next(number for number in range(begin, len(lines)) if not lines[number].strip())
    return (
        "".join(f"{line}\n" for line in lines[:begin]),
        lines[begin:end],
        "".join(f"{line}\n" for line in lines[end:]),
    )


def _files(schema: Schema) -> str:
    """The table `data` of a recipe that reads files."""
    entities = {
        entity: {name: _declared(column) for name, column in columns.items()}
        for entity, columns in schema.entities.items()
    }
    return toml_document({
        "data": {
            "use": "files",
            "interactions": INTERACTIONS,
            "entities": {entity: f"{entity}s.parquet" for entity in schema.entities},
            "columns": {name: _declared(column) for name, column in schema.interactions.items()},
            "entity_columns": entities,
        }
    })  # fmt: skip


def _declared(column: Column) -> dict[str, object]:
    return column.model_dump(exclude_defaults=True, mode="json") | {"kind": column.kind}
