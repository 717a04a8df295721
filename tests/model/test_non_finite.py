import json

import numpy as np
import pytest
from click.testing import CliRunner

import mtkit
from mtkit.cli.program import main
from mtkit.errors import ModelWarning
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe
from mtkit.training.fit import Training

SETS = ("data.lines=600", "data.users=30", "evaluate.baselines=[]", "evaluate.slices=[]", "train.epochs=1")
ONE_TASK = (
    *("task.next", "task.gift", "task.department", "rows.items", "rows.windows", "encoder.past", "encoder.visit"),
    *("correlation.experts", "balance"),
)
SETS += ("task.discounted.inputs=['customer', 'product', 'look']", "evaluate.metrics=[]", "evaluate.k=[3]")


@pytest.fixture
def recipe(tiny_recipe):
    return load_recipe(tiny_recipe, SETS, (*ONE_TASK, "evaluate.main"))


def filled(model, value):
    model.set_weights([np.full_like(weights, value) for weights in model.get_weights()])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, "all weights of the model are 0"),
        (np.nan, r"the weights .* are not finite: training diverged"),
        (3e38, r"[\d,]+ of [\d,]+ predictions of task discounted are not finite"),
    ],
)
def test_whoever_measures_a_model_is_told(recipe, value, message):
    pipeline = mtkit.build(recipe)
    filled(pipeline.model, value)
    with pytest.warns(ModelWarning, match=message):
        mtkit.evaluate(pipeline)


@pytest.mark.filterwarnings("default::mtkit.errors.ModelWarning")
def test_a_run_keeps_it_and_the_commands_on_it_say_it(recipe, tmp_path, monkeypatch, capsys):
    fit = Training.fit

    def to_zero(training, *arguments):
        training.pipeline.model.optimizer.learning_rate = 0.0
        filled(training.pipeline.model, 0.0)
        fit(training, *arguments)

    monkeypatch.setattr(Training, "fit", to_zero)
    run_recipe(recipe, tmp_path / "run")
    told = json.loads((tmp_path / "run/metrics.json").read_text())["warnings"]
    zero = "all weights of the model are 0: it says the same of everything"
    assert [text for text in told if "all weights" in text] == [f"valid: {zero}", f"test: {zero}"]
    assert capsys.readouterr().out.count("all weights of the model are 0") == 2
    for command in ("export", "evaluate"):
        result = CliRunner().invoke(main, [command, str(tmp_path / "run")])
        assert (result.exit_code, result.stderr) == (0, f"warning: {zero}\n")
