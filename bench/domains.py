"""How far the recipes of the domains come on data that are made up: of the way from the plain answer to the planted model.

Runs each recipe as it is, on the data that the run makes, and holds its test figures against `mtkit.synthetic.truth`.
Generators and recipes were set with seed 0 of the data; `--set data.seed=1` makes data that decided nothing.
Prints a line of JSON: recipe -> `seconds` of the run, `smallest_share`, and for each task the metric, the value, what is `plain`
and `planted`, and the `share` of the way; behind it the verdicts beside the best baseline. With `--alone` also the value of each
task in a recipe of its own, `alone`, and the `share_alone` (as many runs more).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mtkit.recipe.alone import alone
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.runs.run import run_recipe
from mtkit.standard.sources import Synthetic
from mtkit.synthetic.domains import domain_of
from mtkit.synthetic.truth import Account, Best
from mtkit.training.interrupt import Signals

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = ("shop", "media", "social", "social_answers", "people", "finance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, help="of recipes")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--alone", action="store_true", help="also each task in a recipe of its own")
    options = parser.parse_args()
    print(json.dumps({name: _measured(name, options.sets, single=options.alone) for name in options.names or NAMES}))


def _measured(name: str, sets: list[str], *, single: bool) -> dict[str, Any]:
    recipe = load_recipe(RECIPES / f"{name}.toml", sets)
    source = recipe.data.source
    assert isinstance(source, Synthetic)
    best = _best(source)
    begin = time.perf_counter()
    found = _run(recipe)
    seconds = round(time.perf_counter() - begin, 1)
    tasks = {task: _held(found["test"], task, best[task]) for task in recipe.task if task in best}
    for task, line in tasks.items():
        if single:
            of_one = _held(_run(alone(recipe, task))["test"], task, best[task])
            line |= {"alone": of_one["value"], "share_alone": of_one["share"]}
        print(f"{name} {task}: {line}", file=sys.stderr, flush=True)
    smallest = min(line["share"] for line in tasks.values())
    return {"seconds": seconds, "smallest_share": smallest, "tasks": tasks, "verdicts": found.get("verdicts")}


def _run(recipe: Recipe) -> dict[str, Any]:
    """What `metrics.json` of a run says."""
    with tempfile.TemporaryDirectory() as folder, Signals() as signals, contextlib.redirect_stdout(sys.stderr):
        run_recipe(recipe, Path(folder) / "run", signals=signals)
        found: dict[str, Any] = json.loads((Path(folder) / "run" / "metrics.json").read_text())
    return found


def _best(source: Synthetic) -> dict[str, Best]:
    domain = domain_of(source.domain)(source)
    account = Account(domain)
    for part in domain.parts():
        account.add(part)
    return account.best()


def _held(values: dict[str, float], task: str, best: Best) -> dict[str, Any]:
    value = values[f"{task}/{best.metric}"]
    return {
        "metric": best.metric, "value": round(value, 4), "plain": round(best.plain, 4),
        "planted": round(best.planted, 4), "share": round(best.share(value), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
