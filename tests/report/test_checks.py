"""Every check finds what is planted, and nothing in a run without faults."""

import numpy as np
import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.report_checks import REPORT_CHECKS
from mtkit.report.checks import checked
from mtkit.report.findings import codes
from mtkit.report.kept import KeptRun


def verdict(run, task, **changed):
    line = next(line for line in run.metrics["verdicts"] if line["task"] == task)
    line.update(changed)
    return line


def worse_than_constant(run):
    run.metrics["test"]["gift/auc"] = 0.46


def worse(run):
    verdict(run, "next", verdict="worse", difference=-0.1, relative=-0.2)


def not_told_apart(run):
    verdict(run, "gift", verdict="not told apart")


def trees(run):
    for of in (run.metrics["baselines"], run.metrics["intervals"]["baselines"]):
        of["gradient_boosting"] = {}
    run.metrics["baselines"]["gradient_boosting"]["gift/auc"] = 0.9
    run.metrics["intervals"]["baselines"]["gradient_boosting"]["gift/auc"] = [0.88, 0.92]


def no_baseline(run):
    verdict(
        run,
        "department",
        verdict="no baseline",
        baseline=None,
        value=None,
        difference=None,
        relative=None,
        interval=None,
    )


def few_users(run):
    run.users = 12


def wide(run):
    run.metrics["intervals"]["test"]["department/accuracy"] = [0.4, 0.95]


def promised(run):
    run.metrics["valid"]["model"]["next/ndcg@3"] = 0.9


def seeds(run):
    run.seeds = {"next/ndcg@3": [0.3, 0.5, 0.7]}


def too_good(run):
    run.metrics["test"]["gift/auc"] = 0.999


def golden(run):
    run.said["columns"]["gift"]["context.channel"] = 0.991


def leak(run):
    run.data["leaks"] = [{"level": "warning", "where": "item.age", "what": "is later", "count": 3, "advice": "do"}]


def suspicious(run):
    one = {"code": "P012", "severity": "warning", "title": "rows twice", "where": "interactions", "count": 9, "of": 10}
    run.data["findings"] = [one | {"unit": "rows", "detail": "", "examples": [], "advice": "x"}]


def rate(run):
    run.said["labels"]["gift"]["train"]["mean"] = 0.2


def few_positives(run):
    run.said["labels"]["gift"]["eval"]["positives"] = 7


def left_out(run):
    run.metrics["left_out"]["test"]["interactions"] = {"eval: item not in the catalog": 200}


def sampled(run):
    run.sets.append("evaluate.sampled=20")


def overfit(run):
    run.scores["next"] = [0.4, 0.58, 0.55, 0.5, 0.45, 0.42]


def undertrained(run):
    run.scores["gift"] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.76]


def unseen_rows(run):
    run.metrics["training"]["test"] = {**run.metrics["training"]["test"], "passes": {"windows": 6.0, "lines": 0.2}}


def diverged(run):
    run.history.loc[run.history["phase"] == "test", "gift_loss"] = [0.5, 0.6, 0.9, 2, 8, 50]


def dominates(run):
    run.history["next_loss"] *= 1000


def first_epoch(run):
    run.scores["gift"] = [0.76, 0.7, 0.69, 0.68, 0.7, 0.69]


def miscalibrated(run):
    run.predictions["gift"]["prediction"] **= 3


def alike(run):
    run.predictions["gift"]["prediction"] = np.float32(0.5)


def never(run):
    rows = run.predictions["department"]
    rows.loc[rows["prediction"] == 2, "prediction"] = 1


def off_on_average(run):
    run.said["predictions"]["gift"]["form"] = "numeric"
    run.predictions["gift"]["prediction"] += 1


def unknown(run):
    of = {
        "rows": 2000,
        "positives": 600,
        "auc": 0.6,
        "log_loss": 0.6,
        "mean_prediction": 0.6,
        "rate": 0.3,
        "ratio": 2.0,
    }
    run.metrics["unknown"] = {"test": {"gift": {"unknown_user": of, "known": of}}}


def in_a_slice(run):
    run.metrics["test"]["gift/user.town=b/auc"] = 0.55
    run.metrics["intervals"]["test"]["gift/user.town=b/auc"] = [0.5, 0.6]
    run.metrics["counts"]["gift/user.town=b"] = 400


def baseline_in_a_slice(run):
    run.metrics["test"]["gift/user.town=b/auc"] = 0.74
    run.metrics["intervals"]["test"]["gift/user.town=b/auc"] = [0.72, 0.76]
    run.metrics["counts"]["gift/user.town=b"] = 400
    run.metrics["baselines"]["majority"]["gift/user.town=b/auc"] = 0.8
    run.metrics["intervals"]["baselines"]["majority"]["gift/user.town=b/auc"] = [0.78, 0.82]


