import os
import subprocess
import sys

import pytest

#: Sends a signal to the process itself as soon as a module is imported for the first time.
PROGRAM = """\
import builtins, os, signal, sys
at, number, imports = sys.argv.pop(1), int(sys.argv.pop(1)), builtins.__import__

def watched(name, *rest, **more):
    if name.partition(".")[0] == at:
        builtins.__import__ = imports
        os.kill(os.getpid(), number)
    return imports(name, *rest, **more)

builtins.__import__ = watched
from mtkit.cli.entry import main
main()
"""
INT, TERM = 2, 15


@pytest.mark.parametrize(
    ("words", "module", "number"),
    [
        ("--help", "click", INT),
        ("plugins", "textwrap", INT),
        ("check RECIPE", "pydantic", INT),
        ("check RECIPE", "tensorflow", TERM),
        ("run RECIPE", "click", INT),
        ("run RECIPE", "tensorflow", INT),
        ("baselines RECIPE", "pyarrow", INT),
        ("evaluate RUN", "tensorflow", INT),
        ("export RUN", "tf_keras", INT),
        ("recommend RUN --user 105", "numpy", INT),
        ("compare RUN", "pandas", TERM),
    ],
)
def test_a_signal_is_one_line_and_its_code(tiny_recipe, tiny_run, tmp_path, words, module, number):
    words = words.replace("RECIPE", str(tiny_recipe)).replace("RUN", str(tiny_run)).split()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, str(number), *words],
        capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), check=False,
    )  # fmt: skip
    name = {INT: "SIGINT", TERM: "SIGTERM"}[number]
    stopped = f"{name}: stopped"
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr.lstrip().startswith(stopped), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


#: Sends a signal to the process itself when a function is called for the first time.
CALLED = """\
import os, signal, sys
at, number = sys.argv.pop(1), int(sys.argv.pop(1))

def watched(frame, event, argument):
    if event == "call" and frame.f_code.co_qualname == at:
        sys.setprofile(None)
        os.kill(os.getpid(), number)

sys.setprofile(watched)
from mtkit.cli.entry import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "function"),
    [
        ("baselines RECIPE", "find_leaks"),
        ("baselines RECIPE", "Comparison.results"),
        ("evaluate RUN", "Checkpoints.restore"),
        ("evaluate RUN", "evaluate"),
        ("export RUN", "assemble"),
        ("export RUN", "tensor_names"),
        ("recommend RUN --user 105", "Servant.recommend"),
        ("compare RUN", "compare_runs"),
        ("check RECIPE", "check_full"),
        ("plugins show time", "_component"),
    ],
)
def test_a_command_that_is_stopped_amid_its_work_leaves_nothing(tiny_recipe, tiny_run, tmp_path, words, function):
    before = sorted(tiny_run.rglob("*"))
    words = words.replace("RECIPE", str(tiny_recipe)).replace("RUN", str(tiny_run)).split()
    done = subprocess.run(
        [sys.executable, "-c", CALLED, function, str(INT), *words],
        capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (130, "SIGINT: stopped")
    assert "Traceback" not in done.stderr
    assert sorted(tiny_run.rglob("*")) == before
    assert [path for path in tmp_path.glob("runs/*") if path.is_dir()] == []


def test_without_a_signal_it_is_the_command_line(tmp_path):
    code = "from mtkit.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "no.toml"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (2, "no.toml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=str,
)
def test_threads_of_openmp_wait_shortly_unless_the_user_says_otherwise(own, expected):
    """Those of scikit-learn, which is loaded later."""
    code = (
        "import os, sys; from mtkit.cli.entry import main; sys.argv = ['mtkit', '--version']\n"
        "try: main()\n"
        "except SystemExit: print(os.environ.get('GOMP_SPINCOUNT'), 'sklearn' in sys.modules)"
    )
    rest = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", code], env=rest | own, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{expected} False"
