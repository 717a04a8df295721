"""What is planted in data that are made up: sizes, and a knob for each difficulty."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any

from pydantic import Field

from mtkit.declared import Declared
from mtkit.errors import DataError

_Share = Annotated[float, Field(ge=0, le=1)]
_Size = Annotated[int, Field(gt=1)]


class Settings(Declared):
    """Sizes and knobs of data that are made up; the same settings make the same data.

    The defaults are what the recipes of the domains are held against.
    """

    rows: Annotated[int, Field(gt=0)] = Field(50_000, description="interactions")
    users: _Size | None = Field(None, description="users; default: one for 100 interactions, at least 50")
    items: _Size | None = Field(None, description="items; default: 300, or one for 10 users if that is more")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of all that is drawn")
    correlation: _Share = Field(
        0.7,
        description="how much of what users do follows from one taste: 1 = all behaviors from the same factors, 0 = each from "
        "factors of its own",
    )
    strength: Annotated[float, Field(ge=0)] = Field(
        2.0, description="how much tastes decide what is chosen; 0 = nothing"
    )
    signal: Annotated[float, Field(ge=0)] = Field(
        1.5, description="how much tastes decide what is done with it; 0 = nothing"
    )
    skew: Annotated[float, Field(ge=0)] = Field(
        0.7, description="of popularity and of activity: weights of rank^-skew; 0 = all alike"
    )
    drift: _Share = Field(0.2, description="how far tastes turn until the end: 1 = to something unrelated")
    season: Annotated[float, Field(ge=0)] = Field(
        0.5, description="how much the time of day and the season decide what is chosen"
    )
    cold: _Share = Field(0.1, description="share of the items that appear after half of the time, evenly until the end")
    missing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="share of attributes and of labels that are null"
    )
    text_noise: _Share = Field(0.2, description="share of the words of a text that say nothing of the item")
    wrong: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0,
        description="share of labels of 0 and 1 that are turned around in the first half of the time, until 2024-03-01",
    )
    rare: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="factor of how often labels are 1")
    noise_columns: Annotated[int, Field(ge=0)] = Field(
        0, description="numbers of a row that say nothing (`noise_0`, ...)"
    )

    @property
    def user_count(self) -> int:
        """How many users there are."""
        return self.users or max(50, self.rows // 100)

    @property
    def item_count(self) -> int:
        """How many items there are."""
        return self.items or max(300, self.user_count // 10)


def knob(text: str) -> tuple[str, Any]:
    """Key and value of `KEY=VALUE`.

    Raises:
        DataError: it is none, or the value is no number.
    """
    key, _, value = text.partition("=")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        raise DataError(f"{text!r}: expected KNOB=NUMBER, as in correlation=0.2") from None
