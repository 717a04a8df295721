"""The house keeps its order: who may import whom, where TensorFlow comes in, which test belongs to which module."""

import ast
import graphlib
from collections import defaultdict
from pathlib import Path

import pytest

import mtkit
from mtkit.registry import KNOWN_PLUGINS
from mtkit.testing import check_import_is_light

ROOT = Path(mtkit.__file__).parents[1]
CORE = ROOT / "mtkit"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/*"))

#: A module imports from its own layer, without cycles, and from those before. `x.*` stands for a package's modules.
LAYERS = (
    ("errors", "schema", "suggest", "toml_writer", "types"),
    (
        "spec.*", "sections", "locate", "document", "validation", "registry", "hooks", "interrupt", "wiring", "plan",
        "auto", "recipe", "composition", "lock", "describe",
    ),
    ("backend",),
    ("data.*", "devices", "distribute", "forward", "heads", "layers.*", "model", "optimizers", "rank"),
    ("context", "leakage", "measure", "memory", "pipeline", "sampled", "slices", "tables", "user_sums"),
    (
        "train", "checkpoints", "baseline_run", "several", "evaluate", "compare", "rundir", "progress", "report", "run", "check",
        "export", "servable", "unseen", "answers", "signatures", "significance", "paired",
        "callbacks",
        "recommend", "keras_api",
    ),
    ("cli", "commands.*"),
)  # fmt: skip
#: Built-in components and the conformance kit stand beside the layers, like plugins: nothing of the core needs them.
BESIDE = ("standard.*", "testing.*")
EXCEPTIONS = {
    ("data.features", "standard.preprocessors"): "columns get a built-in preprocessor where a recipe names none",
}
#: What plugins may import; documented in docs/plugins.md.
PUBLIC = (
    "backend",
    "distribute",
    "errors",
    "heads",
    "hooks",
    "layers.*",
    "optimizers",
    "schema",
    "spec",
    "suggest",
    "testing",
    "types",
)
FRAMEWORKS = {"tensorflow", "tf_keras", "keras"}
#: Tests that belong to no single module.
ACROSS = {
    "test_docs",
    "test_layout",
    "test_main_recipe",
    "test_mistakes",
    "test_numeric_labels",
    "test_recipes",
    "test_registry_snapshot",
    "test_self_supervised",
    "data/test_as_of",
}


def modules(package):
    """Name below the package -> path."""
    paths = {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py")}
    return {name.removesuffix("__init__").rstrip("."): path for name, path in paths.items()}


def imports(path):
    """(module, name) of every import, those inside functions included, those for type checking not."""
    pending = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)
        pending += ast.iter_child_nodes(node)


def imported_modules(path, known):
    """Modules of the core that a file imports, by name below the core."""
    for module, name in imports(path):
        package, _, inner = module.partition(".")
        if package == "mtkit":
            full = f"{inner}.{name}".lstrip(".")
            yield full if full in known else inner


def matches(name, patterns):
    return any(name == p or (p.endswith(".*") and f"{name}.".startswith(p[:-1])) for p in patterns)


def layer_of(name):
    (layer,) = [number for number, patterns in enumerate(LAYERS) if matches(name, patterns)]
    return layer


CORE_MODULES = modules(CORE)
LAYERED = sorted(name for name in CORE_MODULES if name and not matches(name, BESIDE))


def test_every_module_has_one_layer():
    homeless = [name for name in LAYERED if sum(matches(name, patterns) for patterns in LAYERS) != 1]
    assert not homeless, f"{homeless}: give each a place in LAYERS, and in the map of docs/design.md"
    gone = [p for patterns in (*LAYERS, BESIDE) for p in patterns if not any(matches(n, [p]) for n in CORE_MODULES)]
    assert not gone, f"LAYERS names modules that do not exist: {gone}"


@pytest.mark.parametrize("name", LAYERED)
def test_imports_go_down(name):
    for imported in imported_modules(CORE_MODULES[name], CORE_MODULES):
        if not imported or (name, imported) in EXCEPTIONS:
            continue
        assert not matches(imported, BESIDE), f"{name} imports {imported}, which stands beside the layers"
        assert layer_of(imported) <= layer_of(name), f"{name} imports {imported}, from a layer above"


def test_exceptions_are_needed():
    for name, imported in EXCEPTIONS:
        assert imported in imported_modules(CORE_MODULES[name], CORE_MODULES)


def test_no_cycles():
    graph = defaultdict(set)
    for name in LAYERED:
        graph[name] = {m for m in imported_modules(CORE_MODULES[name], CORE_MODULES) if m and not matches(m, BESIDE)}
    graphlib.TopologicalSorter(graph).prepare()


def test_declarations_are_light():
    light = [name for name in LAYERED if layer_of(name) < layer_of("backend") or matches(name, LAYERS[-1])]
    light += [name for name in CORE_MODULES if matches(name, ["standard.*"])]
    check_import_is_light(", ".join(f"mtkit.{name}" for name in light))


@pytest.mark.parametrize("package", [CORE, *PLUGINS], ids=lambda path: path.name)
def test_tensorflow_comes_in_by_one_door(package):
    for name, path in modules(package).items():
        if path != CORE / "backend.py":
            found = FRAMEWORKS & {module.split(".")[0] for module, _ in imports(path)}
            assert not found, f"{path}: imports {found} past mtkit.backend ({name})"


@pytest.mark.parametrize("package", PLUGINS, ids=lambda path: path.name)
def test_plugins_import_public_names(package):
    for path in modules(package).values():
        for module, name in imports(path):
            if module.split(".")[0] == "mtkit":
                assert not name.startswith("_"), f"{path} imports the private {module}.{name}"
                inner = module.removeprefix("mtkit").lstrip(".") or name
                assert matches(inner, PUBLIC), f"{path} imports mtkit.{inner}, which is not for plugins"


def test_plugins_are_known():
    assert {path.parents[1].name for path in PLUGINS} == set(KNOWN_PLUGINS.values())


def test_tests_mirror_modules():
    tests = ROOT / "tests"
    for path in tests.rglob("test_*.py"):
        name = path.relative_to(tests).with_suffix("")
        if name.parts[0] == "bench" or str(name) in ACROSS:
            continue
        tested = CORE / name.parent / path.name.removeprefix("test_")
        assert tested.is_file(), f"{path}: there is no {tested}; list it in ACROSS if it belongs to no single module"
