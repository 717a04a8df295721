"""What preprocessors make of columns, from a recipe through its model to an export."""

import numpy as np
import pytest
from asking import ask, ids_of
from passes import answers

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.leakage import find_leaks
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import labeled_rows
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save

SETS = (
    'preprocess.age={use="robust", columns=["user.age"], fill=30, clip=[0.05, 0.95]}',
    'preprocess.hour={use="log", columns=["context.hour"], indicator=false}',
    'preprocess.weight={use="quantile", columns=["item.weight"], output="normal", count=12}',
    'preprocess.family={use="hashing", columns=["item.family", "context.channel"], size=7}',
    'preprocess.color={use="vocabulary", columns=["item.color"], max_size=1, rare="own"}',
    'preprocess.shape={use="pca", columns=["item.weight", "item.color", "item.family"], components=4}',
    'preprocess.when={use="truncated_svd", columns=["context.hour", "context.channel"], components=2}',
    'encoder.look.reads=["item.color", "item.weight", "item.family", "item.shape"]',
    'encoder.visit.reads=["context.hour", "context.channel", "context.when"]',
    'preprocess.words={use="clean_text", columns=["item.text"], lower=true}',
    'encoder.letters={use="letters", reads=["item.text"], dim=8}',
    'task.discounted.inputs=["customer", "look", "letters"]',
    'task.gift.inputs=["visit", "look", "task.department"]',
)

#: What reads none of it.
UNSETS = ("task.next", "correlation", "encoder.past", "encoder.product", "rows.windows", "evaluate.main")


@pytest.fixture(scope="module")
def _kept():
    return {}


@pytest.fixture(autouse=True)
def _letters(tmp_path, monkeypatch):
    """Installs the encoder `letters`."""
    information = tmp_path / "letters-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: letters\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[mtkit.encoder]\nletters = letters:Letters\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def trained(train_tiny, _kept):
    """Trained once; shared by the tests of this file, which leave it as it is."""
    if "pipeline" not in _kept:
        _kept["pipeline"] = train_tiny(*SETS, "train.epochs=1", unsets=UNSETS)
    return _kept["pipeline"]


@pytest.fixture
def exported(trained, tmp_path, _kept):
    if "export" not in _kept:
        _kept["export"] = tf.saved_model.load(str(save(trained, tmp_path))).signatures
    return _kept["export"]


def raw_of(trained, entity, name, missing):
    """The values of an entity's column for the evaluated lines, as a request has them."""
    column = trained.fold.entities[entity].columns[name].to_pylist()
    rows = trained.tables["lines"]["eval"].ids[entity]
    return np.array([missing if column[row] is None else column[row] for row in rows])


def test_what_comes_with_a_request_is_preprocessed_as_in_training(trained, exported):
    lines = trained.tables["lines"]["eval"]
    expected = answers(trained.model, ["discounted", "gift"], trained.model.feed.rows["lines/eval"])
    ids = {f"{entity}_id": np.array(ids_of(trained, entity), object)[rows] for entity, rows in lines.ids.items()}
    context = {"context_channel": lines.context["channel"], "context_hour": lines.context["hour"]}
    known = ask(exported, "rank", **ids, **context)
    for task in expected:
        np.testing.assert_allclose(known[task], expected[task], atol=1e-5)
    columns = {
        **{f"item_{name}": raw_of(trained, "item", name, "") for name in ("color", "family")},
        "item_weight": raw_of(trained, "item", "weight", np.nan).astype(np.float32),
    }
    texts = raw_of(trained, "item", "text", "")
    columns["item_text"] = np.array([f"<p>{text.upper()}<!-- bad --></p>&nbsp;" for text in texts], object)
    new = ask(exported, "rank_new_item", user_id=ids["user_id"], **columns, **context)
    for task in expected:
        np.testing.assert_allclose(new[task], expected[task], atol=1e-5)


def test_numbers_lie_on_the_device_as_they_were_learned(trained):
    ages = np.array(
        [np.nan if age is None else age for age in trained.fold.entities["user"].columns["age"].to_pylist()]
    )
    low, high = np.quantile(ages[np.isfinite(ages)], [0.05, 0.95])
    inside = np.clip(ages, low, high)
    quartiles = np.nanquantile(inside, [0.25, 0.5, 0.75])
    expected = (np.where(np.isnan(ages), 30, inside) - quartiles[1]) / (quartiles[2] - quartiles[0])
    held = trained.model.feed.entities["user"].columns["age"].numpy()
    np.testing.assert_allclose(held, np.stack([expected, np.isnan(ages)], 1), atol=1e-5)
    assert trained.model.feed.rows["lines"].context["hour"].shape[1] == 1


