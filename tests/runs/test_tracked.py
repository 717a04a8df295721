import json

from mtkit.runs.directory import RunDirectory
from mtkit.runs.tracked import Noted, epoch_figures, final_figures, runs_in


def test_only_numbers_can_be_drawn():
    metrics = {"epoch": 3, "loss": 0.5, "valid": float("nan"), "name": "x", "flag": True, "seconds": 2}
    assert epoch_figures(metrics) == {"loss": 0.5, "seconds": 2.0}


def test_figures_of_the_test_and_of_baselines_are_found(tmp_path):
    of_seeds = {"mean": 0.3, "std": 0.1, "values": [0.2, 0.4]}
    found = {
        "format": 1,
        "test": {"next/ndcg@3": of_seeds, "a/auc": None},
        "baselines": {"popularity": {"next/ndcg@3": 0.1}},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    assert final_figures(RunDirectory(tmp_path)) == {"next/ndcg@3": 0.3, "baselines/popularity/next/ndcg@3": 0.1}
    assert final_figures(RunDirectory(tmp_path / "none")) == {}


def test_what_was_noted_is_not_noted_twice(tmp_path):
    first = Noted(tmp_path / "new" / "epochs.json")
    assert first.is_new("valid", 1)
    first.note("valid", 2)
    first.write(run_id="x")
    again = Noted(tmp_path / "new" / "epochs.json")
    assert [again.is_new("valid", epoch) for epoch in (1, 2, 3)] == [False, False, True]
    assert again.is_new("test", 1)
    assert again.read()["run_id"] == "x"


def test_each_of_several_runs_is_tracked(tmp_path):
    for name in ("seed-1", "seed-0"):
        (tmp_path / "many" / name).mkdir(parents=True)
    assert [run.path.name for run in runs_in(tmp_path / "many")] == ["seed-0", "seed-1"]
    (tmp_path / "recipe.lock.toml").write_text("")
    assert [run.path for run in runs_in(tmp_path)] == [tmp_path]
