"""What the records of the oracle say of themselves."""

import pytest
from answers import DIRECTORY, kept
from packaging.requirements import Requirement

RECORDS = sorted(path.stem for path in DIRECTORY.glob("*.npz"))


@pytest.mark.parametrize("name", RECORDS)
def test_records_are_of_the_pinned_versions(name):
    lines = (DIRECTORY / "requirements.txt").read_text("utf-8").splitlines()
    pinned = {requirement.name: requirement for line in lines if line[0] != "#" for requirement in [Requirement(line)]}
    answers = kept(name)
    for library in ("transformers", "tensorflow"):
        assert pinned[library].specifier.contains(str(answers[library]))


def test_records_are_small():
    assert len(RECORDS) == 4
    assert sum((DIRECTORY / f"{name}.npz").stat().st_size for name in RECORDS) < 200_000
