# ruff: noqa: E501, ISC004 (tables of whole messages)
import re
import time
from datetime import date, timedelta

import pytest
from toy_components import RECIPE, Buckets, Deep, Fixed, Guard, Recency, Shop, Tracker, entry, toy_entries, toy_registry

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.registry import Registry
from mtkit.recipe.settings import By


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a text, by default the toy recipe, with the toy registry."""
    monkeypatch.chdir(tmp_path)

    def load(text=RECIPE, sets=(), unsets=(), registry=None):
        (tmp_path / "toy.toml").write_text(text, encoding="utf-8")
        return load_recipe("toy.toml", sets, unsets, registry or toy_registry())

    return load


@pytest.fixture
def fails(load):
    """What is said of each mistake of a recipe that does not load, without columns and the lines that are quoted."""

    def fails(*arguments, **keywords):
        with pytest.raises(RecipeError) as raised:
            load(*arguments, **keywords)
        return [re.sub(r"^(\S+\.toml:\d+):\d+", r"\1", str(problem)) for problem in raised.value.problems]

    return fails


def line_of(text, within=RECIPE):
    return within[: within.index(text)].count("\n") + 1


def test_specs_are_resolved_in_recipe_order(load):
    recipe = load()
    assert list(recipe.encoder) == ["user", "past", "item"]
    assert isinstance(recipe.encoder["item"], Deep)
    assert recipe.encoder["user"].reads == ("user.id", "user.age")
    assert recipe.data.split.valid == recipe.data.split.test.replace(month=11) == date(2017, 11, 1)
    assert recipe.data.catalog["item"].min_count == 20
    assert recipe.rows["lines"].window == timedelta(days=28)
    assert recipe.preprocess["age"] == Buckets(columns=("user.age",))
    assert recipe.evaluate.baselines["recency"] == Recency(half_life=timedelta(days=60))
    assert recipe.uses["encoder.item"] == "deep"
    assert recipe.distributions == {"toys": "1.2"}


def test_defaults_are_filled_in(load):
    recipe = load()
    assert recipe.balance == Fixed()
    assert recipe.uses["export"] == "saved_model"
    assert recipe.train.epoch_of == "lines"
    assert (recipe.evaluate.main, recipe.evaluate.main_task) == ("next/recall@10", "next")
    assert recipe.deterministic
    assert recipe.seed == 0


def test_metric_keys(load):
    recipe = load()
    evaluate, task = recipe.evaluate, recipe.task
    expected = ("next/recall@10", "next/recall@50", "next/new/recall@10", "next/new/recall@50")
    assert evaluate.keys("next", task["next"]) == expected
    assert evaluate.keys("cheap", task["cheap"]) == ("cheap/auc", "cheap/new/auc")


def test_slices_are_names_columns_or_tables(load):
    given = "evaluate.slices=['new', 'tail', 'item.aisle', {by='user.age', edges=[3, 4.5]}]"
    recipe = load(sets=[given, "evaluate.prediction_metrics=['auc']"])
    assert recipe.evaluate.slices == ("new", "tail", By(by="item.aisle"), By(by="user.age", edges=(3, 4.5)))
    keys = recipe.evaluate.keys("next", recipe.task["next"])
    assert {key.split("/")[1] for key in keys if key.count("/") == 2} == {"new", "tail"}
    assert recipe.evaluate.keys("click", recipe.task["cheap"]) == ("click/auc", "click/new/auc", "click/tail/auc")


def test_paths_begin_at_the_recipe(load, tmp_path):
    recipe = load(sets=['data.path="data/x.csv"', 'encoder.item.options.files=["a", "/b"]'])
    assert recipe.data.source.path == tmp_path / "data/x.csv"
    assert [str(file) for file in recipe.encoder["item"].options.files] == [str(tmp_path / "a"), "/b"]


def test_hooks_are_made_if_they_have_options(load, tmp_path):
    recipe = load(RECIPE + '[hook.tracker]\nfolder = "here"\n[hook.mine]\nuse = "guard"\n')
    assert recipe.hook == {"tracker": Tracker(folder=tmp_path / "here"), "mine": Guard}


def test_all_mistakes_at_once_each_at_its_line(fails):
    text = RECIPE.replace("batch_size = 8", "batch_size = true").replace('use = "deep"', 'use = "deap"')
    text = text.replace("count = 20", "cuont = 20").replace("k = [10, 50]", "k = [10, 0]")
    text = text.replace('label = "cheap"\n', "")
    expected = [
        (
            "count = 20",
            "data.catalog.item.min_cuont: unknown key; did you mean 'min_count'? (known: min_count, unlisted, where)",
        ),
        ("batch_size = 8", "rows.lines.batch_size: expected a whole number above 0, got true"),
        (
            'use = "deep"',
            "encoder.item.use: no encoder is named 'deap'; did you mean 'deep'? (known: bert, deep, sum, user_item_graph)",
        ),
        (
            "[task.cheap]",
            "task.cheap.label: is missing; expected label of the row table (`coupon`), or of an entity "
            "(`item.department`)",
        ),
    ]
    lines = fails(text)
    assert lines[:4] == [f"toy.toml:{line_of(at)}: {message}" for at, message in expected]
    assert lines[4].endswith(": evaluate.k[1]: expected a whole number above 0, got 0")
    assert len(lines) == 5


def test_a_mistake_is_shown_in_its_line(load):
    text = RECIPE.replace('use = "deep"', 'use = "deap"').replace("k = [10, 50]", "k = [10, 0]")
    with pytest.raises(RecipeError) as raised:
        load(text.replace("count = 20", "cuont = 20"))
    shown = str(raised.value)
    assert re.search(
        r"toy\.toml:\d+:1: data\.catalog\.item\.min_cuont: .*\n  \d+ \| min_cuont = 20\n +\| \^{9}\n", shown
    )
    assert re.search(r'\n  \d+ \| use = "deap"\n +\| {7}\^{6}\n', shown)
    assert re.search(r"\n  \d+ \| k = \[10, 0\]\n +\| {10}\^$", shown)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["recipe=2"], "--set: recipe: expected 1, got 2"),
        (["nmae=1"], "--set: nmae: unknown key; did you mean 'name'?"),
        (["encoders.x.use='sum'"], "--set: encoders: unknown key; did you mean 'encoder'?"),
        (["seed=-1"], "--set: seed: expected a whole number from 0 to 4294967295, got -1"),
        (["seed=4294967296"], "--set: seed: expected a whole number from 0 to 4294967295, got 4294967296"),
        (["encoder.Item={use='sum', reads=['item.id']}"], "--set: encoder.Item: expected a name of lower-case letters,"),
        (["encoder=3"], "--set: encoder: expected a table, got 3"),
        (["task.next=3"], "--set: task.next: expected a table, got 3"),
        (["data.split=3"], "--set: data.split: expected a table, got 3"),
        (["data.catalog=3"], "--set: data.catalog: expected a table, got 3"),
        (["encoder.user.use=3"], "--set: encoder.user.use: expected a name, got 3"),
        (["encoder.new.dim=3"], "--set: encoder.new.use: is missing; known: deep, sum"),
        (["encoder.item.mode=lorra"], "--set: encoder.item.mode: expected 'frozen', 'lora' or 'full', got \"lorra\"; did you mean 'lora'?"),
        (["encoder.item.count=4"], "--set: encoder.item.count: expected an odd count, not 4, got 4"),
        (["encoder.item.options.ratoi=4"], "--set: encoder.item.options.ratoi: unknown key; did you mean 'ratio'? (known: "),
        (["encoder.item.options.files=3"], "--set: encoder.item.options.files: expected a list, each a path, got 3"),
        (["data.catalog.item={min_count='x'}"], "--set: data.catalog.item.min_count: expected a whole number of at least 0, got"),
        (["rows.lines.window=['28d']"], "--set: rows.lines.window: expected a duration such as"),
        (["name='a b'"], "--set: name: expected a name of letters, digits and"),
        (["encoder.item.reads=['item']"], "--set: encoder.item.reads[0]: expected an address such as 'item.text', got \"item\""),
        (["encoder.item.span=soon"], '--set: encoder.item.span: expected a duration such as "28d"'),
        (["evaluate.metrics=recall"], '--set: evaluate.metrics: expected a list of names, got "recall"'),
        (["evaluate.metrics=[3]"], "--set: evaluate.metrics[0]: expected a name, or {use = NAME, ...}, got 3"),
        (["evaluate.metrics=['recall', 'recall']"], "--set: evaluate.metrics[1]: 'recall' is listed twice"),
        (["evaluate.metrics=['recal']"], "--set: evaluate.metrics[0]: no ranking_metric is named 'recal'; did you mean"),
        (["evaluate.baselines=[{use='recency', half=3}]"], "--set: evaluate.baselines[0].half: unknown key; did you mean 'half_life'?"),
        (["evaluate.metrics=[]", "evaluate.prediction_metrics=[]"], ": evaluate: measures nothing; expected metrics"),
        (["evaluate.slices=['tial']"], "--set: evaluate.slices[0]: expected 'new', 'cold_user', 'cold_item', 'tail', 'unknown_user', 'unknown_item', 'unknown_both', 'kept_user', 'added_user', 'kept_item' or 'added_item', or a table with some of the keys by, edges, values, got \"tial\"; did you mean 'tail'?"),
        (["evaluate.slices=[{by='user.age', edges=[3, 3]}]"], "--set: evaluate.slices[0].edges: edges must increase, got [3, 3]"),
        (["evaluate.slices=[{by='user.age', edge=[3]}]"], "--set: evaluate.slices[0].edge: unknown key; did you mean 'edges'?"),
        (["evaluate.slices=['user.']"], "--set: evaluate.slices[0]"),
        (["train.strategy=atuo"], "--set: train.strategy: no strategy is named 'atuo'; did you mean 'auto'?"),
        (
            ["train.strategy=parameter_server"],
            "--set: train.strategy: there is no parameter server; expected multi_worker: workers train in step",
        ),
        (["train.learning_rate=inf"], "train.learning_rate: expected a finite number"),
        (["hook.trakcer={}"], "--set: hook.trakcer: no hooks is named 'trakcer'; did you mean 'tracker'?"),
        (["hook.guard.x=1"], "--set: hook.guard.x: unknown key; 'guard' has no options"),
        (["balance.use=bert"], "--set: balance.use: no balancer is named 'bert'; known: fixed"),
        (["requires.mtkit='>=99'"], '--set: requires.mtkit: >=99 is needed, got 0.1.0; run: pip install "mtkit>=99"'),
        (["requires.mtkit-nothing='>=1'"], '--set: requires.mtkit-nothing: mtkit-nothing >=1 is needed, but it is not installed; run: pip install "mtkit-nothing>=1"'),
        (["requires.mtkit='banana'"], '--set: requires.mtkit: expected a version specifier such as ">=0.1,<0.2", got \'banana\''),
        (["name.x=1"], "--set: name.x: name is a value, not a table"),
        (["justkey"], "--set: justkey: expected KEY=VALUE"),
        (["data.path='${env:MTKIT_TEST_UNSET}'"], "--set: data.path: environment variable MTKIT_TEST_UNSET is not set"),
    ],
)  # fmt: skip
def test_single_mistakes(fails, sets, message):
    (line,) = fails(sets=sets)
    assert message in line


@pytest.mark.parametrize("section", ["data", "rows", "encoder", "task"])
def test_required_sections(fails, section):
    lines = fails(unsets=[section])
    assert any(line.startswith(f"toy.toml:1: {section}: is missing; a recipe has [{section}") for line in lines)


def test_a_broken_plugin_is_reported_where_it_is_named(fails):
    registry = Registry([*toy_entries(), entry("encoder", "broken", "no_such_module:X")])
    (line,) = fails(sets=["encoder.user.use=broken"], registry=registry)
    assert line.startswith("--set: encoder.user.use: encoder 'broken' of toys 1.2 (no_such_module:X) is broken: Mod")


def test_set_merges_and_parses(load):
    recipe = load(
        sets=["encoder.item={rate=0.5, dim=8}", "encoder.item.words=plain text", "encoder.item.day=2018-02-03"]
    )
    item = recipe.encoder["item"]
    assert (item.rate, item.dim, item.words, item.day) == (0.5, 8, "plain text", date(2018, 2, 3))
    assert item.reads == ("item.id", "item.text")


def test_set_cannot_smuggle_in_other_keys(load):
    assert load(sets=['encoder.item.words=1\nuse = "sum"']).encoder["item"].words == '1\nuse = "sum"'


def test_unset_goes_first(load, fails):
    assert load(unsets=["rows.lines.window"]).rows["lines"].window == timedelta(days=30)
    assert (
        load(unsets=["encoder.item"], sets=["encoder.item={use='sum', reads=['item.id']}"]).uses["encoder.item"]
        == "sum"
    )
    (line,) = fails(unsets=["encoder.itm"])
    assert line.startswith("--unset: encoder.itm: the recipe has no such key; did you mean 'encoder.item'?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe = 1\nname = \n", "toy.toml:2: is not valid TOML: invalid value"),
        ("recipe = 1\na = 1\na = 2", "toy.toml:3: is not valid TOML: cannot overwrite a value"),
    ],
)
def test_invalid_toml(fails, text, message):
    (line,) = fails(text)
    assert line.startswith(message)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read: No such file"):
        load_recipe(tmp_path / "none.toml", registry=toy_registry())
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(RecipeError, match="is not UTF-8 text"):
        load_recipe(tmp_path / "latin.toml", registry=toy_registry())


def test_environment_is_substituted_and_never_shown(load, fails, monkeypatch):
    monkeypatch.setenv("MTKIT_TEST_TOKEN", "s3cr3t 'x'")
    sets = ["data.token='${env:MTKIT_TEST_TOKEN}'"]
    assert load(sets=sets).data.source.token == "s3cr3t 'x'"
    lines = fails(
        sets=[*sets, "encoder.item.mode='a-${env:MTKIT_TEST_TOKEN}'", "encoder.user.use='${env:MTKIT_TEST_TOKEN}'"]
    )
    assert len(lines) == 2
    assert not any("s3cr3t" in line for line in lines)
    assert "${env:MTKIT_TEST_TOKEN}" in lines[0]


def test_a_short_secret_leaves_other_words_alone(fails, monkeypatch):
    monkeypatch.setenv("MTKIT_TEST_SHORT", "e")
    lines = fails(sets=["encoder.user.use='${env:MTKIT_TEST_SHORT}'"])
    assert "no encoder is named '${env:MTKIT_TEST_SHORT}'" in lines[0]


def test_problems_found_later_have_places(load):
    recipe = load(sets=["seed=3"])
    assert (
        str(recipe.problem(("task", "cheap", "label"), "no"))
        == f"toy.toml:{line_of('label =')}:9: task.cheap.label: no"
    )
    assert str(recipe.problem(("seed",), "no")) == "--set: seed: no"


def test_components_compare_by_value(load):
    assert load() == load()
    assert load() != load(sets=["seed=2"])
    assert isinstance(load().data.source, Shop)


NESTED = {
    "arrays": f"epochs = {'[' * 1000}{']' * 1000}",
    "arrays that tomllib reads": f"epochs = {'[' * 100}{']' * 100}",
    "inline tables": f"epochs = {'{a = ' * 1000}1{'}' * 1000}",
    "a key": f"{'a.' * 1000}b = 1",
    "a key of many parts": f"{'a.' * 200_000}b = 1",
    "a key of quoted parts": '"a" . ' * 80_000 + "b = 1",
    "a key of parts in an inline table": f"epochs = {{{'a.' * 200_000}b = 1}}",
    "a key of parts in an array": "epochs = [{x = 'a'}, {" + "'a'." * 100_000 + "b = 1}]",
    "parts of inline tables": f"epochs = {'{a.a.a = ' * 12}1{'}' * 12}",
    "arrays that do not end": f"epochs = {'[' * 400_000}",
}


@pytest.mark.parametrize("line", NESTED.values(), ids=NESTED)
def test_deep_nesting_is_one_message(fails, line):
    begin = time.perf_counter()
    (message,) = fails(f"{RECIPE}\n[train]\n{line}\n")
    assert re.fullmatch(r"toy\.toml(:\d+)?: is nested too deeply: expected at most 32 tables .*", message)
    (message,) = fails(sets=[f"train.{line.replace(' = ', '=')}"])
    assert "is nested too deeply" in message
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'epochs = "{chr(92)}"{f"{chr(92)}{chr(34)}" * 200_000}', "is not valid TOML"),
        (f"epochs = {chr(39) * 400_001}", "is not valid TOML"),
        (f'epochs = """{"a.[" * 100_000}', "is not valid TOML"),
        (f"epochs = {{{', '.join(f'key_{number} = 1' for number in range(20_000))}}}", "train.epochs: expected"),
        (f"epochs = 3 # {'[.' * 200_000}", "more mistakes|unknown"),
    ],
    ids=["escaped quotes", "quotes", "a text that does not end", "a wide table", "a comment"],
)
def test_long_texts_take_seconds(fails, line, message):
    begin = time.perf_counter()
    assert re.search(message, "\n".join(fails(f"{RECIPE}\n[train]\n{line}\nno_key = 1\n")))
    assert time.perf_counter() - begin < 5


