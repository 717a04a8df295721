# ruff: noqa: E501, ISC004 (tables of whole messages)
import pytest
from toy_components import RECIPE, toy_registry

from mtkit.errors import RecipeError
from mtkit.recipe.drafts import embeddings
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.static_checks import check_wiring
from mtkit.standard.baselines import Popularity
from mtkit.standard.neighbor_baselines import ContentKnn
from mtkit.standard.ranking_metrics import Diversity
from mtkit.standard.splits import ByColumn


@pytest.fixture
def wiring(tmp_path):
    """The mistakes of the toy recipe with other values."""
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)

    def wiring(*sets):
        try:
            load_recipe(path, sets, registry=toy_registry())
        except RecipeError as error:
            return [f"{problem.key}: {problem.message}" for problem in error.problems]
        return []

    wiring.recipe = load_recipe(path, registry=toy_registry())
    return wiring


def test_a_good_recipe_has_no_mistakes(wiring):
    assert check_wiring(wiring.recipe) == []


def test_embeddings_depend_on_what_is_read_on_the_row(wiring):
    assert embeddings(wiring.recipe.encoder, wiring.recipe.correlation) == {
        "user": {"user.id", "user.age"},
        "past": {"history.item"},
        "item": {"item.id", "item.text"},
        "both": {"user.id", "user.age", "item.id", "item.text"},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('encoder.user.reads=["usr.id"]', "encoder.user.reads[0]: no feature is called 'usr.id'; did you mean 'user.id'?"),
        ('encoder.user.reads=["user.id", "context.price"]',
         "encoder.user.reads[1]: context.price is a source of label 'cheap', and cannot be a feature"),
        ('encoder.user.reads=["context.cheap"]', "encoder.user.reads[0]: context.cheap is label 'cheap', and cannot be a"),
        ('encoder.item.reads=["item.department"]', "encoder.item.reads[0]: item.department is label 'department', and"),
        ('encoder.item.reads=["item.aisle"]', "encoder.item.reads[0]: item.aisle is a source of label 'department', and"),
        ('encoder.user.reads=["context.at"]', "encoder.user.reads[0]: context.at is declared as time, which no encoder"),
        ('preprocess.age.columns=["user.agee"]', "preprocess.age.columns[0]: no feature is called 'user.agee'; did you"),
        ('preprocess.x={use="buckets", columns=["user.age"]}',
         "preprocess.x.columns[0]: user.age has a preprocessor already, preprocess.age"),
        ("data.catalog.shop.min_count=2", "data.catalog.shop: the data have no such entity; known: item, user"),
        ('task.department.label="item.dept"', "task.department.label: no entity has a label 'item.dept'; "),
        ('task.department.label="item.text"', "task.department.label: no entity has a label 'item.text'; "),
        ("task.cheap.rows=line", "task.cheap.rows: no row table is called 'line'; did you mean 'lines'?"),
        ("task.next.evaluate=windows", "task.next.evaluate: no row table is called 'windows'; known: items, lines"),
        ("task.cheap.weight_by=prise", "task.cheap.weight_by: no column is called 'prise'; did you mean 'price'?"),
        ("task.cheap.weight_by=item.text", "task.cheap.weight_by: item.text is declared as text, and rows are weighed by columns"),
        ('task.cheap.inputs=["usr"]', "task.cheap.inputs[0]: no embedding is called 'usr'; did you mean 'user'?"),
        ('task.cheap.inputs=["task.nxt"]', "task.cheap.inputs[0]: no task that predicts for each row is called 'task.nxt'"),
        ('task.cheap.inputs=["task.next"]', "task.cheap.inputs[0]: no task that predicts for each row is called 'task.next'"),
        ('task.next.query=["me"]', "task.next.query[0]: no embedding is called 'me'"),
        ('task.next.candidate=["it"]', "task.next.candidate[0]: no embedding is called 'it'"),
        ('encoder.past.extra=["itm"]', "encoder.past.extra: no encoder is called 'itm'; did you mean 'item'?"),
        ('encoder.past.extra=["user"]', "encoder.past.extra: 'user' reads columns of user; expected an encoder of item"),
        ('encoder.past.extra=["wide"]', "encoder.past.extra: 'wide' has no catalog: it reads item and user; expected one"),
        ('correlation.both.on=["usr"]', "correlation.both.on[0]: no embedding before it is called 'usr'; did you mean 'user'?"),
        ('correlation.experts.on=["both"]', "correlation.experts.on[0]: no embedding before it is called 'both'"),
        ('correlation.user={use="experts", apply="pair"}', "correlation.user: an encoder is called 'user' too; a pair needs"),
        ("train.epoch_of=line", "train.epoch_of: no row table is called 'line'; did you mean 'lines'?"),
        ("task.cheap.judged_by=acc", "task.cheap.judged_by: the task has no metric 'acc'"),
        ("task.next.judged_by=recall", "task.next.judged_by: the task has no metric 'recall'; did you mean 'recall@"),
        ("rows.lines.passes=2", "rows.lines: batch_size and passes both say how fast rows are consumed"),
        ("train.validation_rows=0", 'train: stop = "task" looks at validation, and validation_rows = 0 says that there is none'),
        ("evaluate.main='nxt/recall@10'", "evaluate.main: no metric of the recipe has the key 'nxt/recall@10'; did you mean 'next/recall@10'?"),
        ("evaluate.main='next/recall@20'", "evaluate.main: no metric of the recipe has the key 'next/recall@20'"),
    ],
)  # fmt: skip
def test_what_does_not_fit(wiring, change, message):
    wide = "encoder.wide={use='sum', reads=['item.id', 'user.id']}"
    (found,) = wiring(wide, change)
    assert found.startswith(message)