def test_hashes_arrive_as_lists_and_rare_values_as_one(trained):
    item = trained.model.feed.entities["item"].columns
    assert item["family"].shape == (len(trained.fold.entities["item"]), 2)
    assert trained.model.feed.rows["lines"].context["channel"].shape[1] == 2
    assert set(item["color"].numpy()[1:]) == {1, 2}


def test_groups_of_columns_are_one_feature(trained):
    catalog = trained.fold.entities["item"]
    shape = trained.model.feed.entities["item"].columns["shape"].numpy()
    assert shape.shape == (len(catalog), 4)
    np.testing.assert_allclose(shape[1 : catalog.known].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(shape[1 : catalog.known].std(0, ddof=1), 1, atol=1e-5)
    assert trained.model.feed.rows["lines"].context["when"].shape[1] == 2
    assert "when" not in trained.tables["lines"]["train"].context


def test_baselines_see_the_columns_of_a_group(trained):
    features = trained.plan.features("discounted")
    assert "item.shape" in features
    rows = labeled_rows(trained.fold, trained.tables["lines"]["eval"], "discounted", ["context.when", "item.shape"])
    found = {"context.hour", "context.channel", "item.weight", "item.color", "item.family"}
    assert rows.columns.keys() - found == {"item.text"}


def test_rows_that_lack_a_column_of_a_group_are_named(tiny_recipe):
    with pytest.raises(RecipeError, match=r"'visit' depends on context\.channel, context\.hour, .*row table 'items'"):
        load_recipe(tiny_recipe, [*SETS, 'task.department.inputs=["look", "visit"]'])


def test_a_group_that_knows_the_part_is_found(tiny_recipe):
    split = 'data.split={use="column", column="channel", train="store", valid=0.1, test="web"}'
    recipe = load_recipe(tiny_recipe, [*SETS, split, 'encoder.visit.reads=["context.hour", "context.when"]'])
    dataset = recipe.data.source.load()
    found = find_leaks(recipe, dataset, *make_cuts(dataset, recipe.data.split))
    assert [leak.where for leak in found if leak.level == "error"] == ["context.channel"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("age.fill='avg'", r"age\.fill: 'avg' is no statistic; expected a number, or one of them: "),
        ("age.clip=[0.9, 0.1]", r"age\.clip: expected the lower number first"),
        ("age.clip=[0.1]", r"age\.clip"),
        ("age.columns=['user.town']", r"age\.columns\[0\]: user\.town is declared as categorical"),
        ("weight.output='gauss'", r"weight\.output: expected 'uniform' or 'normal'"),
        ("weight.count=1", r"weight\.count: expected a whole number from 2 to 10000"),
        ("shape.columns=['item.weight', 'user.age']", r"shape: columns are of item and user; expected those of one"),
        (
            "shape.columns=['item.text']",
            r"shape\.columns\[0\]: item\.text is declared as text; .* numeric or categorical",
        ),
        ("shape.columns=['item.colour']", r"shape\.columns\[0\]: no feature is called 'item\.colour'"),
        ("shape.columns=['item.shape']", r"shape\.columns\[0\]: item\.shape is made by preprocess\.shape"),
        ("shape.columns=['history.item']", r"shape: columns are of 'history'"),
        ("shape.columns=['item.color', 'item.color']", r"shape: .*each once"),
        ("shape.columns=[]", r"shape\.columns: .*at least 1"),
        ("shape.components=0", r"shape\.components: "),
        ("age.columns=['user.age', 'item.shape']", r"age\.columns\[1\]: item\.shape is made by preprocess\.shape"),
        ("text={use='pca', columns=['item.weight']}", r"text: what it makes would be called item\.text, as a column"),
        ("words.columns=['item.color']", r"words\.columns\[0\]: item\.color is declared as categorical; .* kind text"),
        ("family.hashes=9", r"family\.hashes: expected a whole number from 1 to 8"),
        ("color.rare='other'", r"color\.rare: expected 'unknown' or 'own'"),
        ("hour.negative='abs'", r"hour\.negative: expected 'sign' or 'shift'"),
    ],
)
def test_what_does_not_fit_is_named_once(tiny_recipe, change, message):
    with pytest.raises(RecipeError, match=r"preprocess\." + message) as caught:
        load_recipe(tiny_recipe, [*SETS, f"preprocess.{change}"])
    assert len(caught.value.problems) == 1, caught.value
