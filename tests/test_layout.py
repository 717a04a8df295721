"""The house keeps its order: who may import whom, where TensorFlow comes in, which test belongs to which module."""

import ast
import configparser
import graphlib
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mtkit
from mtkit.recipe.registry import KNOWN_PLUGINS
from mtkit.testing import check_import_is_light

ROOT = Path(mtkit.__file__).parents[1]
CORE, TESTS = ROOT / "mtkit", ROOT / "tests"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/*"))

#: The way of a run. A room imports from itself, without cycles, and from those before it; imports for type checking count.
ROOMS = (
    "spec", "recipe", "data", "draft", "synthetic", "evaluation", "profile", "runtime", "feed", "heads", "layers", "model",
    "training", "serving", "runs", "report", "scaffold", "cli",
)  # fmt: skip
#: From this room on, TensorFlow may be imported.
TENSORFLOW = "runtime"
#: Rooms after it that do without: they read what runs keep.
WITHOUT_TENSORFLOW = ("report",)
#: Built-in components and the conformance kit stand beside the rooms, like plugins: nothing of the core needs them.
BESIDE = ("standard", "testing", "components", "__main__")
#: Files at the top that all rooms stand on; they import one another alone.
GROUND = ("shown", "errors", "types", "conditions", "allowed", "declared", "schema", "files", "durations", "backend")
#: Public names of what is in a room: files at the top that import from it, and nothing in the rooms imports them.
FACES = {
    "distribute": "runtime",
    "optimizers": "runtime",
    "hooks": "runs",
    "callbacks": "training",
    "plots": "report",
}
#: What plugins may import; documented in docs/plugins.md.
PUBLIC = (
    "backend", "callbacks", "distribute", "errors", "files", "heads", "hooks", "layers.*", "optimizers", "schema", "shown",
    "spec", "testing", "types",
)  # fmt: skip
FRAMEWORKS = {"tensorflow", "tf_keras", "keras"}
#: Tests that belong to no single module.
ACROSS = {
    "data/test_as_of": "what is known at a moment, through all that makes rows",
    "runs/test_auxiliary_losses": "losses beside those of tasks, through a run",
    "runs/test_baselines_alone": "runs without a model",
    "model/test_cut": "where tasks part, in models of all correlations",
    "model/test_gradient_steps": "balancers, in a model",
    "test_clean_recipes": "cleaners, from the recipe to the result",
    "test_docs": "the documentation",
    "test_domain_recipes": "the recipes of the domains, on data that are made, through runs and an export",
    "test_layout": "the house",
    "test_main_recipe": "a recipe on real data",
    "test_memory_limits": "memory that runs out, through the command line",
    "test_newcomers": "users without a past, and ids without a row, through a run",
    "test_sequences": "rows in sequences, in all that trains on them and serves",
    "serving/test_suitability": "lists that are bounded by who gets them, through an export and what is measured",
    "profile/test_known_data": "all checks of data, on data that are known",
    "test_masked_rows": "rows without a label, in all that counts rows",
    "test_mistakes": "messages, through the command line",
    "test_fuzz": "data files and recipes of all kinds, drawn",
    "test_retrieval_draws": "what heads draw in steps, through training on one replica and two",
    "test_label_forms": "heads of counts, ordered classes and pairs, and options of losses, through a run and an export",
    "test_lists": "columns of lists, through a run and an export",
    "test_multi_label": "a kind of label, through a run and an export",
    "test_named_events": "conditions of recipes, from the text to the export",
    "test_notebooks": "the documentation, as notebooks",
    "test_numeric_labels": "a kind of label, through a run",
    "test_plugins": "plugins that fail, and files of plugins, through a run",
    "test_preprocessing": "what preprocessors make of columns, through a run and an export",
    "test_open_heads": "a head of a form that the core does not know, through a run",
    "test_past_events": "what is known of past events, through a run and an export",
    "test_recipes": "the recipes of the repository",
    "test_registry_snapshot": "names of all components",
    "test_roles": "two roles of one entity, through a run",
    "test_rows_of_events": "conditions of all kinds of rows, against pandas",
    "test_secrets": "what is shown of the environment and of data, through the command line",
    "test_self_supervised": "a kind of head, through a run",
    "test_site": "the documentation, as a site",
    "test_sharing": "what holds of all layers that share between tasks",
    "test_target_statistics": "statistics of earlier events, through a run and an export",
    "test_weights": "what rows count, in losses, metrics, baselines and a run",
    "test_weights_of_files": "weights as columns of files, from the recipe to the results",
}
#: Modules without a test of their name, and what tests them.
UNTESTED = {
    "recipe.monotone_checks": "standard/test_monotone_encoder: mistakes of recipes whose predictions are held to a direction",
    "__main__": "recipe/test_plugin_files: `python -m mtkit`",
    "backend": "cli/test_program, test_memory_limits: what importing it after Keras 3, or with no room, says, by processes",
    **dict.fromkeys(
        (
            "cli.commands._options",
            "cli.commands.baselines",
            "cli.commands.check",
            "cli.commands.compare",
            "cli.commands.data",
            "cli.commands.diff",
            "cli.commands.doctor",
            "cli.commands.evaluate",
            "cli.commands.explain",
            "cli.commands.plugins",
            "cli.commands.prepare",
            "cli.commands.profile",
            "cli.commands.ls",
            "cli.commands.recommend",
            "cli.commands.report",
            "cli.commands.search",
            "cli.commands.tasks",
            "cli.commands.verify",
            "cli.traces",
        ),
        "cli/test_program, and the tests of what they call: commands only parse and print",
    ),
    **dict.fromkeys(
        (
            "errors",
            "schema",
            "types",
            "spec.base",
            "spec.callbacks",
            "spec.cleaning",
            "spec.data",
            "spec.evaluation",
            "spec.heads",
            "spec.prediction_heads",
            "spec.retrieval_heads",
            "spec.self_supervised_heads",
            "spec.model",
            "spec.published",
            "spec.serving",
            "spec.statistics",
            "heads.base",
            "feed.batch",
            "feed.interface",
        ),
        "declarations: recipe/test_loader, recipe/test_static_checks, test_roles and the conformance kit",
    ),
    **dict.fromkeys(
        ("heads.prediction", "heads.retrieval", "heads.self_supervised", "layers.task_states", "layers.training_step"),
        "model/test_multi_task, which trains heads of all forms, and steps of its own",
    ),
    "training.recipe_callbacks": "test_plugins",
    "scaffold.templates": "scaffold/test_new, which makes every kind",
    **dict.fromkeys(("draft.words", "draft.facts"), "draft/test_columns and draft/test_roles, on files"),
    **dict.fromkeys(("draft.declarations", "draft.outline", "draft.toml_text"), "draft/test_recipe_text"),
    **dict.fromkeys(
        (
            "data.out_of_core",
            "data.out_of_core_rows",
            "data.prepared",
            "data.prepared_features",
            "data.prepared_rows",
        ),
        "runs/test_preparing",
    ),
    "data.kept_weights": "training/test_warm_start and runs/test_origins",
    "layers.axes": "model/test_named_weights and training/test_warm_start",
    "data.feature_scopes": "data/test_fit_features and evaluation/test_baseline_tuning",
    **dict.fromkeys(("profile.findings", "profile.view"), "profile/test_survey, and the tests of all checks"),
    **dict.fromkeys(("runs.claim", "runs.kept_files"), "runs/test_directory"),
    "runs.procedure": "runs/test_run and runs/test_baselines_alone",
    "runs.results": "runs/test_run: what is written is read again",
    "runs.trainer": "runs/test_run",
    "data.row_cleaning": "standard/test_row_cleaners, against plain Python",
    "data.column_cleaning": "standard/test_column_cleaners, against plain Python",
    "data.derived_columns": "standard/test_derived_columns, against plain Python",
    "data.item_vectors": "standard/test_ranking_metrics and standard/test_baselines",
    "data.purchases": "data/test_known_as_of, against a slow implementation",
    "data.row_tables": "test_mistakes: what tables lack for their tasks",
    "model.contracts": "model/test_component_probe",
    "model.assembly": "model/test_multi_task, and every test that trains",
    "model.forward": "model/test_multi_task",
    "recipe.condition_checks": "test_named_events",
    "serving.request_past": "test_past_events",
    "serving.request_statistics": "test_target_statistics",
    **dict.fromkeys(
        ("recipe.drafts", "recipe.column_checks", "recipe.name_checks"),
        "recipe/test_static_checks, which asks them all",
    ),
    **dict.fromkeys(("recipe.component_reader", "recipe.reader"), "recipe/test_loader"),
    "recipe.hide_checks": "model/test_hiding",
    "recipe.settings": "recipe/test_loader",
    "recipe.source_text": "recipe/test_loader",
    "recipe.validation": "recipe/test_loader",
    "runs.progress": "runs/test_console",
    "runs.questions": "runs/test_answers",
    "runs.explanation_table": "runs/test_explaining",
    **dict.fromkeys(("runs.tensorboard_log", "runs.mlflow_log", "runs.mlflow_model"), "standard/test_trackers"),
    **dict.fromkeys(("runs.task_report", "runs.task_tables"), "runs/test_tasks"),
    "runs.search_tables": "runs/test_search",
    "data.labels_ahead": "standard/test_label_cleaners",
    "recipe.edit": "recipe/test_alone, recipe/test_search_space",
    "recipe.search_settings": "recipe/test_search_space",
    "runs.replicates": "runs/test_run",
    "serving.request_features": "serving/test_servable",
    "serving.ask_alone": "serving/test_reload, which runs it",
    "serving.signature_set": "serving/test_servable and serving/test_export",
    "serving.signature": "serving/test_export",
    "standard.decision_metrics": "standard/test_prediction_metrics",
    "standard.factor_baselines": "standard/test_baselines",
    "standard.neighbor_baselines": "standard/test_baselines",
    **dict.fromkeys(
        tuple(f"synthetic.{name}" for name in ("domain", "finance", "media", "shop", "social", "words")),
        "synthetic/test_domains, which makes all of them, and synthetic/test_texts",
    ),
    **dict.fromkeys(("synthetic.settings", "synthetic.truth"), "synthetic/test_domains and synthetic/test_writing"),
    **dict.fromkeys(
        (
            "report.charts",
            "report.records",
            "report.drawing",
            "report.findings",
            "report.good",
            "report.trust",
            "report.course",
            "report.weak",
            "report.recommended",
            "report.learned",
            "report.cost",
            "report.declared",
            "report.kept",
            "report.list_checks",
            "report.measures",
            "report.numbers",
            "report.prediction_checks",
            "report.protocol_checks",
            "report.result_checks",
            "report.training_checks",
            "cli.commands.report",
            "runs.evidence",
            "recipe.report_checks",
        ),
        "report/test_checks, report/test_page, and runs/test_run, which writes a report",
    ),
    "testing.made_up": "testing/test_suite, which is made of it",
    "testing.__main__": "testing/test_suite, whose checks it prints",
    "training.checkpoints": "training/test_fit, and runs/test_run: runs that are killed",
}


def modules(package):
    """Name below the package -> path."""
    paths = {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py")}
    return {name.removesuffix("__init__").rstrip("."): path for name, path in paths.items()}


def imports(path):
    """(module, name) of every import, those inside functions and those for type checking included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def imported_modules(path):
    """Modules of the core that a file imports, by name below the core."""
    for module, name in imports(path):
        package, _, inner = module.partition(".")
        if package == "mtkit":
            full = f"{inner}.{name}".lstrip(".")
            yield full if full in MODULES else inner


def matches(name, patterns):
    return any(name == p or (p.endswith(".*") and f"{name}.".startswith(p[:-1])) for p in patterns)


def room_of(name):
    return name.partition(".")[0]


MODULES = modules(CORE)
FLOORS = dict.fromkeys(GROUND, -1) | {room: number for number, room in enumerate(ROOMS)}
IN_ROOMS = sorted(name for name in MODULES if room_of(name) in FLOORS)


def test_everything_is_in_a_room():
    known = {"", *GROUND, *FACES, *ROOMS, *BESIDE}
    homeless = {room_of(name) for name in MODULES} - known
    assert not homeless, f"{homeless}: put each into a room, or make a room with a place in ROOMS and in docs/design.md"
    assert not {name for name in known if name and name not in MODULES}


@pytest.mark.parametrize("name", IN_ROOMS)
def test_imports_go_down(name):
    for imported in filter(None, imported_modules(MODULES[name])):
        room = room_of(imported)
        assert room not in BESIDE, f"{name} imports {imported}, which stands beside the rooms"
        assert room not in FACES, f"{name} imports {imported}; inside, import from mtkit.{FACES[room]}"
        assert FLOORS[room] <= FLOORS[room_of(name)], f"{name} imports {imported}, from a room after it"


@pytest.mark.parametrize("name", FACES)
def test_a_face_shows_its_room(name):
    assert {room_of(imported) for imported in imported_modules(MODULES[name])} == {FACES[name]}


def test_no_cycles():
    graph = {name: set(filter(None, imported_modules(MODULES[name]))) - {name} for name in IN_ROOMS}
    faces = {room for room in ROOMS if MODULES[room].read_text().count("import")}
    for name, imported in graph.items():
        assert room_of(name) not in imported & faces, f"{name} imports its own room; import from its modules"
    graphlib.TopologicalSorter(graph).prepare()


def test_declarations_are_light():
    light = [
        name
        for name in MODULES
        if room_of(name) in ("errors", "types", "schema", "hooks", "spec", "recipe", "cli", *BESIDE[:1])
    ]
    check_import_is_light(", ".join(f"mtkit.{name}" for name in light))


@pytest.mark.parametrize("package", [CORE, *PLUGINS], ids=lambda path: path.name)
def test_tensorflow_comes_in_by_one_door(package):
    for name, path in modules(package).items():
        if path != CORE / "backend.py":
            found = FRAMEWORKS & {module.split(".")[0] for module, _ in imports(path)}
            assert not found, f"{path}: imports {found} past mtkit.backend ({name})"


def test_tensorflow_comes_in_late():
    late = set(ROOMS[FLOORS[TENSORFLOW] :]) - {*WITHOUT_TENSORFLOW}
    early = [name for name in IN_ROOMS if room_of(name) in {*ROOMS} - late]
    names = ", ".join(f"mtkit.{name}" for name in early)
    code = f"import sys, {names}; assert not {FRAMEWORKS!r} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", PLUGINS, ids=lambda path: path.name)
def test_plugins_import_public_names(package):
    for path in modules(package).values():
        for module, name in imports(path):
            if module.split(".")[0] == "mtkit":
                assert not name.startswith("_"), f"{path} imports the private {module}.{name}"
                inner = module.removeprefix("mtkit").lstrip(".") or name
                assert matches(inner, PUBLIC), f"{path} imports mtkit.{inner}, which is not for plugins"


def declared(package):
    """Distributions that the one of a package asks for, by their normal names."""
    if package == CORE:
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg", encoding="utf-8")
        extras = setup["options.extras_require"]
        options = (extras[name] for name in ("search", "tensorboard", "mlflow"))
        lines = [line for part in (setup["options"]["install_requires"], *options) for line in part.split("\n")]
    else:
        project = tomllib.loads((package.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = project["dependencies"]
    return {canonicalize_name(Requirement(line).name) for line in lines if line}


@pytest.mark.parametrize("package", [CORE, *PLUGINS], ids=lambda path: path.name)
def test_what_is_imported_is_declared(package):
    """A distribution that comes along with another one today need not come tomorrow."""
    offers = {"mlflow": ["mlflow-skinny"], **metadata.packages_distributions()}  # which need not be installed
    imported = {module.split(".")[0] for path in modules(package).values() for module, _ in imports(path)}
    for name in imported - sys.stdlib_module_names - {package.name}:
        distributions = {canonicalize_name(one) for one in offers.get(name, [name])}
        assert distributions & declared(package), f"{package.name} imports {name}, which is not declared"


def test_plugins_are_known():
    assert {path.parents[1].name for path in PLUGINS} == set(KNOWN_PLUGINS.values())


def existing_tests():
    """Name below the tests, without those of the benchmarks."""
    names = (path.relative_to(TESTS).with_suffix("") for path in TESTS.rglob("test_*.py"))
    return {name.as_posix() for name in names if name.parts[0] != "bench"}


def name_of_test(module):
    *rooms, name = module.split(".")
    return "/".join((*rooms, f"test_{name}"))


def test_tests_mirror_modules():
    expected = {name_of_test(name) for name, path in MODULES.items() if path.stem != "__init__"}
    lost = existing_tests() - expected - ACROSS.keys()
    assert not lost, f"{lost}: no module has these names; list them in ACROSS if they belong to no single module"
    assert not ACROSS.keys() - existing_tests()


def test_modules_have_tests():
    bare = {
        name
        for name, path in MODULES.items()
        if path.stem != "__init__" and name_of_test(name) not in existing_tests() and name not in FACES
    }
    assert bare == UNTESTED.keys()
