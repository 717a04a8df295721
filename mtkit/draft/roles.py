"""Which table is what, and what the columns of each are for: guesses by names, values and references, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from mtkit.draft.facts import Facts, facts_of
from mtkit.draft.tables import Table
from mtkit.draft.words import ID, ITEM, USER, words_of
from mtkit.errors import DataError, nearest
from mtkit.shown import counted

#: What a column can be for.
ROLES = (
    "user", "item", "time", "basket", "event", "rating", "label", "weight", "part", "categorical", "numeric", "text", "list",
    "ignore",
)  # fmt: skip
#: Roles that one column of the interactions can have, at most.
ONCE = ("user", "item", "time", "basket", "event", "rating", "part")
#: Another table is as likely the interactions if it has this share of the rows.
_AS_LIKELY = 0.5
#: Share of the interactions whose ids an entity's table has to have.
_LISTED = 0.9


@dataclass(frozen=True)
class Guess:
    """What a column is for.

    Attributes:
        role: one of `ROLES`.
        why: the reason, in a short phrase.
        sure: whether it need not be asked.
    """

    role: str
    why: str
    sure: bool = True


@dataclass(frozen=True)
class Entity:
    """The table of users, or of items.

    Attributes:
        table: the table.
        key: column with the ids.
        listed: share of the interactions in the sample whose id it has.
    """

    table: Table
    key: str
    listed: float

    @cached_property
    def facts(self) -> Mapping[str, Facts]:
        """Column -> what it is like."""
        return facts_of(self.table)


@dataclass(frozen=True)
class Tables:
    """Which table is what.

    Attributes:
        interactions: the table of interactions, or of rows that stand for themselves.
        user: its column of who acts; empty where rows stand for themselves.
        item: its column of what is acted on; empty likewise.
        entities: `user` and `item`, those that have a table.
        notes: what was not used, and why, a line each.
    """

    interactions: Table
    user: str = ""
    item: str = ""
    entities: Mapping[str, Entity] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def facts(self) -> Mapping[str, Facts]:
        """Column of the interactions -> what it is like."""
        return facts_of(self.interactions)


def tables_of(tables: Sequence[Table], stated: Mapping[str, str], roles: Mapping[str, str]) -> Tables:
    """Which table is what.

    Args:
        tables: those of the user.
        stated: `interactions`, `user` or `item` -> name of the file that it is.
        roles: column of the interactions -> role, as the user says.

    Raises:
        DataError: no table can be the interactions, or several are equally likely.
    """
    by_name = {table.name: table for table in tables}
    for what, name in stated.items():
        if name not in by_name:
            raise DataError(
                f"--{what}{'' if what == 'interactions' else 's'} {name}: no such table; {nearest(name, by_name)}"
            )
    apart = {name for what, name in stated.items() if what != "interactions"}
    pairs = {table.name: _pair(table, roles, tables) for table in tables if table.name not in apart}
    chosen = by_name[stated["interactions"]] if "interactions" in stated else _interactions(tables, pairs)
    user, item = pairs.get(chosen.name) or ("", "")
    others = [table for table in tables if table is not chosen]
    entities, notes = {}, []
    for entity, column in (("user", user), ("item", item)):
        found = [by_name[stated[entity]]] if entity in stated else _may_be(entity, others)
        best, said = _entity(column, chosen, found) if column else (None, [])
        notes += said
        if best:
            entities[entity] = best
        elif entity in stated:
            raise DataError(
                f"{stated[entity]}: no column of it holds each id of {column or entity!r} once; {' '.join(said)}"
            )
    _told_apart(entities, stated)
    used = {chosen.name, *(entity.table.name for entity in entities.values())}
    notes += [
        f"{name}: not used" for name in by_name if name not in used and not any(n.startswith(f"{name}:") for n in notes)
    ]
    return Tables(chosen, user, item, entities, tuple(notes))


def _pair(table: Table, roles: Mapping[str, str], tables: Sequence[Table]) -> tuple[str, str] | None:
    """The columns of who acts and of what is acted on; None where one of them is not found."""
    facts = facts_of(table)
    keys = {name for other in tables if other is not table for name in _keys(other)}
    found = []
    for role, words in (("user", USER), ("item", ITEM)):
        said = [name for name, to in roles.items() if to == role and name in facts]
        found.append(said[0] if said else _best([f for f in facts.values() if f.name not in roles], words, keys))
    user, item = found
    return (user, item) if user and item and user != item else None


def _best(facts: Iterable[Facts], words: frozenset[str], keys: set[str]) -> str:
    """The column whose name says that it holds ids of such a kind: one that others refer to, and one that says `id`, first."""
    scores = {
        one.name: 2 * (one.name in keys) + bool(ID & set(words_of(one.name)))
        for one in facts
        if is_id_of(one.name, words) and not one.unique and one.distinct > 1 and not one.nested
        and (one.numbers is None or one.whole)
    }  # fmt: skip
    return max(scores, key=lambda name: scores[name], default="")


def is_id_of(name: str, words: frozenset[str]) -> bool:
    """Whether a name is a word of a kind, with or without `id`: `user`, `user_id`, `productSKU`."""
    parts = set(words_of(name))
    return bool(parts & words) and parts <= words | ID


def _interactions(tables: Sequence[Table], pairs: Mapping[str, tuple[str, str] | None]) -> Table:
    """The largest table that has both; or the only table, whose rows stand for themselves."""
    both = sorted((table for table in tables if pairs.get(table.name)), key=lambda table: -table.rows)
    if not both:
        if len(tables) == 1:
            return tables[0]
        raise DataError(
            f"none of {_listed(tables)} has a column of users and one of items by its name; say which table holds the "
            "interactions, and which columns these are, as in --interactions FILE --role COLUMN=user --role COLUMN=item"
        )
    if len(both) > 1 and both[1].rows > _AS_LIKELY * both[0].rows:
        raise DataError(
            f"{both[0].name} ({both[0].rows:,} rows) and {both[1].name} ({both[1].rows:,} rows) could both be the "
            f"interactions; say which, as in --interactions {both[0].name}"
        )
    return both[0]


def _listed(tables: Sequence[Table]) -> str:
    return ", ".join(table.name for table in tables)


def _entity(column: str, interactions: Table, others: Sequence[Table]) -> tuple[Entity | None, list[str]]:
    """The table that has a row for each id of a column of the interactions, and what is to be said of others."""
    ids, best, notes = _text(interactions.sample[column]), None, []
    for table in others:
        for key in _keys(table):
            if not (key == column or table.without_header or _names_ids(key, column)):
                continue
            known = _text(table.read([key])[key])
            if known.null_count or pc.count_distinct(known).as_py() < len(known):
                notes.append(f"{table.name}: not used: {key} is not unique")
                continue
            listed = pc.mean(pc.is_in(ids, value_set=known.combine_chunks()).cast(pa.float64())).as_py() or 0.0
            if listed < _LISTED:
                if listed > 0:
                    notes.append(
                        f"{table.name}: not used: it has {listed:.0%} of the rows' {column}; add rows for the others, whose "
                        "columns may be empty"
                    )
            elif best is None or _fits(Entity(table, key, listed), column) > _fits(best, column):
                best = Entity(table, key, listed)
    return best, [] if best else notes


def _may_be(entity: str, tables: Sequence[Table]) -> list[Table]:
    """Those whose file is not named as the other entity: numbers from 0 on of users are ids of an items' table, too."""
    return [table for table in tables if _kind(table) in (entity, "")]


