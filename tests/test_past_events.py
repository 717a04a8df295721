"""What is known of past events, through a recipe, its model and an export."""

import numpy as np
import pytest
from asking import ask, ids_of, recommend

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.data.catalogs import make_cuts
from mtkit.data.conditions import holding
from mtkit.errors import RecipeError
from mtkit.feed.interface import Past
from mtkit.model.assembly import assemble
from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.schema import Address
from mtkit.serving.export import save
from mtkit.types import DAY, Dataset

WEB = {"channel": "web", "hour": {"at_least": 10}}
#: Two pasts side by side: of all events with what is known of them, and of those of the web alone.
SETS = (
    'encoder.past.reads=["history.item", "history.channel", "history.price", "history.gift", "history.hour"]',
    "encoder.past.recency=true",
    "encoder.past.length=30",
    'preprocess.hours={use="buckets", columns=["history.hour"], count=4}',
    'encoder.web={use="history", reads=["history.item", "history.discounted"], length=5, dim=8}',
    'encoder.web.where={channel = "web", hour = {at_least = 10}}',
    'task.next.query=["past", "web"]',
)

RECIPE = """\
recipe = 1
name = "r"
[data]
use = "files"
interactions = "data.csv"
[data.columns]
user = {{kind = "id", entity = "user"}}
item = {{kind = "id", entity = "item"}}
time = {{kind = "time"}}
{columns}
[data.split]
use = "time"
valid = 2024-07-01
test = 2024-08-01
[rows.weeks]
use = "windows"
length = "7d"
batch_size = 8
[encoder.past]
use = "history"
reads = ["history.item"]
[encoder.item]
use = "features"
reads = ["item.id"]
[task.next]
use = "gated_retrieval"
rows = "weeks"
query = ["past"]
candidate = ["item"]
"""


@pytest.fixture
def assembled(tiny_recipe, tmp_path):
    """`assembled(change, *sets)` assembles the recipe on the data as `change` leaves their interactions."""

    def make(change=lambda table: table, *sets):
        recipe = load_recipe(tiny_recipe, [*SETS, *sets])
        dataset = recipe.data.source.load()
        dataset = Dataset(change(dataset.interactions), dataset.entities, dataset.schema)
        return assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], cache_dir=tmp_path)

    return make


@pytest.fixture(scope="module")
def _kept():
    return {}


@pytest.fixture
def trained(train_tiny, _kept):
    """Trained once; shared by the tests of this file, which leave it as it is."""
    if "pipeline" not in _kept:
        _kept["pipeline"] = train_tiny(*SETS, "rows.lines.sample=600")
    return _kept["pipeline"]


@pytest.fixture
def exported(trained, tmp_path, _kept):
    if "export" not in _kept:
        _kept["export"] = tf.saved_model.load(str(save(trained, tmp_path))).signatures
    return _kept["export"]


def features_of(pipeline, table, encoder, rows):
    """What an encoder reads of rows."""
    spec, feed = pipeline.plan.encoders[encoder], pipeline.model.feed
    found = {}
    for address in spec.reads:
        past = Past(spec.history_length, spec.history_where)
        found |= feed.feature(Address(address), feed.batch(table, tf.constant(rows, tf.int64)), past)
    return {address: values.numpy() for address, values in found.items()}


