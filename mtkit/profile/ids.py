"""Checks of ids: whether they name what they are meant to name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.profile.findings import Found, Needs, finds, graded
from mtkit.profile.spelling import DOUBTFUL, NOBODY, NOTHING, alike, forms, lost_zeros, words
from mtkit.profile.view import Place, Values, View
from mtkit.schema import INTERACTIONS

#: An id of 0 is taken for no id from this share of the rows on, if it has this multiple of the rows of the next one.
ZERO_SHARE, ZERO_TIMES = 0.01, 5
#: A column describes ids if its most common value for each makes so much less mistakes than the most common one of all.
DESCRIBES = 0.9
#: Up to this share of rows with a text that others have, texts name things.
SAME_TEXT = 0.2
#: Ids have one form if this share of them has it, of at least this many ids.
ONE_FORM, _IDS = 0.9, 50
#: Fewer values describe no ids.
_FEW_DESCRIPTIONS = 20


@finds("P003", Needs.RAW)
def blank_ids(view: View) -> Iterator[Found]:
    """Null and blank ids."""
    for place in view.columns("id"):
        column = view.raw_column(place)
        missing = pc.is_null(column)
        if pa.types.is_string(column.type):
            missing = pc.or_(missing, pc.equal(pc.utf8_trim_whitespace(column), "").fill_null(pa.scalar(value=True)))
        rows = np.flatnonzero(missing.to_numpy())
        if len(rows):
            yield Found(str(place), len(rows), len(column), examples=_rows(rows))


@finds("P004", Needs.RAW, quick=True)
def ids_alike(view: View) -> Iterator[Found]:
    """Ids of one entity that are the same but for case, white space or Unicode form."""
    for entity, values in _of_entities(view):
        count, examples = alike(values)
        if count:
            yield Found(f"{entity} ids", count, len(values.values), "ids", examples)


@finds("P005", Needs.RAW, quick=True)
def placeholder_ids(view: View) -> Iterator[Found]:
    """Ids such as `unknown`, `-`, -1, or a 0 that has far more rows than any other."""
    for place in view.columns("id"):
        values = view.values(place)
        if place.declared.entity and len(values.values):
            found = _nobody(values) if values.strings() else _no_number(values)
            if len(found.values):
                yield Found(str(place), found.rows, values.rows + values.nulls, examples=found.examples())


@finds("P006", Needs.RAW)
def zeros_lost(view: View) -> Iterator[Found]:
    """Ids and categories of digits, some of which have lost zeros."""
    for place in view.columns("id", "categorical"):
        values = view.values(place)
        lost = lost_zeros(values)
        if len(lost.values):
            yield Found(str(place), len(lost.values), len(values.values), "values", lost.examples())


@finds("P007")
def ids_without_row(view: View) -> Iterator[Found]:
    """Ids of interactions that the entity's own table does not have."""
    for role, entity in view.schema.roles.items():
        if entity in view.raw.entities:
            reference = view.schema.reference(role)
            lost = np.flatnonzero(view.encoded.rows(role) < 0)
            if len(lost):
                some = view.dataset.interactions[reference].take(pa.array(lost[:1000])).unique()[:3].to_pylist()
                examples = tuple(map(repr, some))
                settled = view.recipe is not None and _says_unlisted(view, entity)
                severity = graded(not settled)
                where = f"{INTERACTIONS}.{reference}"
                yield Found(where, len(lost), len(view.dataset.interactions), examples=examples, severity=severity)


@finds("P008")
def rows_without_interaction(view: View) -> Iterator[Found]:
    """Rows of an entity's own table that no interaction refers to, in whatever role."""
    for entity in view.raw.entities:
        roles = [role for role, of in view.schema.roles.items() if of == entity]
        ids = view.dataset.entities[entity]["id"]
        used = np.zeros(len(ids) + 1, bool)
        for role in roles:
            used[view.encoded.rows(role)] = True
        idle = np.flatnonzero(~used[:-1])  # the last one is that of ids in no row
        if roles and len(idle):
            examples = tuple(map(repr, ids.take(pa.array(idle[:3])).to_pylist()))
            yield Found(entity, len(idle), len(ids), examples=examples)


@finds("P009")
def single_interactions(view: View) -> Iterator[Found]:
    """Users and items with one interaction."""
    for role in view.schema.roles:
        reference = view.schema.reference(role)
        code = view.encoded.codes(reference)
        counts = np.bincount(code[code >= 0])
        once = counts == 1
        if once.any():
            rows = np.flatnonzero(once[code] & (code >= 0))[:3]
            examples = tuple(map(repr, view.dataset.interactions[reference].take(pa.array(rows)).to_pylist()))
            yield Found(f"{role} ids", int(np.count_nonzero(once)), len(counts), "ids", examples)


@finds("P010", Needs.RAW)
def several_descriptions(view: View) -> Iterator[Found]:
    """Ids in several rows of their table, and with several values of a column which says one thing of nearly every id."""
    for place in view.columns("id"):
        if place.table != INTERACTIONS:
            values = view.values(place)
            several = values.where(values.counts > 1)
            if len(several.values):
                yield Found(str(place), len(several.values), len(values.values), "ids", several.examples())
    for place in view.columns("categorical", "text") if view.cleaned else ():
        if place.table != INTERACTIONS:
            continue
        value = view.encoded.codes(place.name)
        for role in view.schema.roles if value.max(initial=-1) + 1 >= _FEW_DESCRIPTIONS else ():
            yield from _inconsistent(view, role, place, value)


