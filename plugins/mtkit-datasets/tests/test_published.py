"""Sources that read files of a directory: tiny files of the same format, and the published ones where they are."""

import io
import os
import re
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.columns import seconds
from mtkit.errors import DataError
from mtkit.spec import Cut
from mtkit.standard.splits import ByColumn, Random, Time
from mtkit.testing import check_data_source, check_import_is_light, check_spec
from mtkit_datasets import Adult, BankMarketing, KuairandPure, Movielens100k, Movietweetings, S3rec, Stackexchange
from mtkit_datasets.kuairand import _SIGNALS, _USER_CLASSES, _USER_NUMBERS, _VIDEO_CLASSES, _VIDEO_NUMBERS
from mtkit_datasets.movielens import atomic_files

SOURCES = [
    Movielens100k(), Movietweetings(), S3rec(name="Beauty"), S3rec(name="Toys_and_Games"), KuairandPure(),
    Stackexchange(site="quantum"), Stackexchange(site="beer"), Adult(), BankMarketing(),
]  # fmt: skip

USERS = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tM\twriter\t05201\n"
MOVIELENS = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t3\t86400\n7\t2\t4\t90000\n",
    "ml-100k.user": USERS,
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n2\tunkonwn\tunkonwn\tunknown\n",
}
MOVIETWEETINGS = {
    "ratings.dat": "1::0002844::7::86400\n1::0105690::8::90000\n2::0002844::10::172800\n",
    "movies.dat": "0002844::Fantômas - À l'ombre (1) (1913)::Crime|Drama\n0105690::Under Siege::\n",
}
SEQUENCES = {"Beauty.txt": "1 5 6 7\n2 7 5\n"}
STACKEXCHANGE = {
    "events.csv": "user,question,event,time\n7,1,favorite,2018-03-12T00:00:00.000\n7,1,ask,2018-03-12T17:14:46.030\n",
    "questions.csv": 'question,title,tags,body,score,views\n1,"Why, though?",a b,"Two\nlines",9,9\n',
    "users.csv": "user,reputation,created\n7,758,2018-03-12T16:57:30.397\n",
}
ADULT = {
    "adult.data": "age, workclass\n39, ?, 7, Bachelors, 13, Never-married, Sales, Own-child, White, Male, 0, 0, 40, ?, <=50K\n",
    "adult.test": "|1x3 Cross validator\n28, Private, 9, 11th, 7, Divorced, ?, Unmarried, Black, Female, 0, 5, 50, Cuba, >50K.\n",
}

BANK = {
    "bank.csv": (
        '"age";"job";"marital";"education";"default";"balance";"housing";"loan";"contact";"day";"month";"duration";'
        '"campaign";"pdays";"previous";"poutcome";"y"\n'
        '58;"management";"married";"tertiary";"no";-9;"yes";"no";"cellular";5;"may";261;1;-1;0;"unknown";"no"\n'
        '44;"technician";"single";"unknown";"no";29;"no";"yes";"unknown";6;"jun";151;2;10;1;"success";"yes"\n'
    )
}


def write(directory, files):
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def load(source, directory, **options):
    given = source(directory=directory, check_counts=False, **options)
    check_data_source(given)
    return given.load()


@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_specs(source):
    check_spec(source)
    assert source.address in source.__doc__
    assert "License: " in source.__doc__


def test_declarations_are_light():
    check_import_is_light("mtkit_datasets")


def test_movielens(tmp_path):
    data = load(Movielens100k, write(tmp_path, MOVIELENS))
    assert data.interactions.to_pylist() == [
        {"user": 7, "item": 1, "time": 86400, "rating": 3, "liked": False},
        {"user": 7, "item": 2, "time": 90000, "rating": 4, "liked": True},
    ]
    assert data.entities["user"].to_pylist() == [
        {"id": 7, "age": 24, "gender": "M", "occupation": "writer", "zip_code": "05201"}
    ]
    assert data.entities["item"].to_pylist() == [
        {"id": 1, "title": "Toy Story", "genres": "Animation, Children's, Comedy", "year": 1995},
        {"id": 2, "title": "unkonwn", "genres": "unknown", "year": None},
    ]
    assert {"context.rating", "context.liked"}.isdisjoint(data.schema.features())


