import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from toy_components import COMPONENTS, RECIPE

import mtkit
from mtkit.cli import program as cli
from mtkit.errors import DataError

HEAVY = {"tensorflow", "tf_keras", "keras", "numpy", "pandas", "pyarrow", "sklearn", "transformers", "torch"}
PROGRAM = f"""\
import json, sys
from mtkit.cli.program import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}} & {HEAVY!r})), file=sys.stderr)
"""


@pytest.fixture
def mtkit_program(tmp_path):
    """Runs the program with the toy components installed as names `toy_...`; also returns seconds and heavy modules."""
    site = tmp_path / "site"
    (site / "toys-1.2.dist-info").mkdir(parents=True)
    (site / "toys-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.2\n")
    lines = [
        f"[mtkit.{kind}]\ntoy_{name} = toy_components:{value.__name__}" for (kind, name), value in COMPONENTS.items()
    ]
    broken = "[mtkit.encoder]\ntoy_broken = no_such_module:X"
    (site / "toys-1.2.dist-info/entry_points.txt").write_text("\n".join([*lines, broken]))
    recipe = RECIPE.replace('use = "', 'use = "toy_').replace('metrics = ["', 'metrics = ["toy_')
    recipe = recipe.replace('["popularity"', '["toy_popularity"')
    recipe += '[balance]\nuse = "toy_fixed"\n[export]\nuse = "toy_saved_model"\n[train]\nstrategy = "toy_auto"\n'
    (tmp_path / "toy.toml").write_text(recipe)
    paths = [site, Path(__file__).parents[1], Path(mtkit.__file__).parents[1]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}

    def run(*arguments):
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        *_, modules = done.stderr.strip().splitlines()
        return done, seconds, json.loads(modules)

    return run


def test_help_is_fast_and_light(mtkit_program):
    runs = [mtkit_program("--help") for _ in range(3)]
    done, _, heavy = runs[0]
    assert done.returncode == 0
    assert "check " in done.stdout
    assert heavy == []
    assert min(seconds for _, seconds, _ in runs) < 0.5


def test_fast_check_is_fast_and_light(mtkit_program):
    runs = [mtkit_program("check", "--fast", "toy.toml") for _ in range(3)]
    done, _, heavy = runs[0]
    assert done.returncode == 0, done.stderr
    assert "task next: toy_retriever" in done.stdout
    assert heavy == []
    assert min(seconds for _, seconds, _ in runs) < 1


def test_a_mistake_is_text_and_exit_code_2(mtkit_program):
    done, _, _ = mtkit_program("check", "--fast", "toy.toml", "--set", "encoder.user.use=toy_broken", "--unset", "seed")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("--unset: seed: the recipe has no such key")
    done, _, _ = mtkit_program("check", "--fast", "toy.toml", "--set", "encoder.user.use=toy_broken")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "--set: encoder.user.use: encoder 'toy_broken' of toys 1.2 (no_such_module:X) is broken"
    )
    assert "Traceback" not in done.stderr


def test_plugins_lists_without_importing(mtkit_program):
    done, _, heavy = mtkit_program("plugins")
    assert done.returncode == 0
    assert heavy == []
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["encoder", "toy_broken", "toys", "1.2"] in rows
    assert ["split", "time", "mtkit", mtkit.__version__] in rows
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_plugins_show(mtkit_program):
    done, _, heavy = mtkit_program("plugins", "show", "toy_deep")
    assert heavy == []
    assert done.stdout.splitlines()[:6] == [
        "encoder toy_deep",
        "  toy_components:Deep, toys 1.2",
        "",
        "  Has an option of every type that TOML can say.",
        "",
        "  reads: tuple[Address, ...]; length >= 1; required",
    ]
    assert "  mode: 'frozen' | 'lora' | 'full'; default 'frozen'\n      what is trained\n" in done.stdout
    assert "  span: timedelta | None; default None\n" in done.stdout
    assert "  dim: int; > 0; default 64\n      width of the embedding\n" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    done, _, _ = mtkit_program("plugins", "show", "toy_deap")
    assert done.returncode == 2
    assert done.stderr.startswith("no component is named 'toy_deap'; did you mean 'toy_deep'?")


