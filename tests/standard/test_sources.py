import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtkit.data.columns import load, seconds
from mtkit.errors import DataError, DeclarationError
from mtkit.standard.sources import Files, Frames
from mtkit.testing import check_import_is_light, check_spec

COLUMNS = {
    "who": {"kind": "id", "entity": "user"},
    "what": {"kind": "id", "entity": "item"},
    "when": {"kind": "time"},
    "good": {"kind": "label"},
}
LINES = "who,what,when,good\n7,a,2024-01-01T10:00:00,1\n7,b,2024-01-02T10:00:00,0\n9,a,2024-01-03T00:00:00,\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "lines.csv").write_text(LINES)
    pq.write_table(pa.table({"sku": ["a", "b"], "size": [1.5, None], "id": [0, 0]}), tmp_path / "items.parquet")
    return {
        "interactions": tmp_path / "lines.csv",
        "entities": {"item": tmp_path / "items.parquet"},
        "columns": COLUMNS,
        "entity_columns": {"item": {"size": {"kind": "numeric"}}},
        "keys": {"item": "sku"},
    }


def test_files(files):
    spec = Files(**files)
    check_spec(spec)
    dataset = load(spec)
    assert dataset.schema == spec.schema()
    assert dataset.entities["user"].to_pydict() == {"id": ["7", "9"]}
    assert dataset.entities["item"].to_pydict() == {"size": [1.5, None], "id": ["a", "b"]}
    assert seconds(dataset.interactions["when"])[0] == 1_704_103_200
    assert dataset.interactions["good"].to_pylist() == [1, 0, None]


def test_frames_are_the_same(files):
    frames = {"interactions": pd.read_csv(files["interactions"], parse_dates=["when"], dtype={"who": str})}
    frames["entities"] = {"item": pd.read_parquet(files["entities"]["item"])}
    one, other = load(Files(**files)), load(Frames(**{**files, **frames}))
    assert other.schema == one.schema
    assert other.entities["user"] == one.entities["user"]
    assert other.entities["item"].to_pydict() == one.entities["item"].to_pydict()
    assert seconds(other.interactions["when"]).tolist() == seconds(one.interactions["when"]).tolist()
    assert other.interactions["good"].to_pylist() == [1, 0, None]


@pytest.mark.parametrize("values", [[1, "a"], [1j, 2], [2**70, 1]])
def test_frames_of_odd_values_are_refused(values):
    frame = pd.DataFrame(
        {"who": ["7", "9"], "what": ["a", "b"], "when": [pd.Timestamp("2024-01-01")] * 2, "good": values}
    )
    with pytest.raises(DataError, match=r"interactions\.good: values of several types, or of one that is no number"):
        load(Frames(interactions=frame, columns=COLUMNS))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_in_the_names_of_folders_are_what_they_are_declared_to_be(tmp_path, suffix):
    for shop, day in (("05", "2024-01-01"), ("5", "2024-01-02"), ("__HIVE_DEFAULT_PARTITION__", "2024-01-03")):
        folder = tmp_path / f"events/what={shop}/when={day}/good=true"
        folder.mkdir(parents=True)
        frame = pd.DataFrame({"who": ["7"]})
        frame.to_csv(folder / "0.csv", index=False) if suffix == "csv" else frame.to_parquet(folder / "0.parquet")
    shop = load(Files(interactions=tmp_path / "events", columns=COLUMNS))
    assert shop.interactions.to_pydict() == {
        "who": ["7", "7"],
        "what": ["05", "5"],
        "when": [1704067200, 1704153600],
        "good": [1, 1],
    }
    assert shop.left_out == {"without a value in 'what'": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {**COLUMNS, "at": {"kind": "time"}}}, "expected one of kind time at most, got when, at"),
        ({"columns": {**COLUMNS, "who": {"kind": "id"}}}, "expected two that hold ids of entities, .* got what"),
    ],
)
def test_declarations_are_checked(files, changes, message):
    with pytest.raises(DeclarationError, match=message):
        Files(**files | changes)


def test_files_that_do_not_fit(files, tmp_path):
    (tmp_path / "broken.csv").write_text("a,b\n1\n")
    (tmp_path / "broken.parquet").write_text("no parquet")
    for changes, message in (
        ({"interactions": tmp_path / "gone.csv"}, r"gone\.csv: there is no such file"),
        (
            {"interactions": tmp_path / "broken.csv"},
            r"broken\.csv: none of the columns 'who', .* is there; it has 'a', 'b'; the",
        ),
        ({"interactions": tmp_path / "broken.parquet"}, r"broken\.parquet: cannot be read"),
        ({"keys": {"item": "ean"}}, r"items\.parquet: no column 'ean'; it has 'sku', 'size', 'id'"),
        (
            {"entity_columns": {"item": {}, "shop": {}}},
            "shop: the data have no such table, and no interaction refers to it",
        ),
    ):
        with pytest.raises(DataError, match=message):
            load(Files(**files | changes))


def test_mistakes_of_all_files_come_at_once(files, tmp_path):
    with pytest.raises(DataError) as caught:
        load(Files(**files | {"interactions": tmp_path / "gone.csv", "keys": {"item": "ean"}}))
    assert len(str(caught.value).splitlines()) == 2


def test_data_without_times_or_without_ids(files):
    ratings = {name: declared for name, declared in COLUMNS.items() if name != "when"}
    dataset = load(Files(**files | {"columns": ratings}))
    assert dataset.schema.time is None
    assert dataset.interactions.column_names == ["who", "what", "good"]
    alone = {"columns": {"good": {"kind": "label"}}, "entities": {}, "entity_columns": {}, "keys": {}}
    assert load(Files(**files | alone)).schema.roles == {}


def test_an_unknown_encoding(files):
    with pytest.raises(DeclarationError, match="'utf-88' is no encoding that Python knows"):
        Files(**files, encoding="utf-88")


def test_specs_are_light():
    check_import_is_light("mtkit.standard.sources")


def test_files_without_a_header_and_with_other_names(tmp_path):
    (tmp_path / "r.dat").write_text("1::20::5\n2::10::3\n")
    (tmp_path / "m.dat").write_text("10::Toy: a story\n20::Heat\n")
    (tmp_path / "u.user").write_text("user_id:token\tage:token\n1\t30\n2\t40\n")
    columns = {
        "user": {"kind": "id", "entity": "user"},
        "movie": {"kind": "id", "entity": "item"},
        "stars": {"kind": "label"},
    }
    source = Files(
        interactions=tmp_path / "r.dat",
        entities={"item": tmp_path / "m.dat"},
        columns=columns,
        entity_columns={"item": {"title": {"kind": "text"}}},
        separator="::",
        names={"interactions": ["user", "movie", "stars"], "item": ["id", "title"]},
    )
    dataset = source.load()
    assert dataset.interactions.to_pylist()[0] == {"user": "1", "movie": "20", "stars": "5"}
    assert dataset.entities["item"]["title"].to_pylist() == ["Toy: a story", "Heat"]
    source = Files(
        interactions=tmp_path / "u.user",
        columns={"age": {"kind": "numeric"}, "who": {"kind": "label"}},
        headers={"interactions": {"age": "age:token", "who": "user_id:token"}},
    )
    assert source.load().interactions.to_pylist()[1] == {"age": "40", "who": "2"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": {"items": ["a"]}}, "'items' is no table"),
        ({"headers": {"interactions": {"prise": "p"}}}, "no column 'prise' is declared"),
    ],
)
def test_names_and_headers_are_of_tables(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Files(interactions=tmp_path / "a.csv", columns={"price": {"kind": "label"}}, **options)