def test_dots_of_a_text_on_the_command_line_are_not_depth(load):
    assert load(sets=[f"name=x{'.' * 100}y"], unsets=["name"]).name == f"x{'.' * 100}y"


def test_a_very_long_key_is_shortened(fails):
    (message,) = fails(f"{RECIPE}\n[train]\n{'a' * 400_000}_end = 1\n")
    assert re.search(r": train\.a{70,80}…a+_end: unknown key", message)
    assert len(message) < 1_000


def test_thousands_of_mistakes_are_told_shortly(fails):
    begin = time.perf_counter()
    shown = fails(RECIPE + "\n[train]\n" + "".join(f"key_{number} = {number}\n" for number in range(20_000)))
    assert "train.key_0: unknown key" in shown[0]
    assert len(shown) == 101
    assert shown[-1] == "toy.toml: has 19,900 more mistakes"
    assert time.perf_counter() - begin < 10


def test_a_large_file_is_no_recipe(fails):
    (message,) = fails(f"{RECIPE}\n[train]\nepochs = [{'1, ' * 3_000_000}]\n")
    assert re.fullmatch(
        r"toy\.toml: has 9,\d{3},\d{3} bytes, expected 524,288 at most: data belong into files .*", message
    )


def test_keys_of_columns_that_do_not_exist_hide_no_other_mistakes(tiny_recipe):
    files = 'use = "files"\ninteractions = "x.csv"\n[data.columns]\nuser = {kind = "id", entity = "user"}\n'
    files += 'item = {kind = "id", entity = "item"}\ntime = {kind = "time"}\ngift = {kind = "label", horizn = "3d"}\n'
    tiny_recipe.write_text(tiny_recipe.read_text().replace('use = "tiny_shop"\n', files))
    with pytest.raises(RecipeError) as raised:
        load_recipe(tiny_recipe)
    shown = str(raised.value)
    assert "data.columns.gift.horizn: unknown key; did you mean 'horizon'?" in shown
    assert "encoder.visit.reads[0]: no feature is called 'context.channel'" in shown