def test_movietweetings(tmp_path):
    data = load(Movietweetings, write(tmp_path, MOVIETWEETINGS))
    assert data.interactions["liked"].to_pylist() == [False, True, True]
    assert data.interactions["item"].to_pylist() == ["0002844", "0105690", "0002844"]
    assert data.entities["user"].to_pylist() == [{"id": 1}, {"id": 2}]
    assert data.entities["item"].to_pylist() == [
        {"id": "0002844", "title": "Fantômas - À l'ombre (1)", "genres": "Crime, Drama", "year": 1913},
        {"id": "0105690", "title": "Under Siege", "genres": None, "year": None},
    ]
    assert "context.rating" not in data.schema.features()


def test_s3rec_of_which_the_time_split_leaves_one_out(tmp_path):
    data = load(S3rec, write(tmp_path, SEQUENCES), name="Beauty")
    valid, test = make_cuts(data, Time(valid="2000-01-01", test="2000-01-02"))
    rows = list(zip(*data.interactions.to_pydict().values(), strict=True))
    assert [row[:2] for row in rows if row[2] >= test.cut] == [(1, 7), (2, 5)]
    assert [row[:2] for row in rows if valid.cut <= row[2] < test.cut] == [(1, 6), (2, 7)]
    assert [row[:2] for row in rows if row[2] < valid.cut] == [(1, 5)]


def test_s3rec_with_attributes_of_items(tmp_path):
    files = SEQUENCES | {"Beauty_item2attributes.json": '{"5": [3, 1], "7": [3]}'}
    data = load(S3rec, write(tmp_path, files), name="Beauty", attributes=True)
    assert data.entities["item"].to_pylist() == [
        {"id": 5, "attributes": ["3", "1"]},
        {"id": 6, "attributes": []},
        {"id": 7, "attributes": ["3"]},
    ]
    assert "item.attributes" in data.schema.features()
    for broken in ("{", "[5]", '{"5": ["x"]}', '{"5": 1}'):
        write(tmp_path, {"Beauty_item2attributes.json": broken})
        with pytest.raises(DataError, match=r"Beauty_item2attributes\.json: expected lists of numbers by item"):
            S3rec(directory=tmp_path, name="Beauty", attributes=True, check_counts=False).load()


def test_kuairand(tmp_path):
    shown = {name: [0, 1] for name in (*_SIGNALS, "long_view", "play_time_ms", "duration_ms")}
    shown |= {"user_id": [3, 4], "video_id": [8, 9], "time_ms": [1650812741436, 1650812934945], "tab": [1, 4]}
    shown["hourmin"] = [59, 2359]
    users = {"user_id": [3, 4]} | {n: [1, 2] for n in _USER_NUMBERS} | {n: [1.0, None] for n in _USER_CLASSES}
    videos = {"video_id": [8, 9]} | {n: [1, 2] for n in _VIDEO_NUMBERS} | {n: ["a", None] for n in _VIDEO_CLASSES}
    for name, table in {"interactions": shown, "users": users, "videos": videos}.items():
        pa.parquet.write_table(pa.table(table | {"other": [0, 0]}), tmp_path / f"{name}.parquet")
    data = load(KuairandPure, tmp_path)
    assert seconds(data.interactions["time"]).tolist() == [1650812741, 1650812934]
    assert data.interactions["hour"].to_pylist() == [0, 23]
    assert data.entities["user"]["onehot_feat4"].to_pylist() == [1, None]
    features = set(data.schema.features())
    assert {"context.tab", "context.hour", "user.register_days", "item.tag"} <= features
    assert features.isdisjoint({f"context.{name}" for name in (*_SIGNALS.values(), *shown)} - {"context.tab"})
    pa.parquet.write_table(pa.table({"user_id": [1]}), tmp_path / "users.parquet")
    with pytest.raises(DataError, match=r"users\.parquet: no column 'follow_user_num'; it has user_id"):
        KuairandPure(directory=tmp_path).load()