def test_an_epoch_is_a_pass_over_a_table_that_trains(wiring):
    found, *_ = wiring('rows.spare={use="lines"}', "train.epoch_of=spare")
    assert found.startswith("train.epoch_of: no task trains on row table 'spare'; known: ")


def test_cycles_are_named(wiring):
    (found,) = wiring('task.department.inputs=["task.cheap"]')
    assert found in {
        "task.cheap.inputs: tasks read one another: cheap -> department -> cheap",
        "task.department.inputs: tasks read one another: department -> cheap -> department",
    }
    (found,) = wiring('encoder.past.extra=["past"]')
    assert found == "encoder.past.extra: encoders need one another: past -> past"


def test_a_cycle_reads_in_the_order_of_its_names(wiring):
    third = "task.third={use='ranker', rows='lines', inputs=['task.cheap'], label='cheap'}"
    (found,) = wiring(third, 'task.department.inputs=["task.third"]')
    cycle = found.partition("one another: ")[2].split(" -> ")
    reads = {"cheap": "department", "department": "third", "third": "cheap"}
    assert [reads[name] for name in cycle[:-1]] == cycle[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('task.next.query=["user", "item"]', "task.next.query[1]: a query must not depend on the candidate of the row, "
         "but 'item' depends on item.id, item.text; items of the past are read by history.item"),
        ('task.next.query=["both"]', "task.next.query[0]: a query must not depend on the candidate of the row, but 'both'"),
        ('task.next.candidate=["item", "user"]', "task.next.candidate: a candidate must depend on the features of one "
         "entity and nothing else, but 'item' depends on item.id, item.text; 'user' depends on user.age, user.id"),
        ('task.next.candidate=["both"]', "task.next.candidate: a candidate must depend on the features of one entity"),
        ('task.next.candidate=["past"]', "task.next.candidate: a candidate must depend on the features of one entity"),
        ('encoder.item.reads=["item.id", "context.hour"]', "task.next.candidate: a candidate must depend on the features"),
        ('encoder.item2={use="sum", reads=["item.id"], extra=["user"]}', None),
    ],
)  # fmt: skip
def test_towers_are_factorized(wiring, change, message):
    found = wiring(change, *(["encoder.past.extra=[]"] if "context.hour" in change else []))
    assert found == [] if message is None else found[0].startswith(message)


def test_a_candidate_is_followed_through_the_catalogs_it_needs(wiring):
    item2 = 'encoder.item2={use="sum", reads=["item.id"], extra=["user"]}'
    (found,) = wiring(item2, 'task.next.candidate=["item2"]')
    assert found.startswith("task.next.candidate: ")
    assert "user.age" in found


def test_items_of_the_past_and_context_belong_to_the_query(wiring):
    clock = "encoder.clock={use='sum', reads=['context.hour', 'history.item']}"
    assert wiring(clock, 'task.next.query=["user", "clock"]') == []


def test_a_pair_of_all_depends_on_all(wiring):
    (found,) = wiring("correlation.both.on=[]", 'task.next.query=["both"]')
    assert found.startswith("task.next.query[0]")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("houre", "'houre' is not there; did you mean 'hour'? (known: hour)"),
        ("price", "'price' is declared as numeric; known: hour"),
    ],
)
def test_a_split_by_a_column_needs_a_categorical_one(wiring, column, message):
    data = wiring.recipe.data.model_copy(update={"split": ByColumn(column=column)})
    (mistake,) = check_wiring(wiring.recipe.model_copy(update={"data": data}))
    assert mistake.path == ("data", "split")
    assert mistake.message.endswith(message)
    data = data.model_copy(update={"split": ByColumn(column="hour")})
    assert check_wiring(wiring.recipe.model_copy(update={"data": data})) == []


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("item.txt", "no entity has a column 'item.txt'; did you mean 'item.text'"),
        ("itm", "no encoder is called 'itm'; did you mean 'item'"),
        ("user", "'user' reads user.id, user.age; expected an encoder of what is ranked, item"),
    ],
)
def test_items_are_compared_by_a_column_or_an_encoder(wiring, by, message):
    def mistakes(by):
        evaluate = wiring.recipe.evaluate.model_copy(update={"metrics": {"diversity": Diversity(by=by)}})
        return check_wiring(wiring.recipe.model_copy(update={"evaluate": evaluate}))

    found = [mistake for mistake in mistakes(by) if mistake.path == ("evaluate", "metrics", 0)]
    assert [mistake.message.startswith(message) for mistake in found] == [True]
    assert [mistake for mistake in mistakes("item") if mistake.path[1] == "metrics"] == []


def test_what_a_baseline_compares_items_by_is_looked_up(wiring):
    baselines = {"popularity": Popularity(), "content_knn": ContentKnn(by="item.txt")}
    evaluate = wiring.recipe.evaluate.model_copy(update={"baselines": baselines})
    (mistake,) = check_wiring(wiring.recipe.model_copy(update={"evaluate": evaluate}))
    assert mistake.path == ("evaluate", "baselines", 1)
    assert mistake.message.startswith("no entity has a column 'item.txt'; did you mean 'item.text'")