def test_plugins_check_names_what_is_broken(monkeypatch):
    from toy_components import entry, toy_entries

    from mtkit.recipe.registry import Registry

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr(Registry, "installed", lambda: Registry(e for e in toy_entries() if e.name != "mistaken"))
    result = CliRunner().invoke(cli.main, ["plugins", "--check"])
    assert result.exit_code == 0, result.output
    assert f"all {len(COMPONENTS) - 1} can be imported" in result.output
    result = CliRunner().invoke(cli.main, ["plugins", "--kind", "encoder", "--word", "TOML"])
    assert result.output.split() == ["encoder", "deep", "toys", "1.2"]
    assert "did you mean 'encoder'?" in CliRunner().invoke(cli.main, ["plugins", "--kind", "encodr"]).stderr
    monkeypatch.setattr(Registry, "installed", lambda: Registry([entry("encoder", "bad", "no_such_module:X")]))
    result = CliRunner().invoke(cli.main, ["plugins", "--check"])
    assert result.exit_code == 2
    assert "encoder 'bad' of toys 1.2 (no_such_module:X) is broken: ModuleNotFoundError" in result.stderr


def test_commands_are_imported_when_used():
    code = (
        "import sys, mtkit.cli.program; print([name for name in sys.modules if name.startswith('mtkit.cli.commands.')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    runner = CliRunner()
    assert runner.invoke(cli.main, ["--version"]).output == f"mtkit, version {mtkit.__version__}\n"
    assert "No such command 'chek'" in runner.invoke(cli.main, ["chek"]).output
    assert "No such command '_options'" in runner.invoke(cli.main, ["_options"]).output


@pytest.mark.filterwarnings("default")
def test_warnings_for_users_are_without_code(monkeypatch):
    @click.command()
    def command():
        warnings.warn("3 of 9 items have no vector", stacklevel=1)
        warnings.warn("for those who write code", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: command)
    with pytest.warns(DeprecationWarning, match="for those who write code"):
        result = CliRunner().invoke(cli.main, ["any"])
    assert result.stderr == "warning: 3 of 9 items have no vector\n"


@pytest.mark.parametrize(("error", "shown"), [(DataError("no rows; got 0"), True), (ValueError("a bug"), False)])
def test_only_mistakes_of_the_user_lose_their_traceback(monkeypatch, error, shown):
    @click.command()
    def command():
        raise error

    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: command)
    result = CliRunner().invoke(cli.main, ["any"])
    assert (result.exit_code, result.stderr) == ((2, "no rows; got 0\n") if shown else (1, ""))
    assert (result.exception is error) != shown


class ResourceExhaustedError(Exception):
    """As TensorFlow names its own."""


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "the system gave no more"),
        (MemoryError("Unable to allocate 9 TiB"), "Unable to allocate 9 TiB"),
        (ResourceExhaustedError("OOM\nx"), "OOM"),
        (
            ResourceExhaustedError(
                "Exception encountered when calling layer 'experts' (type Dense).\n\n{{function_node __wrapped__Mul}} "
                "OOM when allocating tensor with shape[9,9] [Op:Mul]\n\nCall arguments received"
            ),
            "OOM when allocating tensor with shape[9,9] [Op:Mul]",
        ),
    ],
)
def test_memory_that_is_not_enough_is_one_message(monkeypatch, error, what):
    @click.command()
    def command():
        raise error

    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: command)
    result = CliRunner().invoke(cli.main, ["any"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"out of memory: {what}\nlower rows.*.batch_size, `dim`, `length` or `units`")
    assert "Traceback" not in result.output
