"""Memory that is limited and runs out, for real: every command ends with one message that says what to do."""

import resource
import subprocess
import sys

import pytest

GB = 2**30
CROWD = "data.users=20000", "data.items=20000", "data.lines=200000"
MAIN = "from mtkit.cli.entry import main; main()"
LOWER = "lower rows.*.batch_size, `dim`, `length` or `units`"


@pytest.fixture
def limited(tiny_recipe, tmp_path):
    """`limited(gigabytes, command, *sets)` runs a command on the tiny recipe with a limit of addresses; what it says."""

    def run(gigabytes, command, *sets):
        limit = int(gigabytes * GB)
        done = subprocess.run(
            [sys.executable, "-c", MAIN, command, tiny_recipe, "--run-dir", tmp_path / "run"]
            + [word for one in sets for word in ("--set", one)],
            capture_output=True, text=True, cwd=tmp_path, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "run/recipe.lock.toml").exists()
        return done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gigabytes", "command", "sets", "beginning", "advice"),
    [
        (0.3, "baselines", [], "out of memory: ", "not even the libraries can be loaded; raise the limit"),
        (1.5, "baselines", ["data.lines=60000000"], "out of memory: Unable to allocate ", LOWER),
        (3, "baselines", [*CROWD, "evaluate.block=1000000"], "about ", "lower evaluate.block"),
        (2, "run", [], "TensorFlow alone takes 2.7 GB of addresses", "raise that limit"),
        (
            8,
            "run",
            ["encoder.customer.dim=20000000", "correlation.experts.residual=false"],
            "about ",
            "lower its `dim`",
        ),
        (
            8,
            "run",
            ["correlation.experts.units=2000000", "correlation.experts.residual=false"],
            "out of memory: OOM when allocating tensor with shape",
            LOWER,
        ),
    ],
)
def test_what_runs_out_is_one_message(limited, gigabytes, command, sets, beginning, advice):
    said = limited(gigabytes, command, *sets)
    assert said.startswith(beginning)
    assert advice in said
    assert len(said.splitlines()) <= 4
