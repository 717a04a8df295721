"""What a search tries, and for how long: the section `search` of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from mtkit.declared import Declared
from mtkit.durations import Duration
from mtkit.errors import nearest
from mtkit.recipe.settings import LARGEST_SEED
from mtkit.recipe.source_text import Mistake
from mtkit.recipe.toml_positions import KeyPath, split_key
from mtkit.spec import PositiveFloat, PositiveInt

Value = bool | int | float | str

#: Sections whose keys may be tried. Others say what is measured, by which values could not be compared.
TRIED = ("rows", "preprocess", "encoder", "correlation", "task", "balance", "train")


class Range(Declared):
    """What a key may be: a number from `low` to `high`, or one of `choices`."""

    low: int | float | None = Field(
        None, description="the smallest number; whole ones are tried if both ends are whole"
    )
    high: int | float | None = Field(None, description="the largest number")
    step: PositiveFloat | None = Field(None, description="the distance of numbers from `low` on; default: 1, or any")
    log: bool = Field(
        False, description="whether small numbers are tried as finely as large ones, on a scale of logarithms"
    )
    choices: Annotated[tuple[Value, ...], Field(description="what is tried instead of numbers")] = ()
    also: tuple[str, ...] = Field((), description="keys that have the same value, such as the `dim` of other encoders")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.choices:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("choices stand alone; leave low, high, step and log out")
            if len(self.choices) < 2 or len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("choices must be two or more, all different")
            return self
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("expected low and high, where low is less, or choices")
        if self.log and self.low <= 0:
            raise ValueError("with log, low must be above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude one another")
        if self.whole and self.step is not None and self.step % 1:
            raise ValueError("low and high are whole numbers, so step must be one")
        return self

    @property
    def whole(self) -> bool:
        """Whether whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def example(self) -> Value:
        """A value that is tried."""
        if self.choices:
            return self.choices[0]
        assert self.low is not None, "a range has choices or numbers"
        return self.low


class Search(Declared):
    """What `mtkit search` tries, and for how long."""

    keys: Annotated[Mapping[str, Range], Field(min_length=1)] = Field(
        description="dotted key of the recipe -> what it may be: `{low = 1e-4, high = 1e-2, log = true}`, `{choices = [32, 64]}`"
    )
    trials: PositiveInt = Field(30, description="how many settings are tried in all, the recipe as it is among them")
    timeout: Duration | None = Field(None, description="no trial begins so long after the command; default: all do")
    metric: str | None = Field(
        None, description="metric key that decides (`next/ndcg@10`), on validation; default: `evaluate.main`"
    )
    prune: bool = Field(
        True, description="whether a trial ends after an epoch in which it is below the median of those before it"
    )
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = Field(0, description="of what is tried")

    def paths(self, key: str) -> list[KeyPath]:
        """The paths in a recipe that a key stands for: its own, and those of `also`."""
        return [path for one in (key, *self.keys[key].also) if (path := path_of(one))]


def path_of(key: str) -> KeyPath | None:
    """The path of a dotted key; None where that is none."""
    split = split_key(key)
    return split[0] if split and not split[1] else None


def unfit_search(search: Search, measured: Sequence[str]) -> Iterator[Mistake]:
    """What does not fit in `[search]`.

    Args:
        search: the section.
        measured: metric keys of the recipe's tasks.
    """
    for key, of in search.keys.items():
        for one in (key, *of.also):
            where: KeyPath = (
                ("search", "keys", key) if one == key else ("search", "keys", key, "also", of.also.index(one))
            )
            path = path_of(one)
            if path is None:
                yield Mistake(where, f'{one!r} is no dotted key; expected one as "train.learning_rate"')
            elif path[0] not in TRIED:
                yield Mistake(where, f"{one!r} is of a section that is not tried; expected one of {', '.join(TRIED)}")
    if search.metric is not None and search.metric not in measured:
        yield Mistake(
            ("search", "metric"), f"no figure is called {search.metric!r}; {nearest(search.metric, measured)}"
        )