def _kind(table: Table) -> str:
    """The entity that a file is named for; empty = neither, or both."""
    words = words_of(table.path.stem)
    found = [
        entity
        for entity, kind in (("user", USER), ("item", ITEM))
        if kind & {w for word in words for w in (word, word.removesuffix("s"))}
    ]
    return found[0] if len(found) == 1 else ""


def _fits(found: Entity, column: str) -> tuple[bool, bool, float, int]:
    """How well the ids of a table are those of a column: the same name, a file of its kind, and no more than are needed."""
    kinds = {"user": USER, "item": ITEM}
    kind = _kind(found.table)
    return found.key == column, bool(kind and is_id_of(column, kinds[kind])), found.listed, -found.table.rows


def _told_apart(entities: dict[str, Entity], stated: Mapping[str, str]) -> None:
    """Leaves a table that both entities could have to the items, of which more is known as a rule."""
    user, item = entities.get("user"), entities.get("item")
    if user and item and user.table is item.table and not {"user", "item"} <= stated.keys():
        del entities["item" if "user" in stated else "user"]


def _keys(table: Table) -> list[str]:
    """Columns that could hold the ids of a table's rows: each once in the sample."""
    facts = facts_of(table)
    return [one.name for one in facts.values() if one.unique and (one.numbers is None or one.whole) and not one.time]


def _names_ids(key: str, column: str) -> bool:
    """Whether the key of another table is named as the ids of a column: `id`, or by the same word."""
    words, own = set(words_of(key)), set(words_of(column))
    kinds = [kind for kind in (USER, ITEM) if own & kind]
    return words <= ID or bool((words - ID) & (own - ID)) or any(is_id_of(key, kind) for kind in kinds)


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(pa.string())


def described(tables: Tables) -> list[str]:
    """What was found, a line for each table."""
    lines = [f"interactions: {tables.interactions.name}, {counted(tables.interactions.rows, 'row')}"]
    for entity, found in tables.entities.items():
        lines.append(f"{entity}: {found.table.name}, {counted(found.table.rows, 'row')}, by {found.key}")
    return lines