def test_rows_see_what_is_known_of_what_lies_before_their_basket(assembled):
    pipeline = assembled()
    fold, table = pipeline.fold, pipeline.tables["lines"]["eval"]
    events, columns = fold.events, fold.events.columns
    web = holding(Where.model_validate(WEB), columns, fold.schema.interactions)
    price, discounted = (columns[name].to_numpy(zero_copy_only=False).astype(float) for name in ("price", "discounted"))
    before = events.time < fold.fit
    started = np.full(events.group.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(started, events.group, events.time)
    rows = range(0, len(table), 17)
    past, meant = (features_of(pipeline, "lines/eval", name, rows) for name in ("past", "web"))
    channels = {"store": 1, "web": 2}
    for number, row in enumerate(rows):
        user, item, time = table.ids["user"][row], table.ids["item"][row], table.time[row]
        mine = events.ids["user"] == user
        (own, *_) = np.flatnonzero(mine & (events.ids["item"] == item) & (events.time == time))
        known = np.flatnonzero(mine & (events.time < started[events.group[own]]))
        assert events.group[own] not in events.group[known]
        last, chosen = known[-30:], known[web[known]][-5:]
        expected = (price[last] - price[before].mean()) / price[before].std()
        np.testing.assert_allclose(past["history.price"][number, 30 - len(last) :, 0], expected, atol=1e-4)
        names = [channels[name] for name in columns["channel"].take(last).to_pylist()]
        assert past["history.channel"][number].tolist() == [0] * (30 - len(last)) + names
        assert meant["history.item"][number].tolist() == [0] * (5 - len(chosen)) + events.ids["item"][chosen].tolist()
        np.testing.assert_allclose(meant["history.age"][number, 5 - len(chosen) :], (time - events.time[chosen]) / DAY)
        told = (discounted[chosen] - discounted[before].mean()) / discounted[before].std()
        np.testing.assert_allclose(meant["history.discounted"][number, 5 - len(chosen) :, 0], told, atol=1e-4)


def test_what_happens_at_a_row_or_later_changes_nothing_that_it_reads(assembled):
    cut = assembled().fold.cut

    def changed(table):
        later = table["time"].to_numpy() >= cut
        for name in ("price", "discounted", "gift", "hour"):
            values = table[name].to_numpy(zero_copy_only=False).astype(float)
            table = table.set_column(table.column_names.index(name), name, [np.where(later, 9 - values, values)])
        channel = np.where(later, "store", np.array(table["channel"].to_pylist()))
        return table.set_column(table.column_names.index("channel"), "channel", [channel])

    one, other = assembled(), assembled(changed)
    for encoder in ("past", "web"):
        for table, part in (("lines", "train"), ("windows", "eval")):  # windows begin at the cut
            name = table if part == "train" else f"{table}/eval"
            rows = range(len(one.tables[table][part]))
            found, expected = (features_of(pipeline, name, encoder, rows) for pipeline in (other, one))
            for address, values in expected.items():
                np.testing.assert_array_equal(found[address], values)
    for address in ("history.price", "history.channel", "history.hour"):
        assert one.features.states[address] == other.features.states[address]


def test_columns_that_nobody_reads_stay_where_they_are(assembled):
    held = {variable.name for variable in assembled().model.feed.events.variables}
    columns = {f"events.{name}:0" for name in ("channel", "price", "gift", "hour", "discounted")}
    assert held == {"events.ids:0", "events.time:0", "events.chosen0.before:0", "events.chosen0.positions:0", *columns}


def test_it_trains_what_events_count(trained):
    past, web = (trained.model.encoders[name] for name in ("past", "web"))
    assert set(past.sizes) == {"history.channel", "history.hour"}
    assert set(past.widths) == {"history.price", "history.gift"}
    assert not web.sizes
    assert not web.recency
    for layer in (past, web):
        for weight in layer.weights:
            assert np.abs(weight.numpy()).max() > 0, weight.name


def past_of(pipeline, rows, names=("channel", "price", "gift", "hour", "discounted"), longer=0):
    """What users in the data bring along who say that they are new."""
    events, items = pipeline.fold.events, np.array(ids_of(pipeline, "item"), object)
    mine = [np.arange(*events.offsets[row : row + 2]) for row in rows]
    length = max(map(len, mine)) + longer
    values = {"item_ids": items[events.ids["item"]], "age": (pipeline.fold.end - events.time) / DAY}
    values |= {name: events.columns[name].to_numpy(zero_copy_only=False) for name in names}
    found = {}
    for name, of_all in values.items():
        text = of_all.dtype == object and isinstance(of_all[0], str)
        found[f"history_{name}"] = np.full((len(rows), length), "" if text else 0.0, object if text else float)
        for row, at in enumerate(mine):
            found[f"history_{name}"][row, length - len(at) :] = of_all[at]
    return found


@pytest.mark.parametrize("longer", [0, 4])
def test_who_brings_the_past_of_a_known_user_gets_the_same(trained, exported, longer):
    rows, items = [3, 7, 20, 41], ids_of(trained, "item")
    users = [ids_of(trained, "user")[row] for row in rows]
    known = recommend(exported, users, k=len(items))
    given = past_of(trained, rows, longer=longer)
    new = recommend(exported, None, k=len(items), signature="recommend_new_user", **given)
    for row in range(len(rows)):
        expected = dict(zip(known["item_ids"][row], known["scores"][row], strict=True))
        found = dict(zip(new["item_ids"][row], new["scores"][row], strict=True))
        assert expected.keys() == found.keys()
        np.testing.assert_allclose([found[item] for item in expected], list(expected.values()), atol=1e-4)
    query = ask(exported, "embed_new_user", **given)["embedding"]
    np.testing.assert_allclose(query, ask(exported, "embed_user", user_id=users)["embedding"], atol=1e-4)
    for name, other in (("channel", "store"), ("price", 5.0), ("gift", 0.0), ("hour", 9.0), ("discounted", 1.0)):
        changed = given | {f"history_{name}": np.full_like(given[f"history_{name}"], other)}
        assert np.abs(ask(exported, "embed_new_user", **changed)["embedding"] - query).max() > 1e-5, name


def test_signatures_ask_for_what_their_tasks_read(exported):
    asked = {name: signature.structured_input_signature[1] for name, signature in exported.items()}
    everything = {f"history_{name}" for name in ("item_ids", "age", "channel", "price", "gift", "hour", "discounted")}
    for name in ("recommend_new_user", "embed_new_user"):
        assert {key for key in asked[name] if key.startswith("history")} == everything
    of_rank = {key for key in asked["rank_new_user"] if key.startswith("history")}
    assert of_rank == everything - {"history_discounted"}  # which the encoder `web` alone reads
    assert not any(key.startswith("history") for key in asked["recommend"])
    types = {key: spec.dtype for key, spec in asked["recommend_new_user"].items()}
    assert types["history_channel"] == tf.string
    assert all(types[f"history_{name}"] == tf.float32 for name in ("price", "gift", "hour", "discounted"))


def test_a_column_of_another_shape_is_refused(trained, exported):
    given = past_of(trained, [3, 7])
    for name in ("history_channel", "history_price", "history_discounted"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"history_item_ids and {name} need the same shape"):
            ask(exported, "embed_new_user", **given | {name: given[name][:, 1:]})


def test_a_past_without_events_or_with_values_never_seen_is_answered(trained, exported):
    empty = {name: values[:, :0] for name, values in past_of(trained, [3]).items()}
    nobody = ask(exported, "embed_new_user", **empty)["embedding"]
    np.testing.assert_allclose(nobody, ask(exported, "embed_user", user_id=["nobody"])["embedding"], atol=1e-5)
    given = past_of(trained, [3])
    for value in (np.nan, np.inf, -np.inf, 1e38):
        strange = {name: np.full_like(given[name], value) for name in ("history_price", "history_gift", "history_age")}
        strange["history_channel"] = np.full_like(given["history_channel"], "carrier pigeon")
        answer = recommend(exported, None, k=99, signature="recommend_new_user", **given | strange)
        assert np.isfinite(answer["scores"]).all()


@pytest.mark.slow
def test_requests_count_the_events_that_rows_count(train_tiny, tmp_path):
    trained = train_tiny(*SETS, "train.epochs=1", "rows.lines.sample=300", 'rows.windows.past={channel = "web"}')
    signatures = tf.saved_model.load(str(save(trained, tmp_path))).signatures
    rows, items = [3, 7, 20], ids_of(trained, "item")
    known = recommend(signatures, [ids_of(trained, "user")[row] for row in rows], k=len(items))
    new = recommend(signatures, None, k=len(items), signature="recommend_new_user", **past_of(trained, rows))
    for row in range(len(rows)):
        expected, found = (
            dict(
                zip(answer["item_ids"][row], zip(answer["scores"][row], answer["seen"][row], strict=True), strict=True)
            )
            for answer in (known, new)
        )
        for item, (score, seen) in expected.items():
            assert found[item][0] == pytest.approx(score, abs=1e-4)
            assert found[item][1] == seen


def test_what_a_past_is_of_is_described_and_kept(tiny_recipe, tmp_path):
    recipe = load_recipe(tiny_recipe, SETS)
    text = " ".join(describe(recipe).split())
    assert "web <- history(history.item, history.discounted) of events where channel = web and hour >= 10" in text
    assert (
        "past <- history(history.item, history.channel, history.price, history.gift, history.hour, catalog of look)"
        in text
    )
    (tmp_path / "again.toml").write_text(lock(recipe, tmp_path), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml").encoder == recipe.encoder


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ('encoder.past.reads=["history.price", "history.item"]', "reads[0]: history.price is read of the events of"),
        ('encoder.past.reads=["history.price"]', "reads[0]: history.price is read of the events of 'history.item'"),
        ('encoder.past.reads=["history.item", "user.age"]', "reads 'user.age', expected a past"),
        ('encoder.past.reads=["history.item", "history.gift", "history.gift"]', "expected each once"),
        ('encoder.past.reads=["history.item", "history.prize"]', "'history.prize'; did you mean 'history.price'?"),
        ('encoder.past.reads=["history.item", "history.basket"]', "history.basket is declared as id, which no"),
        ('encoder.past.where={chanel = "web"}', "'chanel' is no column of the interactions"),
        ('encoder.customer.reads=["history.price"]', "which the encoder history reads"),
    ],
)  # fmt: skip
def test_what_no_past_can_be(tiny_recipe, sets, message):
    with pytest.raises(RecipeError) as raised:
        load_recipe(tiny_recipe, [sets])
    assert message in str(raised.value)