@finds("P011", Needs.RAW)
def same_text(view: View) -> Iterator[Found]:
    """Texts that several rows of an entity's table have."""
    for place in view.columns("text"):
        if place.table != INTERACTIONS:
            values = view.values(place)
            several = values.where((values.counts > 1) & ~_blank(values))
            if 0 < several.rows <= SAME_TEXT * values.rows:  # beyond that it is a category
                yield Found(str(place), several.rows, values.rows, examples=several.examples())


@finds("P052", Needs.RAW)
def unusual_forms(view: View) -> Iterator[Found]:
    """Ids in a form that few have, where nearly all have one."""
    for place in view.columns("id"):
        values = view.values(place)
        if not values.strings() or len(values.values) < _IDS:
            continue
        values = values.where(~_blank(values))
        form = forms(values)
        ids = np.bincount(form)
        rare = values.where(ids[form] < (1 - ONE_FORM) * len(form))
        if ids.max() >= ONE_FORM * len(form) and len(rare.values):
            yield Found(str(place), rare.rows, values.rows, examples=rare.examples())


@finds("P053")
def shared_groups(view: View) -> Iterator[Found]:
    """Groups (baskets, sessions) of several users."""
    if view.schema.group is None or not view.schema.roles:
        return
    role = next(iter(view.schema.roles))
    group, user = view.encoded.codes(view.schema.group), view.encoded.codes(view.schema.reference(role))
    one = np.zeros(int(group.max(initial=-1)) + 1, user.dtype)
    one[group] = user
    shared = np.unique(group[one[group] != user])
    if len(shared):
        rows = np.flatnonzero(np.isin(group, shared[:3]))
        names = view.dataset.interactions[view.schema.group].take(pa.array(rows)).unique()
        yield Found(
            f"{INTERACTIONS}.{view.schema.group}", len(shared), len(one), "groups", tuple(map(repr, names.to_pylist()))
        )


def _of_entities(view: View) -> Iterator[tuple[str, Values]]:
    """The distinct ids of each entity, of its table and of all roles; strings alone."""
    places: dict[str, list[Place]] = {}
    for place in view.columns("id"):
        if place.declared.entity:
            places.setdefault(place.declared.entity, []).append(place)
    for entity, columns in places.items():
        found = [values.values for place in columns if (values := view.values(place)).strings()]
        if found:
            ids = pc.unique(pa.concat_arrays([*found]))
            yield entity, Values(ids, np.ones(len(ids), np.int64), 0)


def _nobody(values: Values) -> Values:
    """Words for nobody; `0` among digits as of numbers."""
    found = words(values, (*NOTHING, *DOUBTFUL, *NOBODY))
    zero = np.asarray(pc.equal(values.values, "0"), bool)
    return found if len(found.values) or not _too_frequent(values, zero) else values.where(zero)


def _no_number(values: Values) -> Values:
    """-1 among ids that are not negative, and 0 that is far too frequent."""
    numbers = np.asarray(values.values.to_numpy(), np.int64)
    minus = numbers == -1
    if minus.any() and not (numbers < -1).any():
        return values.where(minus)
    zero = numbers == 0
    return values.where(zero if _too_frequent(values, zero) else np.zeros(len(zero), bool))


def _too_frequent(values: Values, which: np.ndarray) -> bool:
    count, others = values.counts[which].sum(), values.counts[~which]
    return bool(count > ZERO_SHARE * values.rows and len(others) > 1 and count > ZERO_TIMES * others.max())


def _says_unlisted(view: View, entity: str) -> bool:
    """Whether the recipe says what becomes of ids that are in no table."""
    assert view.recipe is not None
    catalog = view.recipe.data.catalog.get(entity)
    return catalog is not None and catalog.unlisted != "refuse"


def _inconsistent(view: View, role: str, place: Place, value: np.ndarray) -> Iterator[Found]:
    """Ids of a role that have several values of a column, if nearly all have one."""
    reference = view.schema.reference(role)
    code = view.encoded.codes(reference)
    there = (code >= 0) & (value >= 0)
    width = int(value.max()) + 1
    pair, counts = np.unique(code[there].astype(np.int64) * width + value[there], return_counts=True)
    of, rows = pair // width, np.bincount(code[there], minlength=int(code.max()) + 1)
    most = np.zeros(len(rows), np.int64)
    np.maximum.at(most, of, counts)
    repeated = rows > 1  # what is there once cannot contradict itself
    total = int(rows[repeated].sum())
    by_chance = total - int(np.bincount(value[there]).max())
    several = np.bincount(of, minlength=len(rows)) > 1
    if several.any() and by_chance > 0 and 1 - (total - int(most[repeated].sum())) / by_chance >= DESCRIBES:
        examples = tuple(_descriptions(view, reference, place, code, one) for one in np.flatnonzero(several)[:3])
        yield Found(str(place), int(np.count_nonzero(several)), len(rows), f"{role} ids", examples)


def _descriptions(view: View, reference: str, place: Place, code: np.ndarray, one: int) -> str:
    rows = pa.array(np.flatnonzero(code == one))
    table = view.dataset.interactions
    first, second = table[place.name].take(rows).drop_null().unique()[:2].to_pylist()
    return f"{table[reference][rows[0].as_py()].as_py()!r}: {first!r} and {second!r}"


def _blank(values: Values) -> np.ndarray:
    if not values.strings():
        return np.zeros(len(values.values), bool)
    return np.asarray(pc.equal(pc.utf8_trim_whitespace(values.values), ""), bool)


def _rows(rows: np.ndarray) -> tuple[str, ...]:
    """Where rows stand, 1 = the first."""
    return tuple(f"row {row + 1:,}" for row in rows[:3].tolist())