def same_lists(run):
    run.lists["items"] = [np.arange(21, 31, dtype=np.int32)] * len(run.lists)


def popular_lists(run):
    run.lists["items"] = [np.array([*range(1, 9), 20 + i % 100, 19 + i % 90], np.int32) for i in range(len(run.lists))]


def few_items(run):
    run.said["items"]["catalog"] = 1900
    run.lists["items"] = [1 + (np.arange(10, dtype=np.int32) + i) % 80 for i in range(len(run.lists))]


def past_alone(run):
    run.lists["past"] = run.lists["items"]


def edge(run):
    run.sets.append('evaluate.baselines=[{use = "item_knn", neighbors_tried = [5, 20, 50]}, "majority"]')
    run.metrics["valid"]["tuned"]["item_knn"] = {"next": {"neighbors": 50, "shrinkage": 0}}


def no_export(run):
    run.export = False


def hurt(run):
    one = {
        "task": "gift",
        "verdict": "train apart",
        "told": "worse",
        "detectable": 0.1,
        "by": ["next"],
        "evidence": ["next harms it"],
    }
    run.tasks = {"tasks": ["next", "gift"], "verdicts": [one], "affinity": {"matrix": [[0, -0.2], [None, 0]]}}


def warned(run):
    run.metrics["warnings"] = ["valid: the weights did not move"]


def turned_off(run):
    run.said["weights"]["gift"] = 0.001


def undefined(run):
    run.metrics["test"]["gift/auc"] = None


PLANTED = {
    "R001": (worse_than_constant, "gift"), "R002": (worse, "next"), "R003": (not_told_apart, "gift"), "R004": (trees, "gift"),
    "R005": (no_baseline, "department"), "R006": (few_users, "next"), "R007": (wide, "department"), "R008": (promised, "next"),
    "R009": (seeds, "next"), "R010": (too_good, "gift"), "R011": (golden, "gift"), "R012": (leak, "item.age"),
    "R013": (suspicious, "interactions"), "R014": (rate, "gift"), "R015": (few_positives, "gift"), "R016": (left_out, "test"),
    "R017": (sampled, "next"), "R018": (overfit, "next"), "R019": (undertrained, "gift"), "R020": (unseen_rows, "rows.lines"),
    "R021": (diverged, "gift"), "R022": (dominates, "next"), "R023": (first_epoch, "gift"), "R024": (miscalibrated, "gift"),
    "R025": (alike, "gift"), "R026": (never, "department"), "R027": (off_on_average, "gift"),
    "R028": (unknown, "gift, unknown user"), "R029": (in_a_slice, "gift, user.town=b"),
    "R030": (baseline_in_a_slice, "gift, user.town=b"), "R031": (same_lists, "next"), "R032": (popular_lists, "next"),
    "R033": (few_items, "next"), "R034": (past_alone, "next"), "R035": (edge, "item_knn, next"),
    "R036": (no_export, "saved_model"),
    "R037": (hurt, "gift"), "R038": (warned, "valid"), "R039": (turned_off, "gift"), "R040": (undefined, "gift"),
}  # fmt: skip


def test_a_run_without_faults_has_no_findings(clean):
    assert clean.found() == {}


def test_all_checks_are_planted():
    assert set(PLANTED) == set(REPORT_CHECKS) == set(codes())


@pytest.mark.parametrize("code", PLANTED)
def test_what_is_planted_is_found(clean, code):
    plant, where = PLANTED[code]
    plant(clean)
    assert where in clean.found().get(code, [])


def test_a_task_that_left_is_not_one_that_diverged(clean):
    clean.history.loc[clean.history["epoch"] > 4, "gift_loss"] = None
    clean.metrics["training"]["valid"]["left_after"] = {"gift": 4}
    assert clean.found() == {}
    clean.history["gift_loss"] = [*[0.5] * 11, np.inf]
    assert set(clean.found()) == {"R021"}


def test_checks_are_silenced_by_the_recipe_and_by_the_command(clean):
    worse(clean)
    assert set(clean.found()) == {"R002"}
    assert not checked(KeptRun(clean.path), ["R002"]).findings
    clean.sets.append('evaluate.silence=["R002"]')
    assert clean.found() == {}
    found = checked(KeptRun(clean.path))
    assert found.silenced == ("R002",)
    assert found.made == len(REPORT_CHECKS) - 1
    with pytest.raises(RecipeError, match="no check has the code 'R999'"):
        load_recipe(clean.recipe_file, ['evaluate.silence=["R999"]'])
