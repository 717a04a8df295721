"""What the command `mtkit` starts: Ctrl-C and SIGTERM end it with one line, even while modules are imported."""

from __future__ import annotations

import os
import sys

from mtkit.training.interrupt import Interrupted, Signals


def main() -> None:
    """Runs the command line; a signal is one line and the shell's code for it, 130 or 143."""
    # OpenMP, under scikit-learn's trees, reads it when it is loaded. Its threads spin while they wait for one another: beside
    # other work on the same cores a small fit took 25 s so, and 1.2 s with threads that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with Signals():
            from mtkit.cli.program import main as program

            program(prog_name="mtkit")
    except Interrupted as stop:
        print(f"{stop}: stopped", file=sys.stderr)  # noqa: T201 - click may not be there yet
        sys.exit(stop.exit_code)
