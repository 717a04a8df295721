"""The figures of a report, through `mtkit.plots`."""

import numpy as np
import pytest
from sklearn.metrics import auc

from mtkit import plots
from mtkit.errors import RunError
from mtkit.report.kept import KeptRun


@pytest.fixture
def run(clean):
    """A run without faults, as it is read."""
    return KeptRun(clean.write())


def lines(figure):
    return {line.get_label(): line.get_xydata() for ax in figure.axes for line in ax.lines}


def test_every_figure_is_drawn_of_a_run_or_its_directory(run):
    from matplotlib.figure import Figure

    of_tasks = {
        "training": "next", "slices": "discounted", "calibration": "gift", "roc": "gift", "precision_recall": "gift",
        "lift": "gift", "confusion": "department", "items": "next",
    }  # fmt: skip
    for name, task in of_tasks.items():
        assert isinstance(getattr(plots, name)(run, task), Figure)
    for name in ("verdicts", "time_line", "wiring"):
        assert isinstance(getattr(plots, name)(str(run.path)), Figure)
    assert {*of_tasks, "verdicts", "time_line", "wiring", "residuals"} == {*plots.__all__}


def test_curves_show_the_figures_of_the_run(run):
    drawn = lines(plots.training(run, "next"))
    np.testing.assert_allclose(drawn["valid"][:, 1], run.losses("next", "valid"))
    np.testing.assert_allclose(drawn["ndcg@3"][:, 1], run.scores["next"])


def test_roc_and_lift_are_those_of_the_predictions(run):
    rows = run.predictions("gift")
    positive, negative = (rows["prediction"][rows["label"] == of].to_numpy() for of in (1, 0))
    area = np.mean(positive[:, None] > negative) + np.mean(positive[:, None] == negative) / 2
    curve = lines(plots.roc(run, "gift"))[f"the model, area {area:.3f}"]
    assert auc(*curve.T) == pytest.approx(area, abs=0.005)
    best = rows.sort_values("prediction", ascending=False)["label"][: len(rows) // 10].mean() / rows["label"].mean()
    curve = lines(plots.lift(run, "gift"))["the model"]
    assert np.interp(0.1, curve[:, 0], curve[:, 1]) == pytest.approx(best, abs=0.03)


def test_calibration_is_the_share_that_is_so(run):
    rows = run.predictions("gift").sort_values("prediction")
    parts = [rows.iloc[places] for places in np.array_split(np.arange(len(rows)), 10)]
    drawn = lines(plots.calibration(run, "gift"))["the model"]
    np.testing.assert_allclose(drawn[:, 0], [part["prediction"].mean() for part in parts], atol=0.005)
    np.testing.assert_allclose(drawn[:, 1], [part["label"].mean() for part in parts], atol=0.02)


def test_numbers_have_residuals(clean):
    clean.said["predictions"]["gift"]["form"] = "numeric"
    clean.predictions["gift"]["label"] = clean.predictions["gift"]["prediction"] + 2
    figure = plots.residuals(clean.write(), "gift")
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_ydata(), 2, rtol=1e-6)


def test_what_is_not_there_is_said(run):
    with pytest.raises(RunError, match=r"has no task 'gft'; did you mean 'gift'\?"):
        plots.roc(run, "gft")
    with pytest.raises(
        RunError, match=r"task next has no kept predictions of the form binary or scores; .*: discounted, gift"
    ):
        plots.roc(run, "next")
    with pytest.raises(RunError, match=r"no slices of task department are measured; name some in evaluate\.slices"):
        plots.slices(run, "department")
    with pytest.raises(RunError, match="no vectors of items are kept for task gift"):
        plots.items(run, "gift")
