"""Options that do nothing, and columns for requests that are others, one fault at a time."""

import numpy as np
import pytest
from pydantic import Field

from mtkit.backend import tf
from mtkit.spec import Encoder, RankingMetric, ServingInput
from mtkit.testing import check_derivation, check_options


class Steps(RankingMetric):
    """Has an option that counts, and one that does not."""

    power: float = Field(0.5, description="an exponent")
    rounds: int = Field(3, description="nobody looks at it")


def test_an_option_that_changes_nothing_is_found():
    with pytest.raises(AssertionError, match="option 'rounds' of Steps changes nothing that is observed"):
        check_options(Steps(), lambda spec: np.arange(4.0) ** spec.power)
    check_options(Steps(), lambda spec: np.arange(4.0) ** spec.power, skip=("rounds",))
    with pytest.raises(AssertionError, match="is not the same twice"):
        check_options(Steps(), lambda _: np.random.default_rng().random(3))


class Lengths(Encoder):
    """How long texts are; a request counts one more, where `fault` says so."""

    fault: bool = Field(False, description="the fault")
    draws: bool = Field(False, description="another one")

    def derive(self, context):
        if self.draws:
            np.random.rand()  # noqa: NPY002 - the fault
        texts = context.column("item", "text").tolist()
        return {"item.text/lengths": np.array([[len(text or "")] for text in texts], np.float32)}

    def derivation(self, context):
        fault = self.fault

        class Counting(tf.Module):
            inputs = {"item_text": ServingInput("string")}  # noqa: RUF012

            def __call__(self, given):
                counts = tf.cast(tf.strings.length(given["item_text"]), tf.float32)
                return {"item.text/lengths": counts[:, None] + float(fault)}

        return Counting()


def test_requests_get_what_the_catalog_has(make_context):
    from dataclasses import replace

    texts = np.array([None, "one", None, "three"], object)
    context = replace(make_context("text"), column=lambda *_: texts)
    check_derivation(Lengths(reads=("item.text",)), context)
    with pytest.raises(AssertionError, match=r"item\.text/lengths by derivation and by derive differ"):
        check_derivation(Lengths(reads=("item.text",), fault=True), context)
    with pytest.raises(AssertionError, match="derive draws from NumPy's global random state"):
        check_derivation(Lengths(reads=("item.text",), draws=True), context)
