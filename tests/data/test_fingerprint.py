from mtkit.data.fingerprint import checksums, fingerprint
from mtkit.standard.correlations import SharedBottom
from mtkit.standard.encoders import Features
from mtkit.standard.vectors import Vectors


def test_the_fingerprint_sees_every_value(make_shop):
    assert fingerprint(make_shop(0)) == fingerprint(make_shop(0))
    assert fingerprint(make_shop(0)) != fingerprint(make_shop(1))


def test_checksums_see_every_byte_of_what_encoders_read(tmp_path):
    path, ids = tmp_path / "vectors.npy", tmp_path / "ids.txt"
    encoders = {"made": Vectors(reads=("item.id",), path=path, ids=ids), "id": Features(reads=("item.id",))}
    found = [checksums(encoders, {})]
    for file, content in ((path, b"vectors"), (ids, b"ids"), (path, b"vektors"), (ids, b"idz")):
        file.write_bytes(content)
        found.append(checksums(encoders, {}))
    assert all(each.keys() == {"made"} for each in found)
    assert len({each["made"] for each in found}) == len(found)


def test_checksums_see_what_correlations_read(tmp_path):
    class Reading(SharedBottom):
        @property
        def files(self):
            return (tmp_path / "read.json",)

    correlations, found = {"made": SharedBottom(), "reads": Reading()}, []
    for content in ("one", "other"):
        (tmp_path / "read.json").write_text(content)
        found.append(checksums({}, correlations))
    assert all(each.keys() == {"correlation.reads"} for each in found)
    assert found[0] != found[1]
