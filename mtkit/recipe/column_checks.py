"""Columns that parts of a recipe read, and that are not there or not to be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mtkit.errors import nearest
from mtkit.recipe.drafts import Draft, key_of
from mtkit.recipe.settings import By
from mtkit.recipe.source_text import Mistake
from mtkit.recipe.toml_positions import KeyPath
from mtkit.schema import CONTEXT, HISTORY, KNOWN, Address, ColumnKind, Schema
from mtkit.spec import ContentBaseline, Correlation, GroupPreprocessor, Preprocessor, RowStatistics, Split


def unfit_columns(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """What preprocessors, encoders, correlations, `evaluate` and the split read, and cannot."""
    yield from _addresses(draft, schema)
    yield from _beside_pairs(draft, schema)
    yield from _measured(draft, schema)
    yield from _divided(draft.data.split if draft.data else None, schema)


def _addresses(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    owner: dict[str, str] = {}
    for name, preprocessor in draft.preprocess.items():
        if isinstance(preprocessor, RowStatistics):
            yield from (Mistake(("preprocess", name, *path), text) for path, text in _statistics(preprocessor, schema))
            continue
        if isinstance(preprocessor, GroupPreprocessor):
            yield from (Mistake(("preprocess", name, *path), text) for path, text in _group(name, preprocessor, schema))
            continue
        for index, address in enumerate(map(Address, preprocessor.columns if preprocessor else ())):
            path = ("preprocess", name, "columns", index)
            message = _not_preprocessed(address, preprocessor, schema)
            if message:
                yield Mistake(path, message)
            elif address in owner:
                yield Mistake(path, f"{address} has a preprocessor already, preprocess.{owner[address]}")
            owner.setdefault(address, name)
    for name, encoder in draft.encoder.items():
        for index, address in enumerate(map(Address, encoder.reads if encoder else ())):
            kinds = encoder.reads_kinds if encoder else ()
            message = not_a_feature(address, schema) or _of_another_kind(address, schema, kinds, "this encoder reads")
            if message:
                yield Mistake(("encoder", name, "reads", index), message)


def _beside_pairs(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """Features of the row that correlations cannot read."""
    for name, correlation in draft.correlation.items():
        for address in map(Address, correlation.features if correlation else ()):
            if message := _not_of_pair(address, correlation, schema):
                yield Mistake(("correlation", name, key_of(correlation, address, "use")), message)


def _not_of_pair(address: Address, spec: Correlation | None, schema: Schema) -> str:
    """Why a correlation cannot read a feature of the row; empty if it can."""
    if message := not_a_feature(address, schema):
        return message
    if address.scope in (HISTORY, KNOWN):
        return f"{address} is no column of the row or of its entities, which a correlation reads"
    kinds = spec.features_kinds if spec else ()
    return _of_another_kind(address, schema, kinds, "this correlation reads")


def _statistics(spec: RowStatistics, schema: Schema) -> Iterator[tuple[KeyPath, str]]:
    """What does not fit of a preprocessor that looks at the past by keys: (path, message)."""
    for address in dict.fromkeys(address for key in spec.keys for address in key):
        message = _not_preprocessed(address, spec, schema)
        if not message and address.scope in (HISTORY, KNOWN):
            message = (
                f"{address} is no single value that events have, too; expected ids, or columns of entities or rows"
            )
        if message:
            yield (key_of(spec, address, "together"),), message
    yield from spec.mistakes(schema)


def _group(name: str, spec: GroupPreprocessor, schema: Schema) -> Iterator[tuple[KeyPath, str]]:
    """What does not fit of a preprocessor of several columns: (path, message)."""
    made = spec.made(name)
    if made.column in ("id", *schema.columns(made.scope)):
        yield (
            (),
            f"what it makes would be called {made}, as a column of the data is; give the preprocessor another name",
        )
    for index, address in enumerate(spec.columns):
        if message := _not_preprocessed(address, spec, schema):
            yield ("columns", index), message


def _not_preprocessed(address: Address, spec: Preprocessor | None, schema: Schema) -> str:
    """Why a preprocessor does not apply to an address; empty if it does."""
    kinds = spec.column_kinds if spec else ()
    if schema.groups.get(address):
        return f"{address} is made by preprocess.{address.column}; expected columns of the data"
    return not_a_feature(address, schema) or _of_another_kind(address, schema, kinds, "this preprocessor is for")


def _of_another_kind(address: Address, schema: Schema, kinds: Collection[ColumnKind], what: str) -> str:
    """Why a component does not take a feature; empty if it does."""
    kind = schema.features()[address].kind
    if not kinds or kind in kinds:
        return ""
    return f"{address} is declared as {kind}; {what} columns of kind {' or '.join(kinds)}"


def not_a_feature(address: Address, schema: Schema) -> str:
    """Why an address cannot be read; empty if it can."""
    features = schema.features()
    if address in features:
        return ""
    past, name = address.scope == HISTORY, address.column
    columns = schema.interactions if past else schema.columns(address.scope)
    if past and name in columns and (message := schema.not_of_past(name)):
        return message
    if name in columns and columns[name].kind in ("label", "weight"):
        what = f"label {name!r}" if columns[name].kind == "label" else "a weight: it says what a row counts"
        return f"{address} is {what}, and cannot be a feature"
    for label, column in columns.items():
        if name in column.sources:
            return f"{address} is a source of label {label!r}, and cannot be a feature"
    if name in columns:
        return f"{address} is declared as {columns[name].kind}, which no encoder reads here"
    return f"no feature is called {address!r}; {nearest(address, features)}"


def _measured(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """Columns by which `evaluate` slices, and what it compares items by."""
    if not draft.evaluate:
        return
    kinds: tuple[ColumnKind, ...] = ("categorical", "numeric", "list", "label")
    known = {
        Address.of(scope, name)
        for scope, entity in schema.scopes.items()
        for kind in kinds
        for name in schema.of_kind(kind, entity)
    }
    known |= {a for a in schema.features() if a.scope == CONTEXT and a not in schema.groups}
    for index, asked in enumerate(draft.evaluate.slices):
        if isinstance(asked, By) and asked.by not in known:
            yield Mistake(
                ("evaluate", "slices", index), f"no column is called {asked.by!r}; {nearest(asked.by, known)}"
            )
    of_entities = {Address.of(scope, name) for scope in schema.scopes for name in schema.columns(scope)}
    asking = [("metrics", index, metric.reads) for index, metric in enumerate(draft.evaluate.metrics.values())]
    asking += [
        ("baselines", index, baseline.reads)
        for index, baseline in enumerate(draft.evaluate.baselines.values())
        if isinstance(baseline, ContentBaseline)
    ]
    for key, index, names in asking:
        for name in names:
            message = _no_column(name, of_entities) if Address(name).scope else _not_compared(name, draft, schema)
            if message:
                yield Mistake(("evaluate", key, index), message)


def _no_column(address: str, known: Collection[str]) -> str:
    return "" if address in known else f"no entity has a column {address!r}; {nearest(address, known)}"


def _not_compared(name: str, draft: Draft, schema: Schema) -> str:
    """Why items cannot be compared by the vectors of an encoder; empty if they can."""
    if name not in draft.encoder:
        return f"no encoder is called {name!r}; {nearest(name, draft.encoder)}"
    encoder, item = draft.encoder[name], list(schema.roles)[1:2]
    if encoder is None or {Address(address).scope for address in encoder.reads} == set(item):
        return ""
    return f"{name!r} reads {', '.join(encoder.reads)}; expected an encoder of what is ranked, {' '.join(item) or 'nothing'}"


def _divided(split: Split | None, schema: Schema) -> Iterator[Mistake]:
    """Columns by which a split divides the interactions."""
    known = schema.of_kind("categorical")
    for name in split.reads if split else ():
        if name not in known:
            column = schema.interactions.get(name)
            found = f"is declared as {column.kind}" if column else "is not there"
            message = f"expected a categorical column of the interactions, but {name!r} {found}; {nearest(name, known)}"
            yield Mistake(("data", "split"), message)
