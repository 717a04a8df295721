"""What encoders are told: of raw columns those alone that they declare."""

from dataclasses import replace

import numpy as np
import pytest

from mtkit.data.build_context import of_encoder
from mtkit.errors import WiringError
from mtkit.spec import Encoder


def test_columns_that_are_not_declared_are_refused(make_context):
    context = replace(make_context(), column=lambda entity, column: np.array([f"{entity}.{column}"]))
    told = of_encoder(context, "text", Encoder(reads=("item.text",)))
    assert told.name == "text"
    assert [told.column("item", name)[0] for name in ("text", "id")] == ["item.text", "item.id"]
    with pytest.raises(
        WiringError, match=r"encoder\.text: asks for item\.price, which its `reads` does not name; it reads"
    ):
        told.column("item", "price")
