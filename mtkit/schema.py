"""Declared columns: what each column of the interactions and of the entities is (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, model_validator

from mtkit.allowed import form
from mtkit.declared import Declared
from mtkit.durations import Duration
from mtkit.errors import nearest

ColumnKind = Literal["id", "categorical", "numeric", "text", "time", "list", "label", "weight"]

INTERACTIONS = "interactions"

#: Scopes of addresses that are no entities: what lies on the row itself, the row's own past, what preprocessors make of all
#: that was known before the row, and what tasks predict.
CONTEXT, HISTORY, KNOWN, TASK = "context", "history", "known", "task"
SCOPES = (CONTEXT, HISTORY, KNOWN, TASK)

#: What follows the name of a column of lists, where the weights of its values lie beside them.
WEIGHT = "/weight"


class Address(str):
    """Where a value is found: `scope.column`, as in `item.text`.

    The scope is an entity or a role, `context` (the row itself), `history` (the row's own past, `history.item`), or `known`
    (what a preprocessor makes of what was known before the row, `known.clicks`). What an encoder derives of a column stands
    behind a slash (`item.text/words`). A label of the row itself has no scope. It is an ordinary string otherwise.
    """

    __slots__ = ()
    #: For messages.
    LOOKS = "an address such as 'item.text'"

    @classmethod
    def of(cls, scope: str, column: str) -> Self:
        """The address of a column in a scope."""
        return cls(f"{scope}.{column}")

    @property
    def scope(self) -> str:
        """What comes before the first dot; empty if there is none."""
        return self.partition(".")[0] if "." in self else ""

    @property
    def column(self) -> str:
        """What comes after the first dot."""
        return self.partition(".")[2] if "." in self else str(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        text = Annotated[str, form(r"^[a-z][a-z0-9_]*\.[A-Za-z0-9_]+$", cls.LOOKS), AfterValidator(cls)]
        return handler.generate_schema(text)


#: What comes with every past: days since its events.
AGE = Address.of(HISTORY, "age")


class Column(Declared):
    """One declared column.

    Attributes:
        kind: what the values mean. `id` names a row of an entity, or groups rows (a basket) if `entity` is empty.
        entity: for `id` columns, the entity whose rows the values name.
        role: for `id` columns, what the entity does here, where two columns name the same one (`follower` and `followee` are
            users); default: the entity. Features of the entity are read under the role's name, too.
        sources: for `label` columns, the columns of the same row from which the label was computed. None of them can
            be a feature.
        horizon: for `label` columns that look ahead, how far. A row whose time plus horizon crosses the end of its
            split has weight 0 for this label.
        classes: for `label` columns of several classes, True; a binary label is 0 or 1.
        labels: for `weight` columns, the labels of the table that it is for; empty = it says what a row counts for all tasks.
        multi_label: for `label` columns of which a row has any number of classes, as lists.
        separator: what is between the values of a `list`, or a label of lists, that comes as text.
        weighted: whether the values of a `list` have weights, `value:weight`.
        length: the most values of a row that are read of a `list`, or a label of lists.
    """

    kind: ColumnKind
    entity: str = ""
    role: Annotated[str, form(r"^([a-z][a-z0-9_]*)?$", "a name of lower-case letters, digits and underscores")] = ""
    sources: tuple[str, ...] = ()
    horizon: Duration | None = None
    classes: bool = False
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    separator: str = ""
    weighted: bool = False
    length: Annotated[int, Field(gt=0)] = 32

    @property
    def listed(self) -> bool:
        """Whether a row has any number of values."""
        return self.kind == "list" or self.multi_label

    @model_validator(mode="after")
    def _lists_are_lists(self) -> Self:
        if self.multi_label and (self.kind != "label" or self.classes):
            raise ValueError("multi_label = true is for columns of kind label, in the place of classes = true")
        if self.weighted and self.kind != "list":
            raise ValueError("weighted = true is for columns of kind list")
        for name in ("separator", "length"):
            if not self.listed and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for columns of kind list, or labels with multi_label = true")
        return self

    @model_validator(mode="after")
    def _labels_are_of_weights(self) -> Self:
        if self.labels and self.kind != "weight":
            raise ValueError(f"labels = {list(self.labels)} is for columns of kind weight, and this one is {self.kind}")
        return self

    @model_validator(mode="after")
    def _roles_are_of_entities(self) -> Self:
        if self.role and not self.entity:
            raise ValueError(
                f"role = {self.role!r} is for columns of ids of an entity; give it an `entity`, or no `role`"
            )
        return self


class Schema(Declared):
    """The declared columns of a data set.

    Attributes:
        interactions: columns of the interaction table; at most one has kind `time`.
        entities: entity name -> its columns; the key column is called `id` and is not listed.
        known: names of what a recipe's preprocessors make of what was known before each row; sources declare none.
        groups: features that a recipe's preprocessors make of several columns (`item.looks`), with these; sources declare none.
    """

    interactions: Mapping[str, Column]
    entities: Mapping[str, Mapping[str, Column]]
    known: tuple[str, ...] = ()
    groups: Mapping[Address, tuple[Address, ...]] = {}

    def of_kind(self, kind: ColumnKind, table: str = INTERACTIONS) -> tuple[str, ...]:
        """Names of the columns of `table` (an entity, or `interactions`) that have this kind."""
        return tuple(name for name, column in self._of_table(table).items() if column.kind == kind)

    def _of_table(self, table: str) -> Mapping[str, Column]:
        return self.interactions if table == INTERACTIONS else self.entities[table]

    @property
    def time(self) -> str | None:
        """Name of the interaction table's time column, if there is one."""
        return next(iter(self.of_kind("time")), None)

    @property
    def group(self) -> str | None:
        """Name of the column that groups interactions into one event (a basket, a session), if there is one."""
        groups = [n for n in self.of_kind("id") if not self.interactions[n].entity]
        return groups[0] if groups else None

    @model_validator(mode="after")
    def _weights_are_of_labels(self) -> Self:
        for table in (INTERACTIONS, *self.entities):
            known = self.of_kind("label", table)
            for name in self.of_kind("weight", table):
                if unknown := sorted(set(self._of_table(table)[name].labels) - set(known)):
                    raise ValueError(
                        f"{table}.{name}: labels = {unknown} are no labels of the table; {nearest(unknown[0], known)}"
                    )
        return self

    @model_validator(mode="after")
    def _roles_are_distinct(self) -> Self:
        taken: dict[str, str] = {}
        for name, column in self.interactions.items():
            if column.kind != "id" or not column.entity:
                continue
            role = column.role or column.entity
            if role in taken:
                raise ValueError(
                    f"columns {taken[role]!r} and {name!r} are both the {role} of an interaction; give one of them a `role`"
                )
            if role in SCOPES or (role != column.entity and role in self.entities):
                raise ValueError(f"column {name!r}: {role!r} means something else in addresses; give it another role")
            taken[role] = name
        if wrong := sorted(set(self.entities) & set(SCOPES)):
            raise ValueError(f"{wrong[0]!r} means something else in addresses, and cannot be an entity")
        return self

    @property
    def roles(self) -> Mapping[str, str]:
        """Role -> entity, for those that interactions refer to, in the order of their columns: who acts, what is acted on."""
        ids = (column for column in self.interactions.values() if column.kind == "id" and column.entity)
        return {column.role or column.entity: column.entity for column in ids}

    @property
    def scopes(self) -> Mapping[str, str]:
        """Scope -> entity, for all under which columns of entities are read: the entities, and other roles."""
        return {**{entity: entity for entity in self.entities}, **self.roles}

    def reference(self, role: str) -> str:
        """Name of the interaction column that holds the ids of a role."""
        for name, column in self.interactions.items():
            if column.kind == "id" and column.entity and (column.role or column.entity) == role:
                return name
        raise KeyError(role)

    def names(self) -> dict[str, str]:
        """Names of entities, roles and columns, each with what it is called by."""
        tables = (self.interactions, *self.entities.values())
        columns = dict.fromkeys((name for table in tables for name in table), "a column")
        return columns | dict.fromkeys(self.roles, "a role") | dict.fromkeys(self.entities, "an entity")

    def columns(self, scope: str) -> Mapping[str, Column]:
        """The columns under a scope: of an entity, of a role's entity, or of the interactions (`context`); none elsewhere."""
        if scope == CONTEXT:
            return self.interactions
        return self.entities[self.scopes[scope]] if scope in self.scopes else {}

    def not_weighing(self, name: str) -> str:
        """Why rows cannot be weighed by a column of the interactions, or of a scope (`item.price`); empty if they can."""
        address, kinds = Address(name), ("numeric", "weight")
        declared = self.columns(address.scope or CONTEXT).get(address.column)
        if declared is not None:
            wrong = f"{name} is declared as {declared.kind}, and rows are weighed by columns of kind numeric or weight"
            return "" if declared.kind in kinds else wrong
        tables = {"": self.interactions, **{f"{scope}.": self.columns(scope) for scope in self.scopes}}
        known = [f"{at}{n}" for at, columns in tables.items() for n, c in columns.items() if c.kind in kinds]
        return f"no column is called {name!r}; {nearest(name, known)}"

    def past_columns(self) -> dict[str, Column]:
        """What is known of past events beside what they were about: name -> its column.

        Categories and numbers; labels are one or the other here, and their sources are included, since the past is known.
        """
        found: dict[str, Column] = {}
        for name, column in self.interactions.items():
            kind = column.kind
            if kind == "label" and not column.multi_label:
                kind = "categorical" if column.classes else "numeric"
            if kind in ("categorical", "numeric") and not self.not_of_past(name):
                found[name] = column if kind == column.kind else Column(kind=kind)
        return found

    def not_of_past(self, name: str) -> str:
        """Why a column of the interactions says nothing of past events; empty if it can."""
        if message := self.known_later(name):
            return message
        item = next(iter([*self.roles][1:]), "")
        if name in (AGE.column, item, f"{item}_ids"):
            return f"every past has {name!r} as something else; give the column another name"
        return ""

    def known_later(self, name: str) -> str:
        """Why a column of the interactions is not known when they happen; empty if it is."""
        for label, column in self.interactions.items():
            if column.horizon is not None and name in (label, *column.sources):
                what = "looks ahead" if name == label else f"is a source of label {label!r}, which looks ahead"
                return f"{name!r} {what}: it is not known when the event happens"
        return ""

    def features(self) -> dict[Address, Column]:
        """Every address that an encoder may read (`user.age`, `context.hour`), with its column.

        Labels, their sources, weights, ids of other rows and the time are left out. `<entity>.id`, the past
        (`history.<role>` of what is acted on), what is known of its events (`past_columns`), `known` and `groups` are included.
        """
        hidden = {s for c in self.interactions.values() for s in c.sources}
        addresses: dict[Address, Column] = {}
        for scope, entity in self.scopes.items():
            columns = self.entities[entity]
            addresses[Address.of(scope, "id")] = Column(kind="id", entity=entity)
            hidden_here = {s for c in columns.values() for s in c.sources}
            addresses |= {
                Address.of(scope, name): column
                for name, column in columns.items()
                if column.kind not in ("label", "weight") and name not in hidden_here
            }
        for role in [*self.roles][1:2]:
            addresses[Address.of(HISTORY, role)] = self.interactions[self.reference(role)]
            addresses |= {Address.of(HISTORY, name): column for name, column in self.past_columns().items()}
        for name, column in self.interactions.items():
            if column.kind in ("categorical", "numeric", "list") and name not in hidden:
                addresses[Address.of(CONTEXT, name)] = column
        made = (*(Address.of(KNOWN, name) for name in self.known), *self.groups)
        return addresses | dict.fromkeys(made, Column(kind="numeric"))

    def parts(self, address: Address) -> tuple[Address, ...]:
        """The columns that a feature is made of: those of a group, or the one that it is."""
        return self.groups.get(address, (address,))
