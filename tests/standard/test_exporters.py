import pytest
from pydantic import ValidationError

from mtkit.serving.servable import Servable
from mtkit.serving.signature_set import signatures
from mtkit.standard.exporters import SavedModel
from mtkit.testing import check_import_is_light, check_spec


def test_spec():
    check_spec(SavedModel(text_signatures=True))
    assert SavedModel(text_signatures=True).strings
    assert not SavedModel().strings
    check_import_is_light("mtkit.standard.exporters")


def test_strings_are_of_what_is_not_in_the_data():
    with pytest.raises(ValidationError, match="expected unseen = true with it"):
        SavedModel(unseen=False, text_signatures=True)


def test_without_texts_strings_change_nothing(tiny_pipeline):
    made = signatures(Servable(tiny_pipeline, "next", unseen=True))
    assert set(signatures(Servable(tiny_pipeline, "next", unseen=True, strings=True))) == set(made)
