"""Statistics of earlier events, from a recipe through its model and baselines to an export."""

import json

import numpy as np
import pytest
from asking import ask, ids_of, recommend
from passes import answers

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.leakage import find_leaks
from mtkit.data.row_tables import make_tables
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import labeled_rows
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save

SETS = (
    'preprocess.seen={use="target_statistics", columns=["user.id", "item.color", "context.channel"]}',
    'preprocess.seen={together=[["user.id", "item.color"]], labels=["discounted", "gift", "price"], smoothing=5}',
    'preprocess.mine={use="target_statistics", columns=["user.id"], labels=["gift"], half_life="30d"}',
    'encoder.before={use="features", reads=["known.seen", "item.family"], hidden=[8], dim=8}',
    'encoder.own={use="features", reads=["known.mine"], dim=8}',
    'task.discounted.inputs=["before"]',
    'task.gift.inputs=["visit", "own", "before", "task.department"]',
    'task.next.query=["past", "own"]',
)


@pytest.fixture(scope="module")
def _kept():
    return {}


@pytest.fixture
def trained(train_tiny, _kept):
    """Trained once; shared by the tests of this file, which leave it as it is."""
    if "pipeline" not in _kept:
        _kept["pipeline"] = train_tiny(*SETS)
    return _kept["pipeline"]


@pytest.fixture
def exported(trained, tmp_path, _kept):
    if "export" not in _kept:
        _kept["export"] = tf.saved_model.load(str(save(trained, tmp_path))).signatures
    return _kept["export"]