def test_the_past_that_rows_count_is_known_when_it_happens(tmp_path):
    columns = {"age": "numeric", "item_ids": "categorical"}
    text = "\n".join(f'{name} = {{kind = "{kind}"}}' for name, kind in columns.items())
    text += '\nback = {kind = "label", horizon = "5d"}'
    (tmp_path / "r.toml").write_text(RECIPE.format(columns=text), encoding="utf-8")
    for condition, message in (
        ("back = 1", "rows.weeks: the past that it counts: 'back' looks ahead: it is not known when the event happens"),
        ("age = {above = 3}", "rows.weeks: the past that it counts: every past has 'age' as something else"),
        ('item_ids = "a"', "rows.weeks: the past that it counts: every past has 'item_ids' as something else"),
    ):
        with pytest.raises(RecipeError) as raised:
            load_recipe(tmp_path / "r.toml", [f"rows.weeks.past={{{condition}}}"])
        assert message in str(raised.value)
    with pytest.raises(RecipeError, match=r"encoder\.past\.where: 'back' looks ahead"):
        load_recipe(tmp_path / "r.toml", ["encoder.past.where={back = 1}"])
    with pytest.raises(RecipeError, match=r"encoder\.past\.reads\[1\]: 'back' looks ahead"):
        load_recipe(tmp_path / "r.toml", ['encoder.past.reads=["history.item", "history.back"]'])
