"""What is wrong with the options of components, sections and columns that are made in Python."""

import numpy as np
import pytest
from pydantic import Field

from mtkit.errors import DeclarationError
from mtkit.recipe import Evaluate
from mtkit.schema import Column
from mtkit.spec import Spec
from mtkit.standard.encoders import Features
from mtkit.standard.sources import Frames
from mtkit.standard.splits import Time


class Coded(Spec):
    code: str = Field(pattern="^x[0-9]+$", description="the code, an x and digits")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Features, "Features: reads: is missing; expected addresses of the features it reads"),
        (
            lambda: Features(reads=["user.id"], dmi=8),
            "Features: dmi: unknown key; did you mean 'dim'? (known: combine,",
        ),
        (lambda: Features(reads=["user.id"], dim=0), "Features: dim: expected a whole number above 0, got 0"),
        (lambda: Features(reads=["user.id", 3]), "Features: reads[1]: expected an address such as 'item.text', got 3"),
        (lambda: Features(["user.id"]), "Features: takes its options by name, got ['user.id'] without one"),
        (lambda: Column(kind="label", multi_label=True, classes=True), "Column: multi_label = true is for columns"),
        (lambda: Column(kind="idd"), "got 'idd'; did you mean 'id'?"),
        (lambda: Time(valid="soon", test="2024-02-01"), "Time: valid: expected a date such as 2024-01-31"),
        (lambda: Evaluate(metrics={"ndcg": "ndcg"}), "Evaluate: metrics.ndcg: expected a RankingMetric, got 'ndcg'"),
        (
            lambda: Frames(interactions=None, columns={"a": {"kind": "id", "entity": "x", "rol": "y"}}),
            "Frames: columns.a.rol: unknown key",
        ),
        (
            lambda: Frames(interactions=None, columns={n: {"kind": "id", "entity": "user"} for n in "ab"}),
            "Frames: columns 'a' and 'b' are both the user of an interaction",
        ),
        (
            lambda: Coded(code="y"),
            "Coded: code: expected text of a certain form (the code, an x and digits), got 'y'",
        ),
        (
            lambda: Features(reads=np.zeros(3)),
            "Features: reads: expected a list of at least 1 element, each an address",
        ),
    ],
)
def test_mistakes_say_what_where_and_what_to_do(make, message):
    with pytest.raises(DeclarationError) as caught:
        make()
    assert message in str(caught.value)
    for word in ("validation error", "pydantic", "type="):
        assert word not in str(caught.value)
    # What stands around is no help: the trace ends where the options were given.
    assert caught.value.__suppress_context__ or not caught.value.__context__
    assert isinstance(caught.value, ValueError)


def test_all_mistakes_come_at_once():
    with pytest.raises(
        DeclarationError, match=r"(?s)Features: reads: is missing.*\nFeatures: dim: .*\nFeatures: x: unknown"
    ):
        Features(dim="many", x=1)
