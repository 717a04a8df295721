import json
import tomllib
from pathlib import Path

import pytest

import mtkit
from mtkit.recipe.json_schema import recipe_schema
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock

jsonschema = pytest.importorskip("jsonschema")

RECIPES = sorted((Path(mtkit.__file__).parents[1] / "recipes").glob("**/*.toml"))


def plain(text):
    """A TOML text as JSON has it."""
    return json.loads(json.dumps(tomllib.loads(text), default=lambda moment: moment.isoformat()))


@pytest.fixture(scope="module")
def validator():
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_accepted(validator, path):
    pytest.importorskip("mtkit_datasets")
    pytest.importorskip("mtkit_bert")
    assert list(validator.iter_errors(plain(path.read_text()))) == []


def test_a_lock_is_accepted(tiny_recipe):
    sets = ["rows.lines.where={hour = {at_least = 9}}", "encoder.visit.reads=['context.channel']"]
    text = lock(load_recipe(tiny_recipe, sets), tiny_recipe.parent)
    validator = jsonschema.Draft202012Validator(recipe_schema())  # with the tiny shop, which is installed here alone
    assert list(validator.iter_errors(plain(text))) == []


@pytest.fixture
def changed(tiny_recipe):
    """`changed(old, new)`: the tiny recipe over data from files, with other text in it."""
    text = tiny_recipe.read_text().replace(
        'use = "tiny_shop"\n', 'use = "files"\ninteractions = "x.csv"\ncolumns = {}\n'
    )

    def changed(old="", new=""):
        assert old in text
        return plain(text.replace(old, new, 1))

    return changed


def test_the_recipe_that_is_changed_is_right(validator, changed):
    assert list(validator.iter_errors(changed())) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs = 2", "epochs = 'two'"),
        ("epochs = 2", "epochs = 0"),
        ("epochs = 2", "epoch = 2"),
        ('optimizer = "adam"', 'optimizer = "adm"'),
        ('use = "mmoe"', 'use = "mmeo"'),
        ("experts = 2", "expert = 2"),
        ('use = "history"', ""),
        ('label = "gift"', ""),
        ('length = "30d"', 'length = "thirty days"'),
        ("columns = {}", 'columns = {price = {kind = "numerc"}}'),
        ("columns = {}", 'columns = {gift = {kind = "label", horizn = "3d"}}'),
        ("columns = {}", ""),
        ("valid = 2024-07-01", 'valid = "soon"'),
        ("[evaluate]", "[evaluat]"),
        ('metrics = ["recall", "ndcg"]', 'metrics = ["recal"]'),
        ('metrics = ["recall", "ndcg"]', 'metrics = "recall"'),
        ('slices = ["new"]', 'slices = ["nwe"]'),
        ('baselines = ["popularity"', 'baselines = [{use = "own_recency", half_lif = 3}, "popularity"'),
        ("[balance]", "[events.web]\nwhere = 3\n[balance]"),
        ("[encoder.past]", "[encoder.Past]"),
        ("recipe = 1", "recipe = 2"),
        ("recipe = 1", ""),
        ("[balance]", '[export]\nuse = "saved_modl"\n[balance]'),
    ],
)
def test_mistakes_are_refused(validator, changed, old, new):
    assert not validator.is_valid(changed(old, new))


def test_references_stand_for_strings(validator, changed):
    assert validator.is_valid(changed('optimizer = "adam"', 'optimizer = "${env:OPTIMIZER:-adam}"'))
    assert validator.is_valid(changed('interactions = "x.csv"', 'interactions = "${recipe.dir}/x.csv"'))


def test_a_recipe_that_extends_another_may_leave_things_out(validator):
    assert validator.is_valid(plain('extends = "a.toml"\n[encoder.past]\nlength = 3\n[train]\nepochs = 1\n'))
    assert not validator.is_valid(plain('extends = "a.toml"\n[train]\nepoch = 1\n'))
    assert not validator.is_valid(plain('extends = "a.toml"\n[encoder.past]\nuse = "history"\nlenth = 3\n'))
    assert not validator.is_valid(plain("[train]\nepochs = 1\n"))


def test_editors_find_a_description_of_each_option():
    schema = recipe_schema()
    options = schema["$defs"]["correlation.mmoe"]["properties"]
    assert options["use"]["description"].startswith("Shared experts, mixed for each task by a gate of its own")
    assert options["experts"] == {
        "default": 4,
        "description": "number of experts",
        "exclusiveMinimum": 0,
        "type": "integer",
    }


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('[expect]\n"a/b" = [0, 1]', True),
        ('[expect]\n"a/b" = {at_least = 1}', True),
        ('[expect]\n"a/b" = {at_lest = 1}', False),
        ("[hook.tensorboard]\nembeddings = 3", True),
        ("[hook.tensorboard]\nembedings = 3", False),
        ('[hook.mine]\nuse = "mlflow"\nuri = "a"', True),
        ('[search.keys]\n"train.epochs" = {low = 1, high = 2}', True),
        ('[search.keys]\n"train.epochs" = {lo = 1, high = 2}', False),
        ('[train]\nstrategy = "atuo"', False),
        ('[rows.lines]\nuse = "interactions"\nwhere = "web"', True),
        ('[evaluate]\nslices = ["user.town", {by = "user.age", edges = [1, 2]}]', True),
        ('[evaluate]\nslices = [{by = "user.age", edge = [1, 2]}]', False),
    ],
)
def test_parts_of_recipes(validator, text, right):
    assert validator.is_valid(plain(f'extends = "a.toml"\n{text}\n')) == right
