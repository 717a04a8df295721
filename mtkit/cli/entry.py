"""What the command `mtkit` starts: Ctrl-C and SIGTERM end it with one line, even while modules are imported."""

from __future__ import annotations

import os
import sys

from mtkit.training.interrupt import Interrupted, Signals


def main() -> None:
    """Runs the command line; a signal is one line and the shell's code for it, 130 or 143."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # GNU's OpenMP, under scikit-learn's trees, reads it when it is loaded: how long threads spin that wait for one another
        # until they sleep. By default that is so long that small fits stall beside other work on the same cores; not to spin
        # at all takes twice the time of large fits on free ones (bench/waiting_threads.py).
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        with Signals():
            from mtkit.cli.program import main as program

            program(prog_name="mtkit")
    except Interrupted as stop:
        print(f"{stop}: stopped", file=sys.stderr)  # noqa: T201 - click may not be there yet
        sys.exit(stop.exit_code)
