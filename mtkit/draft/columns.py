"""What each column of a table is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from mtkit.data.event_kinds import MOST_KINDS, WORDS
from mtkit.draft.facts import Facts
from mtkit.draft.roles import ONCE, ROLES, Entity, Guess, Tables
from mtkit.draft.words import (
    AFTERWARDS,
    GROUP,
    ID,
    OUTCOME,
    PART,
    RATING,
    SNAPSHOT,
    TARGET,
    WEIGHT,
    tells,
    words_of,
)
from mtkit.errors import DataError, nearest
from mtkit.shown import counted

#: Whole numbers of so few values are categories.
FEW = 50
#: The most values that a category of rows has.
_MOST_OF_ROWS = 1_000
#: A number that tells a label so well alone (AUC) is known only after it.
_TELLS_ALL, _TELLS_MUCH = 0.95, 0.7
#: Share of baskets in the sample that have one user.
_OF_ONE_USER = 0.99


def interaction_guesses(tables: Tables, roles: Mapping[str, str]) -> dict[str, Guess]:
    """Column of the interactions -> what it is for.

    Args:
        tables: which table is what.
        roles: column -> role, as the user says.

    Raises:
        DataError: a role that there is not, or that several columns have.
    """
    guesses = {name: Guess(role, "as you say") for name, role in checked(roles, tables.facts).items()}
    if tables.user:
        guesses.setdefault(tables.user, Guess("user", _ids(tables, "user")))
        guesses.setdefault(tables.item, Guess("item", _ids(tables, "item")))
    guesses |= dict(_time(tables.facts, guesses))
    for one in tables.facts.values():
        if one.name not in guesses:
            guesses[one.name] = _of_row(one, tables, guesses)
    if not tables.user and "label" not in (guess.role for guess in guesses.values()):
        guesses |= _last_label(tables.facts, roles)
    guesses |= dict(_told_later(tables.facts, guesses, roles))
    return {name: guesses[name] for name in tables.facts}


def checked(roles: Mapping[str, str], facts: Mapping[str, Facts]) -> Mapping[str, str]:
    """Roles as the user says.

    Raises:
        DataError: there is no such column or role, or several columns have one that is for one.
    """
    for name, role in roles.items():
        if name not in facts:
            raise DataError(f"--role {name}={role}: there is no such column; {nearest(name, facts)}")
        if role not in ROLES:
            raise DataError(f"--role {name}={role}: there is no such role; {nearest(role, ROLES)}")
    for role in ONCE:
        several = [name for name, to in roles.items() if to == role]
        if len(several) > 1:
            raise DataError(f"--role: {' and '.join(several)} are both {role}; one column has this role")
    return roles


def _ids(tables: Tables, entity: str) -> str:
    if found := tables.entities.get(entity):
        return f"refers to {found.table.name} -> {found.key}"
    return "by its place, as in logs of ratings" if tables.interactions.without_header else "by its name"


def _time(facts: Mapping[str, Facts], guesses: Mapping[str, Guess]) -> Iterator[tuple[str, Guess]]:
    """The time is the column of times with the most values; the others are the same less exactly, or other moments."""
    times = sorted(
        (one for one in facts.values() if one.name not in guesses and one.time), key=lambda one: -one.distinct
    )
    said = [name for name, guess in guesses.items() if guess.role == "time"]
    for number, one in enumerate(times):
        if number or said:
            yield one.name, Guess("ignore", f"a time, too; the time is {said[0] if said else times[0].name}")
        else:
            yield one.name, Guess("time", one.time)


def _of_row(one: Facts, tables: Tables, guesses: Mapping[str, Guess]) -> Guess:  # noqa: PLR0911 - one case after another
    taken = {guess.role for guess in guesses.values()}
    if one.known == 0 or one.distinct == 1 or (one.nested and not one.lists):
        return Guess("ignore", "one value in all rows" if one.distinct == 1 else "nothing that a recipe reads")
    if tables.user and "basket" not in taken and _is_group(one, tables):
        return Guess("basket", "each value has one user")
    if "part" not in taken and tells(one.name, PART) and {"train", "test"} <= set(one.common):
        return Guess("part", f"values {', '.join(one.common)}")
    if tables.user and "event" not in taken and is_event(one):
        return Guess("event", f"kinds of events: {', '.join(one.common[:4])}")
    if (
        tables.user
        and "rating" not in taken
        and one.numbers is not None
        and tells(one.name, RATING)
        and 2 < one.distinct <= 101
    ):
        return Guess("rating", f"numbers from {_lowest(one)}")
    if one.binary and tells(one.name, OUTCOME | TARGET):
        return Guess("label", _share(one))
    if not tables.user and tells(one.name, TARGET) and 2 <= one.distinct <= FEW:
        return Guess("label", f"{one.distinct} classes, by its name")
    if one.numbers is not None and tells(one.name, WEIGHT) and np.nanmin(one.numbers) >= 0:
        return Guess("weight", "by its name", sure=False)
    return _context(one, tables)


def _context(one: Facts, tables: Tables) -> Guess:  # noqa: PLR0911
    """A column that is known before, or perhaps not."""
    if one.lists or one.separator:
        return Guess("ignore" if tables.user else "list", "lists")
    if one.reads_as_text:
        return Guess("ignore", "text of a row")
    if one.numbers is not None and (not is_code(one) or tells(one.name, AFTERWARDS)):
        if tables.user:
            return Guess("ignore", "a number that may be known only afterwards; numeric, if before", sure=False)
        return (
            Guess("ignore", "nearly one value a row")
            if one.whole and one.unique
            else Guess("numeric", f"from {_lowest(one)}")
        )
    if one.distinct > _MOST_OF_ROWS or 2 * one.distinct > one.known:
        return Guess("ignore", f"{one.distinct:,} values in {one.known:,} rows of the sample")
    if tables.user and one.binary:
        return Guess("ignore", "0 or 1; label, if it is an outcome, categorical, if it is known before", sure=False)
    return Guess("categorical", f"{one.distinct} values")


def _is_group(one: Facts, tables: Tables) -> bool:
    if not tells(one.name, GROUP) or one.unique or one.distinct < 2 or one.nested or one.binary:
        return False
    users = tables.facts[tables.user].column
    frame = pd.DataFrame({"group": one.column.to_numpy(), "user": users.to_numpy()})
    return bool((frame.groupby("group")["user"].nunique() < 2).mean() > _OF_ONE_USER)


def is_event(one: Facts) -> bool:
    """Whether values are kinds of events, such as `view` and `buy`."""
    if one.nested or not 1 < one.distinct <= MOST_KINDS or one.numbers is not None:
        return False
    known = [value for value in one.common if value.lower().replace("-", "_").replace(" ", "_") in WORDS]
    return 2 * len(known) >= len(one.common)


def is_code(one: Facts) -> bool:
    """Whether numbers, or texts, are names of something."""
    if one.numbers is None:
        return True
    codes = {*ID, "zip", "postcode", "type", "class", "category"} - {"number", "no", "nr"}
    return one.whole and (one.distinct <= FEW or tells(one.name, codes))


def _last_label(facts: Mapping[str, Facts], roles: Mapping[str, str]) -> dict[str, Guess]:
    """In a table of rows alone, what is to be predicted is usually the last column."""
    last = [*facts.values()][-1]
    if last.name in roles or not (2 <= last.distinct <= FEW or last.numbers is not None):
        raise DataError(
            "no column of users and items was found, and none that is to be predicted; name them, as in --role COLUMN=user "
            "--role COLUMN=item, or --role COLUMN=label"
        )
    return {last.name: Guess("label", f"the last column, {counted(last.distinct, 'value')}", sure=False)}


def _told_later(
    facts: Mapping[str, Facts], guesses: Mapping[str, Guess], roles: Mapping[str, str]
) -> Iterator[tuple[str, Guess]]:
    """Features that are probably known only when the outcome is, by how well they tell it alone."""
    labels = [positive(facts[name]) for name, guess in guesses.items() if guess.role == "label"]
    for name, guess in guesses.items():
        if guess.role != "numeric" or name in roles:
            continue
        area = max((_area(label, facts[name]) for label in labels if label is not None), default=0.5)
        if area > _TELLS_ALL or (area > _TELLS_MUCH and tells(name, AFTERWARDS)):
            yield (
                name,
                Guess(
                    "ignore", f"tells the label too well (AUC {area:.2f}); numeric, if it is known before", sure=False
                ),
            )


def positive(one: Facts) -> np.ndarray | None:
    """Whether a label of two values has the rarer one, bool `[rows]`; None for others."""
    if one.nested or one.distinct != 2:
        return None
    rare = one.common[-1]
    return np.array([str(value) == rare for value in one.column.to_pylist()])


def _area(label: np.ndarray, one: Facts) -> float:
    """How well a number alone tells a label: AUC, at least 1/2."""
    if one.numbers is None:
        return 0.5
    ranks = pd.Series(one.numbers).fillna(np.nanmedian(one.numbers)).rank().to_numpy()
    positives, others = label.sum(), (~label).sum()
    area = (ranks[label].sum() - positives * (positives + 1) / 2) / (positives * others)
    return float(max(area, 1 - area))


def _lowest(one: Facts) -> str:
    assert one.numbers is not None
    return f"{np.nanmin(one.numbers):.6g} to {np.nanmax(one.numbers):.6g}"


def _share(one: Facts) -> str:
    assert one.numbers is not None
    return f"0 or 1, {np.nanmean(one.numbers):.2%} are 1"


def entity_guesses(entity: Entity, roles: Mapping[str, str]) -> dict[str, Guess]:
    """Column of an entity's table -> what it is for; without the key."""
    facts = entity.facts
    said = {name: Guess(role, "as you say") for name, role in checked(roles, facts).items()}
    return {name: said.get(name) or _of_entity(one) for name, one in facts.items() if name != entity.key}


def _of_entity(one: Facts) -> Guess:  # noqa: PLR0911 - one case after another
    if one.known == 0 or (not one.nested and one.distinct == 1):
        return Guess("ignore", "one value in all rows")
    if one.nested and not one.lists:
        return Guess("ignore", "nothing that a recipe reads")
    if one.lists or one.separator:
        return Guess("list", f"separated by {one.separator!r}" if one.separator else "lists")
    if one.reads_as_text:
        return Guess("text", f"{one.length:.0f} words")
    if one.numbers is not None and (tells(one.name, SNAPSHOT) or words_of(one.name)[-1:] == ["count"]):
        return Guess("ignore", "perhaps counted at the end, so that it knows the future; numeric, if not", sure=False)
    if one.time and one.distinct > FEW:
        return Guess("ignore", "a time")
    if one.numbers is not None and not is_code(one):
        return Guess("numeric", f"from {_lowest(one)}")
    if 2 * one.distinct > one.known:
        return Guess("ignore", f"{one.distinct:,} values in {one.known:,} rows of the sample")
    return Guess("categorical", f"{one.distinct} values")