def test_stackexchange(tmp_path):
    data = load(Stackexchange, write(tmp_path, STACKEXCHANGE), site="beer")
    assert np.array_equal(seconds(data.interactions["time"]), [1520899199, 1520874886])
    assert data.interactions["event"].to_pylist() == ["favorite", "ask"]
    assert data.entities["item"].to_pylist() == [
        {"id": 1, "title": "Why, though?", "tags": "a b", "body": "Two\nlines"}
    ]
    assert data.entities["user"].to_pylist() == [{"id": 7}]


def test_adult(tmp_path):
    data = load(Adult, write(tmp_path, ADULT))
    first, second = data.interactions.to_pylist()
    assert (first["workclass"], first["native_country"], first["income"], first["never_married"]) == (None,) * 2 + (
        False,
        True,
    )
    assert (first["part"], second["part"]) == ("train", "test")
    assert (second["age"], second["occupation"], second["income"], second["never_married"]) == (28, None, True, False)
    features = set(data.schema.features())
    assert {"context.age", "context.education", "context.sex"} <= features
    hidden = ("wage_class", "marital_status", "relationship", "income", "never_married")
    assert features.isdisjoint({f"context.{name}" for name in hidden})
    (tmp_path / "adult.data").write_text(ADULT["adult.data"].partition("\n")[2], encoding="utf-8")
    assert load(Adult, tmp_path).interactions == data.interactions


def test_bank_marketing(tmp_path):
    data = load(BankMarketing, write(tmp_path, BANK))
    products = data.interactions.select(["deposit", "housing", "loan"]).to_pylist()
    assert [tuple(row.values()) for row in products] == [(False, True, False), (True, False, True)]
    assert data.interactions["balance"].to_pylist() == [-9, 29]
    assert "context.job" in data.schema.features()
    assert "context.duration" not in data.schema.features()
    # As others hand it on: commas, and the deposit by its name.
    (tmp_path / "bank.csv").write_text(BANK["bank.csv"].replace(";", ",").replace('"y"', "deposit"), encoding="utf-8")
    assert load(BankMarketing, tmp_path).interactions == data.interactions
    (tmp_path / "bank.csv").write_text(BANK["bank.csv"].replace('"no"\n', '"nope"\n'), encoding="utf-8")
    with pytest.raises(DataError, match=r"'deposit' holds 'yes' and 'no', got 'nope'"):
        BankMarketing(directory=tmp_path, check_counts=False).load()


@pytest.mark.parametrize(
    ("source", "files", "broken", "message"),
    [
        (Movielens100k(), MOVIELENS, {"ml-100k.inter": "user_id:token\n1\n"}, r"no column 'item_id'; it has user_id"),
        (Movielens100k(), MOVIELENS, {"ml-100k.user": f"{USERS}8\t9\n"}, r"user:3: expected 5 fields .*, got 2"),
        (Movielens100k(), MOVIELENS, {"ml-100k.user": USERS.replace("24", "x")}, r"user: expected numbers of .*'x'"),
        (Movielens100k(), MOVIELENS, {"ml-100k.user": USERS.splitlines()[0]}, r"user: expected lines of 5 .*got none"),
        (S3rec(name="Beauty"), SEQUENCES, {"Beauty.txt": ""}, r"Beauty\.txt: expected lines .*, got none"),
        (Movietweetings(), MOVIETWEETINGS, {"ratings.dat": "1::2::3\n"}, r"ratings\.dat:1: expected 4 .*, got 3"),
        (S3rec(name="Beauty"), SEQUENCES, {"Beauty.txt": "1 5\n2\n"}, r"Beauty\.txt:2: expected the number .*got '2'"),
        (Stackexchange(site="beer"), STACKEXCHANGE, {"users.csv": "user\n1,2\n"}, r"users\.csv: .*Expected 1 columns"),
        (
            Stackexchange(site="beer"),
            STACKEXCHANGE,
            {"users.csv": "id\n1\n"},
            r"users\.csv: no column 'user'; it has id",
        ),
    ],
)
def test_files_that_do_not_fit(source, files, broken, message, tmp_path):
    write(tmp_path, files | broken)
    with pytest.raises(DataError, match=message):
        source.model_copy(update={"directory": tmp_path}).load()


