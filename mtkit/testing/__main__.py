"""`python -m mtkit.testing DISTRIBUTION`: what `mtkit plugins test` starts, so that foreign code has a process of its own."""

import sys

from mtkit.errors import MtkitError
from mtkit.shown import shown
from mtkit.testing.suite import results


def main(distribution: str) -> int:
    """Prints a line for each check; 1 if one failed, 2 if there is nothing to check."""
    failed = total = 0
    try:
        for result in results(distribution):
            word = "skipped" if result.skipped else "failed" if result.failure else "passed"
            said = result.skipped or result.failure
            sys.stdout.write(
                shown(f"{word}  {result.entry.kind} {result.entry.name}: {result.check}{': ' if said else ''}{said}")
                + "\n"
            )
            sys.stdout.flush()
            failed, total = failed + bool(result.failure), total + 1
    except MtkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{total - failed} of {total} checks hold\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
