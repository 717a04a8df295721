"""Whether tasks help one another: ways to share and to balance beside a model for each task, on the test, over seeds.

On one data set: each task alone; and all tasks by a shared bottom, MMoE and PLE, with equal weights, weights tuned on
validation, uncertainty, PCGrad, and that of the other balancers which is best on validation. What is tuned or chosen is so by
the mean AUC of the tasks on validation, with a shared bottom and one seed. Every cell is a run of the recipe (`mtkit run
--seeds`), in a directory of its own, where it is found again: a command that was stopped goes on. Needs MTKIT_DATA.

Prints the tables in Markdown, and a line of JSON: {"data": ..., "chosen": ..., "rows": {model: {task: {"auc": ...,
"difference": ..., "interval": ..., "p": ...}}}, "helped": how many cells are better than the task alone, "harmed": ...}.
Differences are to the task alone, paired by users (rows, where there are none) on the mean over seeds: intervals by bootstrap, p
by Holm's correction for the whole table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
MODELS = {"shared bottom": "shared_bottom", "MMoE": "mmoe", "PLE": "ple"}
#: Balancers of which validation chooses one.
OTHERS = (
    "rlw", "dwa", "famo", "gradnorm", "cagrad", "mgda", "nash_mtl", "imtl_g", "aligned_mtl", "config", "upgrad", "graddrop",
    "db_mtl",
)  # fmt: skip
FACTORS = (1 / 3, 3.0)
EQUAL = "equal"


@dataclass(frozen=True)
class Data:
    """A data set: its recipe, the tasks that share, what else is set or removed, and options of the correlation."""

    recipe: str
    tasks: tuple[str, ...]
    sets: tuple[str, ...] = ()
    unsets: tuple[str, ...] = ("correlation",)
    shared: str = ""


DATA = {
    "adult": Data("recipes/adult.toml", ("income", "never_married")),
    "bank": Data("recipes/benchmarks/bank_marketing.toml", ("deposit", "housing", "loan")),
    "kuairand": Data(
        "recipes/feed.toml", ("click", "long_view", "like"), ('evaluate.slices=["context.tab"]',), unsets=()
    ),
    "complete_journey": Data(
        "recipes/ecommerce.toml",
        ("discounted", "coupon", "multiple", "preference"),
        ('train.epoch_of="lines"', 'evaluate.main="discounted/auc"'),
        ("correlation", "balance"),
        'apply = "each", on = ["household", "words"]',
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--others", nargs="*", choices=OTHERS, default=OTHERS, help="balancers to choose from")
    parser.add_argument("--runs", type=Path, default=REPOSITORY / "runs" / "multi-task-results")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    table = Table(DATA[arguments.data], arguments.runs / arguments.data, arguments.seeds)
    chosen = table.choices(arguments.others)
    rows = table.rows(chosen)
    judged = judge(rows)
    print(markdown(table.data.tasks, judged, table.means))
    for line in slices(rows):
        print(line)
    counts = [cell["p"] < 0.05 and np.sign(cell["difference"]) for row in judged.values() for cell in row.values()]
    print(
        json.dumps(
            {
                "data": arguments.data,
                "chosen": {name: list(sets) for name, sets in chosen.items()},
                "rows": judged,
                "helped": counts.count(1),
                "harmed": counts.count(-1),
            }
        )
    )


class Table:
    """The runs of a data set."""

    def __init__(self, data: Data, runs: Path, seeds: int) -> None:
        self.data, self.runs, self.seeds = data, runs, seeds
        self.means: dict[str, dict[str, tuple[float, float]]] = {}

    def recipe(self, sets: Sequence[str], *, task: str = "") -> Any:
        """The recipe of a cell: of all tasks, or of one."""
        from mtkit.recipe.alone import alone, of_tasks
        from mtkit.recipe.loader import load_recipe

        sets = (*self.data.sets, "evaluate.baselines=[]", *sets)
        given = load_recipe(REPOSITORY / self.data.recipe, sets, self.data.unsets)
        return alone(given, task) if task else of_tasks(given, self.data.tasks)

    def sharing(self, model: str) -> tuple[str, ...]:
        """What makes a model of the recipe; its `experts` are the correlation that every data set has, or gets."""
        options = ", ".join(filter(None, (f'use = "{model}"', self.data.shared)))
        return (f"correlation.experts={{{options}}}",)

    def choices(self, others: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Name -> settings: weights that are tuned, and the best of the other balancers, by validation."""
        weights = {EQUAL: ('balance={use = "fixed"}',)}
        for task in self.data.tasks:
            weights |= {
                f"{task} x {factor:.2g}": (*weights[EQUAL], f"task.{task}.weight={factor}") for factor in FACTORS
            }
        balancers = {name: (f"balance={{use = {name!r}}}",) for name in others}
        return {
            EQUAL: weights[EQUAL],
            "tuned weights": self._best(weights),
            "uncertainty": ('balance={use = "uncertainty"}',),
            "PCGrad": ('balance={use = "pcgrad"}',),
            "chosen": self._best(balancers),
        }

    def _best(self, ways: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        found = {name: self._validated(name, sets) for name, sets in ways.items()}
        best = max(found, key=lambda name: found[name])
        print(f"validation: {best} of {', '.join(f'{name} {value:.4f}' for name, value in found.items())}", flush=True)
        return ways[best]

    def _validated(self, name: str, sets: Sequence[str]) -> float:
        """The mean AUC of the tasks on validation, of one seed."""
        from mtkit.data.columns import load
        from mtkit.recipe.alone import bare
        from mtkit.runs.console import Reporter
        from mtkit.runs.directory import RunDirectory
        from mtkit.runs.hooks import hook_relay
        from mtkit.runs.procedure import Run
        from mtkit.runs.trainer import Trainer
        from mtkit.training.interrupt import Signals

        recipe = bare(self.recipe((*self.sharing("shared_bottom"), *sets)))
        path = self.runs / "validation" / name.replace(" ", "-")
        with silent(path), RunDirectory(path).claimed(resume=path.exists()):
            trainer = Trainer.of(recipe, hook_relay(recipe), Signals())
            run = Run(recipe, load(recipe.data.source), RunDirectory(path), Reporter(), trainer)
            found = run.validate(resume=path.exists()).model or {}
        return float(np.mean([found[f"{task}/auc"] for task in self.data.tasks]))

    def rows(self, chosen: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
        """Model -> task -> sums by user of the mean over seeds; the first model is each task alone."""
        single = [self._run(f"alone-{task}", self.sharing("shared_bottom"), task) for task in self.data.tasks]
        rows = {"each task alone": {path: sums for of in single for path, sums in of.items()}}
        self.means["each task alone"] = {task: self._mean(f"alone-{task}", task) for task in self.data.tasks}
        for model, use in MODELS.items():
            for way, sets in chosen.items():
                name = f"{model}, {way if way != 'chosen' else balancer(sets)}"
                cell = name.replace(" ", "-").replace(",", "")
                rows[name] = self._run(cell, (*self.sharing(use), *sets))
                self.means[name] = {task: self._mean(cell, task) for task in self.data.tasks}
        return rows

    def _run(self, name: str, sets: Sequence[str], task: str = "") -> dict[str, Any]:
        from mtkit.evaluation.user_sums import MODEL, mean_of
        from mtkit.runs.directory import RunDirectory
        from mtkit.runs.run import run_recipe

        path = self.runs / name
        if not (path / "metrics.json").is_file():
            with silent(path):
                run_recipe(self.recipe(sets, task=task), path, seeds=self.seeds, resume=path.exists())
        print(f"done: {name}", flush=True)
        parts = RunDirectory(path).replicates() or [path]
        return dict(mean_of([RunDirectory(part).read_sums() for part in parts])[MODEL])

    def _mean(self, name: str, task: str) -> tuple[float, float]:
        """Mean AUC over seeds, and its standard deviation."""
        found = json.loads((self.runs / name / "metrics.json").read_text(encoding="utf-8"))["test"][f"{task}/auc"]
        return (found["mean"], found["std"]) if isinstance(found, dict) else (found, 0.0)


@contextlib.contextmanager
def silent(path: Path) -> Iterator[None]:
    """What is printed meanwhile goes into a file beside the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".log").open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        yield


def balancer(sets: Sequence[str]) -> str:
    """The name in `balance={use = 'NAME'}`."""
    return sets[0].split("'")[1]


def judge(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Model -> task -> how its AUC differs from that of the task alone."""
    from mtkit.evaluation.significance import holm, paired

    alone, *others = rows
    tasks = [path for path in rows[alone] if path.count("/") == 1]
    cells = [(model, path) for model in others for path in tasks]
    found = [
        next(one for one in paired(path, rows[alone][path], rows[model][path]) if one.key == f"{path}auc")
        for model, path in cells
    ]
    judged: dict[str, dict[str, Any]] = {}
    for (model, path), one, p in zip(cells, found, holm([one.p for one in found]), strict=True):
        judged.setdefault(model, {})[path[:-1]] = {
            "auc": one.values[1],
            "difference": one.difference,
            "interval": list(one.interval),
            "p": p,
        }
    return judged


def markdown(
    tasks: Sequence[str],
    judged: Mapping[str, Mapping[str, Any]],
    means: Mapping[str, Mapping[str, tuple[float, float]]],
) -> str:
    """AUC as mean ± standard deviation over seeds, the difference to the task alone, and a star where p < .05."""
    lines = ["| model | " + " | ".join(tasks) + " | mean difference |", "|---|" + "---|" * (len(tasks) + 1)]
    for model, of in means.items():
        cells = []
        for task in tasks:
            cell = "{:.4f} ± {:.4f}".format(*of[task])
            if model in judged:
                one = judged[model][task]
                cell += f" ({one['difference']:+.4f}{'*' if one['p'] < 0.05 else ''})"
            cells.append(cell)
        mean = f"{np.mean([judged[model][task]['difference'] for task in tasks]):+.4f}" if model in judged else ""
        lines.append(f"| {model} | {' | '.join(cells)} | {mean} |")
    return "\n".join(lines)


def slices(rows: Mapping[str, Mapping[str, Any]], most: int = 5) -> Iterator[str]:
    """AUC of each slice, of those with most rows, of a table of its own for each task."""
    paths = [path for path in next(iter(rows.values())) if path.count("/") > 1]
    for task in dict.fromkeys(path.split("/")[0] for path in paths):
        largest = sorted((path for path in paths if path.startswith(f"{task}/")), key=lambda path: -weight(rows, path))[
            :most
        ]
        yield f"\n{task}\n\n| model | " + " | ".join(path.split("/")[1] for path in largest) + " |"
        yield "|---|" + "---|" * len(largest)
        for model, parts in rows.items():
            yield f"| {model} | " + " | ".join(f"{value(parts[path]):.4f}" for path in largest) + " |"


def weight(rows: Mapping[str, Mapping[str, Any]], path: str) -> float:
    return float(next(iter(rows.values()))[path].rows.sum())


def value(sums: Any) -> float:
    return float(sums.totals["auc"].sum() / sums.weights["auc"].sum())


if __name__ == "__main__":
    main()