def test_rows_have_what_their_tasks_read_and_others_have_nothing(trained):
    spec, fold = trained.recipe.preprocess["seen"], trained.fold
    assert {name: sorted(parts["train"].statistics) for name, parts in trained.tables.items()} == {
        "windows": ["mine"], "lines": ["mine", "seen"], "items": [],
    }  # fmt: skip
    lines = trained.tables["lines"]["train"]
    np.testing.assert_array_equal(lines.statistics["seen"], spec.of_rows(fold, lines))
    held = trained.model.feed.rows["lines"].dense["known.seen"].numpy()
    np.testing.assert_allclose(held.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(held.std(0), 1, atol=1e-3)
    json.dumps(trained.features.states["known.seen"])


def test_baselines_see_each_number(trained):
    plan, lines = trained.plan, trained.tables["lines"]["eval"]
    rows = labeled_rows(trained.fold, lines, "discounted", plan.features("discounted"))
    numbers = [address for address in rows.columns if address.startswith("known.seen/")]
    assert len(numbers) == trained.recipe.preprocess["seen"].width == 16
    np.testing.assert_array_equal(np.stack([rows.columns[a] for a in numbers], 1), lines.statistics["seen"])
    assert {rows.kinds[address] for address in numbers} == {"numeric"}


def test_the_export_ranks_by_what_was_known_at_the_cut(trained, exported):
    lines, fold = trained.tables["lines"]["eval"], trained.fold
    expected = answers(trained.model, ["discounted", "gift"], trained.model.feed.rows["lines/eval"])
    given = {f"{entity}_id": np.array(ids_of(trained, entity), object)[ids] for entity, ids in lines.ids.items()}
    given |= {"context_channel": lines.context["channel"], "context_hour": lines.context["hour"]}
    answer = ask(exported, "rank", **given)
    for task in expected:
        np.testing.assert_allclose(answer[task], expected[task], atol=1e-5)
    assert fold.cut <= lines.time.min()
    # What is said of a user and an item follows from their statistics.
    other = ask(exported, "rank", **given | {"user_id": np.full(len(lines), "nobody")})
    assert np.abs(other["discounted"] - answer["discounted"]).max() > 1e-4


def test_what_is_new_is_looked_up_by_its_columns(trained, exported):
    lines, fold = trained.tables["lines"]["eval"], trained.fold
    users = np.array(ids_of(trained, "user"), object)[lines.ids["user"]]
    colors, families = (
        np.array([value.as_py() or "" for value in fold.entities["item"].columns[name]], object)[lines.ids["item"]]
        for name in ("color", "family")
    )
    context = {"context_channel": lines.context["channel"], "context_hour": lines.context["hour"]}
    known = ask(exported, "rank", user_id=users, item_id=np.array(ids_of(trained, "item"), object)[lines.ids["item"]],
                **context)  # fmt: skip
    new = ask(exported, "rank_new_item", user_id=users, item_color=colors, item_family=families, **context,
              item_weight=np.full(len(users), np.nan))  # fmt: skip
    np.testing.assert_allclose(new["discounted"], known["discounted"], atol=1e-5)
    nothing = ask(exported, "rank_new_item", user_id=users, item_color=np.full(len(users), "beige"), **context,
                  item_family=families, item_weight=np.full(len(users), np.nan))  # fmt: skip
    assert np.abs(nothing["discounted"] - known["discounted"]).max() > 1e-4


def test_retrieval_reads_statistics_of_the_user(trained, exported):
    users = ids_of(trained, "user")[1:]
    assert np.isfinite(recommend(exported, users, k=5)["scores"]).all()
    query = ask(exported, "embed_user", user_id=users)["embedding"]
    assert len(np.unique(query.round(5), axis=0)) > len(users) // 2


def test_leaks_are_looked_for_as_before(tiny_recipe):
    recipe = load_recipe(tiny_recipe, SETS)
    dataset = recipe.data.source.load()
    cuts = make_cuts(dataset, recipe.data.split)
    assert find_leaks(recipe, dataset, *cuts) == find_leaks(load_recipe(tiny_recipe), dataset, *cuts)


def test_statistics_by_the_column_that_divides_are_found(tiny_recipe):
    recipe = load_recipe(
        tiny_recipe, [*SETS, 'data.split={use="column", column="channel", train="store", valid=0.1, test="web"}',
                      'encoder.visit.reads=["context.hour"]']
    )  # fmt: skip
    dataset = recipe.data.source.load()
    (found,) = [
        leak for leak in find_leaks(recipe, dataset, *make_cuts(dataset, recipe.data.split)) if leak.level == "error"
    ]
    assert str(found).startswith("error: context.channel: says which part an interaction is in")


def test_rows_that_lack_a_key_are_named(tiny_recipe):
    recipe = load_recipe(tiny_recipe, [*SETS, 'task.department.inputs=["look", "own"]'])
    dataset = recipe.data.source.load()
    with pytest.raises(RecipeError, match=r"'own' depends on known\.mine, which row table 'items' does not have"):
        make_tables(recipe, dataset, make_cuts(dataset, recipe.data.split)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("columns=['user.idd']", r"columns: no feature is called 'user\.idd'; did you mean 'user\.id'"),
        ("columns=['user.age']", r"columns: user\.age is declared as numeric; this preprocessor is for .* id or categorical"),
        ("columns=['item.text']", r"columns: item\.text is declared as text; .* id or categorical"),
        ("columns=['context.price']", r"columns: context\.price is a source of label 'discounted'"),
        ("columns=['history.item']", r"columns: history\.item is no single value that events have"),
        ("columns=['known.mine']", r"columns: known\.mine is declared as numeric"),
        ("columns=[]", r"columns: there is no key; expected ids or categorical columns, here or in `together`"),
        ("together=[['user.id']]", r"together\[0\]: expected a list of at least 2 elements, each an address"),
        ("together=[['user.id', 'item.colour']]", r"together: no feature is called 'item\.colour'"),
        ("labels=['gft']", r"labels\[0\]: 'gft' is no column of the interactions; .*did you mean 'gift'"),
        ("labels=['channel']", r"labels\[0\]: 'channel' is declared as categorical; expected numbers"),
        ("labels=[]", r"labels: "),
        ("smoothing=0", r"smoothing: "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tiny_recipe, change, message):
    with pytest.raises(RecipeError, match=r"preprocess\.mine\." + message):
        load_recipe(tiny_recipe, [*SETS, f"preprocess.mine.{change}"])


def test_queries_do_not_see_the_candidate_through_statistics(tiny_recipe):
    sets = [*SETS, 'encoder.own.reads=["known.seen"]']
    with pytest.raises(RecipeError, match=r"query\[1\]: a query must not depend on .* 'own' depends on item\.color"):
        load_recipe(tiny_recipe, sets)
    with pytest.raises(RecipeError, match=r"candidate: a candidate must depend on .* one entity and nothing else"):
        load_recipe(tiny_recipe, [*SETS, 'task.next.candidate=["own"]', 'task.next.query=["past"]'])


def test_names_that_no_preprocessor_has(tiny_recipe):
    with pytest.raises(RecipeError, match=r"no feature is called 'known\.seem'; did you mean 'known\.seen'"):
        load_recipe(tiny_recipe, [*SETS, 'encoder.own.reads=["known.seem"]'])
