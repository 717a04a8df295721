import pytest

from mtkit.errors import DeclarationError
from mtkit.serving.servable import Servable
from mtkit.serving.signature_set import signatures
from mtkit.spec import Encoder
from mtkit.standard.exporters import SavedModel
from mtkit.testing import check_import_is_light, check_spec


def test_spec():
    check_spec(SavedModel(text_signatures=True))
    check_import_is_light("mtkit.standard.exporters")


class Wordless(Encoder):
    """Its texts cannot come as strings."""

    def string_refusal(self, context):
        return f"{context.name} knows no words"


def test_encoders_that_take_no_strings_are_refused_where_texts_are_strings(make_context):
    encoders, contexts = {"text": Wordless(reads=("item.text",))}, {"text": make_context("text")}
    found = list(SavedModel(text_signatures=True).unfit(encoders, contexts))
    assert found == [(("text_signatures",), "encoder text: text knows no words")]
    assert list(SavedModel().unfit(encoders, contexts)) == []


def test_strings_are_of_what_is_not_in_the_data():
    with pytest.raises(DeclarationError, match="expected unseen = true with it"):
        SavedModel(unseen=False, text_signatures=True)


def test_without_texts_strings_change_nothing(tiny_pipeline):
    made = signatures(Servable(tiny_pipeline, "next", unseen=True))
    assert set(signatures(Servable(tiny_pipeline, "next", unseen=True, strings=True))) == set(made)
