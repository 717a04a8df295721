import numpy as np

from mtkit.spec import FeatureInfo
from mtkit.standard.text_preprocessors import CleanText
from mtkit.testing import check_import_is_light, check_preprocessor, check_spec


def test_conformance():
    texts = np.array(["<b>A</b>", None, "", "see https://x.org"], object)
    for options in ({}, {"html": False, "unicode": False}, {"urls": True, "lower": True}):
        spec = CleanText(columns=("item.text",), **options)
        check_spec(spec)
        check_preprocessor(spec, texts)
    assert spec.info(spec.fit(texts)) == FeatureInfo()
    assert spec.build({})(np.array(["<b>A</b>", "see https://x.org"])).numpy().tolist() == [b"a", b"see"]


def test_import_is_light():
    check_import_is_light("mtkit.standard.text_preprocessors")
