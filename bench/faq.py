"""What the remedies of the FAQ pages do: each page's recipe, plain and with the remedy, on data of several seeds.

A page of `docs/faq` has two commands, the plain one and that with the remedy, and names the metric that is held. Prints a line
of JSON: page -> the metric, its values `plain` and with the `remedy`, and the interval of the difference (Student's t), signed so
that more is better.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe

FAQ = Path(__file__).parents[1] / "docs" / "faq"
SEEDS = (0, 1, 2)
LOWER_IS_BETTER = ("log_loss",)
#: What changes no figure of the model, and takes longer than it.
LESS = ("evaluate.baselines=[]", "export.verify=false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="names of pages; default: all")
    options = parser.parse_args()
    pages = options.pages or sorted(page.stem for page in FAQ.glob("*.md") if page.stem != "README")
    print(json.dumps({page: measured(page) for page in pages}))


def measured(page: str, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """What the two commands of a page reach on data of each seed."""
    metric, (plain, remedy) = parts_of(page)
    values = np.array([[_value(page, sets, seed, metric) for seed in seeds] for sets in (plain, remedy)])
    gain = (values[1] - values[0]) * (-1 if metric.rpartition("/")[2] in LOWER_IS_BETTER else 1)
    reach = stats.t.ppf(0.975, len(seeds) - 1) * gain.std(ddof=1) / np.sqrt(len(seeds))
    found = {
        "metric": metric, "plain": values[0].round(4).tolist(), "remedy": values[1].round(4).tolist(),
        "gain": [round(float(gain.mean() + sign * reach), 4) for sign in (-1, 1)],
    }  # fmt: skip
    print(f"{page}: {found}", file=sys.stderr, flush=True)
    return found


def parts_of(page: str) -> tuple[str, list[list[str]]]:
    """The metric that a page names, and the `--set` options of its two commands."""
    text = (FAQ / f"{page}.md").read_text(encoding="utf-8")
    metric = re.search(r"Held: `([\w/@]+)`", text)
    assert metric is not None, f"{page} names its metric"
    commands = re.findall(r"^\$ (mtkit run .*?)$", text.replace("\\\n", ""), re.MULTILINE)
    assert len(commands) == 2, f"{page} has two commands, without and with the remedy"
    return metric.group(1), [_sets(command) for command in commands]


def _sets(command: str) -> list[str]:
    words = shlex.split(command)
    return [after for word, after in itertools.pairwise(words) if word == "--set"]


def _value(page: str, sets: list[str], seed: int, metric: str) -> float:
    recipe = load_recipe(FAQ / f"{page}.toml", [*sets, *LESS, f"seed={seed}", f"data.seed={seed}"])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        found = run_recipe(recipe, Path(folder) / "run")
    assert found.test is not None, "a run with a model has figures"
    return float(found.test[metric])


if __name__ == "__main__":
    main()
