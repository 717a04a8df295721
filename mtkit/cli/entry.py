"""What the command `mtkit` starts: Ctrl-C and SIGTERM end it with one line, even while modules are imported."""

from __future__ import annotations

import sys

from mtkit.training.interrupt import Interrupted, Signals


def main() -> None:
    """Runs the command line; a signal is one line and the shell's code for it, 130 or 143."""
    try:
        with Signals():
            from mtkit.cli.program import main as program

            program(prog_name="mtkit")
    except Interrupted as stop:
        print(f"{stop}: stopped", file=sys.stderr)  # noqa: T201 - click may not be there yet
        sys.exit(stop.exit_code)