def test_files_with_other_counts_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected 100,000 ratings, 943 users.*got 2 ratings, 1 users.*check_counts"):
        Movielens100k(directory=write(tmp_path, MOVIELENS)).load()


def test_where_files_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("MTKIT_DATA", raising=False)
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        DataError, match=r"cache.data.ml-100k.ml-100k\.inter: no such file; mtkit data get movielens_100k"
    ):
        Movielens100k().load()
    monkeypatch.setenv("MTKIT_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=r"grouplens.* by hand.*MTKIT_DATA; or make up data of this kind: mtkit data make media"
    ):
        Movielens100k().load()
    (tmp_path / "ml-100k").mkdir()
    write(tmp_path / "ml-100k", MOVIELENS)
    assert len(Movielens100k(check_counts=False).load().interactions) == 2


@pytest.mark.skipif("MTKIT_DATA" not in os.environ, reason="MTKIT_DATA is not set")
@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_published_files(source):
    data = source.load()
    if data.schema.time is None:
        fold = make_fold(data, make_cuts(data, Random())[1], {})
        assert len(fold.events) == len(data.interactions)
        if "part" in data.schema.interactions:
            published = make_fold(data, make_cuts(data, ByColumn(column="part"))[1], {})
            assert np.count_nonzero(published.events.time >= published.cut) == 16_281
        return
    time = np.sort(seconds(data.interactions["time"]))
    fold = make_fold(data, Cut("test", int(time[len(time) * 9 // 10]), int(time[-1]) + 1), {})
    assert sum(fold.dropped.values()) < 0.2 * len(time)
    assert np.isin(time, fold.events.time).mean() > 0.8


def test_files_of_grouplens_become_atomic_files(tmp_path):
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n")
    (tmp_path / "u.user").write_text("196|49|M|writer|55105\n")
    flags = "|".join("1" if place in (3, 5) else "0" for place in range(19))
    movies = f"242|Kolya (1996)|24-Jan-1997||http://x|{flags}\n243|Caf\xe9 noir|||http://y|1{'|0' * 18}\n"
    (tmp_path / "u.item").write_bytes(movies.encode("latin-1"))
    atomic_files(tmp_path)
    data = Movielens100k(directory=tmp_path, check_counts=False).load()
    assert data.interactions.select(["user", "item", "rating"]).to_pylist() == [
        {"user": 196, "item": 242, "rating": 3.0}
    ]
    assert data.entities["user"].to_pylist()[0]["occupation"] == "writer"
    assert data.entities["item"].to_pylist() == [
        {"id": 242, "title": "Kolya", "genres": "Animation, Comedy", "year": 1996.0},
        {"id": 243, "title": "Café noir", "genres": "unknown", "year": None},
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["get", "adult"], "accept the license, CC BY 4.0, with --accept"),
        (["get", "stackexchange", "--accept"], "by hand, into .*or make up data of this kind: mtkit data make social"),
        (["get", "bank_marketin"], "did you mean 'bank_marketing'"),
        (["info", "movielens_100k"], "4,924,029 bytes; md5:0e33"),
        (["list"], "bank_marketing +mtkit data get +CC BY 4.0"),
    ],
)
def test_the_command_says(options, says, tmp_path, monkeypatch):
    monkeypatch.setenv("MTKIT_DATA", str(tmp_path))
    assert re.search(says, CliRunner().invoke(main, ["data", *options]).output)
    assert not list(tmp_path.iterdir())


def test_the_command_takes_files_that_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("MTKIT_DATA", str(tmp_path / "data"))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("bank-full.csv", "age;y\n1;no\n")
    with zipfile.ZipFile(tmp_path / "bank+marketing.zip", "w") as archive:
        archive.writestr("bank.zip", inner.getvalue())
    options = ["data", "get", "bank_marketing", "--accept", "--file", str(tmp_path / "bank+marketing.zip")]
    done = CliRunner().invoke(main, options, catch_exceptions=False)
    assert done.exit_code == 0
    assert BankMarketing().file("bank.csv").read_text() == "age;y\n1;no\n"
