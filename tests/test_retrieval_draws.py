"""What retrieval heads draw, in whole recipes: by the seed and the step, on one replica or two, and without the whole catalog."""

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError
from mtkit.model.assembly import assemble
from mtkit.model.forward import Forward
from mtkit.recipe.loader import load_recipe
from mtkit.training.fit import Training

ALONE = (
    "task.discounted",
    "task.gift",
    "task.department",
    "task.next",
    "correlation",
    "balance",
    "encoder.visit",
    "rows.items",
    "encoder.past.items",
)


def _pipeline(path, tmp_path, options, *sets):
    """The tiny recipe with one retrieval head, with or without rows of its own."""
    rows = "windows" if "windows" in options else "lines"
    head = "" if "use" in options else 'use = "retrieval", '
    task = (
        f'task.next={{{head}rows = "{rows}", evaluate = "windows", query = ["past", "customer"], '
        f'candidate = ["product"], {options.removeprefix("windows, ")}}}'
    )
    unused = () if rows == "lines" else ("rows.lines",)
    steady = ["encoder.past.dropout=0", "encoder.customer.id_dropout=0", "encoder.product.id_dropout=0"]
    sets = [task, f"train.epoch_of={rows}", "train.optimizer=sgd", *steady, *sets]
    recipe = load_recipe(path, sets, [*ALONE, *unused])
    dataset = recipe.data.source.load()
    return assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], cache_dir=tmp_path)


def _weights(pipeline):
    return {variable.name: variable.numpy() for variable in pipeline.model.trainable_variables}


CHOICES = (
    'negatives = "uniform", number = 20',
    'negatives = "mixed", number = 10, temperature = 0.5',
    'loss = "bpr", negatives = "popularity", number = 2, shared = false',
    'windows, loss = "binary", negatives = "popularity", number = 10',
)
QUEUE = 'negatives = "batch", queue = 50, bias = true'
GATED = 'windows, use = "gated_retrieval", negatives = "uniform", number = 10'


def slowly(options):
    return pytest.param(options, marks=pytest.mark.slow)


@pytest.mark.parametrize("options", [CHOICES[0], GATED, *map(slowly, [*CHOICES[1:], QUEUE])])
def test_two_replicas_train_as_one_does(tiny_recipe, tmp_path, two_replicas, options):
    found = []
    for strategy in ("one_device", "mirrored"):
        keras.backend.clear_session()
        pipeline = _pipeline(tiny_recipe, tmp_path, options, f"train.strategy={strategy}", "train.steps_per_epoch=6")
        Training(pipeline).fit()
        found.append(_weights(pipeline))
    assert pipeline.strategy.num_replicas_in_sync == 2
    for name, weights in found[0].items():
        np.testing.assert_allclose(found[1][name], weights, atol=1e-5, err_msg=name)


def _trained(path, tmp_path, options, *sets, checkpoints=None, epochs=2):
    keras.backend.clear_session()
    sets = (*sets, "train.steps_per_epoch=4", "train.optimizer=adam", f"train.epochs={epochs}")
    training = Training(_pipeline(path, tmp_path, options, "train.schedule=constant", *sets), checkpoints)
    training.restore()
    training.fit()
    return _weights(training.pipeline)


@pytest.mark.parametrize("options", [slowly(CHOICES[2]), GATED, slowly(QUEUE)])
def test_draws_follow_from_the_seed_and_a_run_that_is_taken_up_again_is_the_same_to_the_bit(
    tiny_recipe, tmp_path, options
):
    given = tiny_recipe, tmp_path, options, "deterministic=true"
    whole = _trained(*given)
    _trained(*given, checkpoints=tmp_path / "kept", epochs=1)
    again = _trained(*given, checkpoints=tmp_path / "kept")
    for name, weights in whole.items():
        np.testing.assert_array_equal(again[name], weights, err_msg=name)


def test_draws_are_new_in_each_step_and_for_each_task(tiny_recipe, tmp_path):
    model = _pipeline(tiny_recipe, tmp_path, CHOICES[0]).model
    model.compile("sgd")
    streams = [model.stream("next").numpy().tolist(), model.stream("other").numpy().tolist()]
    model.optimizer.iterations.assign(1)
    streams.append(model.stream("next").numpy().tolist())
    other = _pipeline(tiny_recipe, tmp_path, CHOICES[0], "seed=2").model
    streams.append(other.stream("next").numpy().tolist())
    assert len(set(map(tuple, streams))) == 4


@pytest.mark.parametrize("options", CHOICES)
def test_draws_are_expected_as_often_as_they_are(tiny_recipe, tmp_path, options):
    """Of 400 steps, the mean of how often each item is drawn is what the head says."""
    model = _pipeline(tiny_recipe, tmp_path, options).model
    model.compile("sgd")
    head, table = model.heads["next"], model.plan.tasks["next"].rows
    batch = model.feed.batch(table, tf.range(8, dtype=tf.int64))
    counts, expected, steps = np.zeros(head.size), np.zeros(head.size), 400
    draw = tf.function(lambda: head._draw(Forward(model).task("next", batch)))
    for step in range(steps):
        model.optimizer.iterations.assign(step)
        ids, often = (values.numpy() for values in draw())
        counts += np.bincount(ids, minlength=head.size)
        expected[ids] = often
    each = 1 if head.shared else 8
    assert counts[0] == 0
    found = counts / steps / each
    np.testing.assert_allclose(found[expected > 0], expected[expected > 0], rtol=0.35, atol=0.03)
    np.testing.assert_allclose(found.sum(), head.number)


@pytest.mark.parametrize("options", [CHOICES[0], GATED])
def test_a_step_encodes_what_is_drawn_and_what_rows_are_followed_by_alone(tiny_recipe, tmp_path, options):
    pipeline = _pipeline(tiny_recipe, tmp_path, options)
    assert not pipeline.plan.whole_embeddings()
    assert "product" in pipeline.plan.embedding_encoders()
    seen, encoder = [], pipeline.model.encoders["product"]
    call, encoder.call = (
        encoder.call,
        lambda inputs, **options: seen.append(len(inputs["item.id"])) or call(inputs, **options),
    )
    (batch,) = pipeline.model.gather({pipeline.plan.tasks["next"].rows: tf.range(8, dtype=tf.int64)}).values()
    pipeline.model.run({pipeline.plan.tasks["next"].rows: batch}, training=True)
    target, number = batch.lists.get("target"), pipeline.model.heads["next"].number
    assert seen == [(8 if target is None else len(target.row)) + number]


def test_a_queue_holds_the_newest_candidates_of_earlier_steps(tiny_recipe, tmp_path):
    """By a loop: what is in it, and the losses of rows against their batch and it."""
    model = _pipeline(tiny_recipe, tmp_path, QUEUE, "train.learning_rate=0.5").model
    model.compile(keras.optimizers.SGD(0.5))
    head, kept = model.heads["next"], []
    assert not any(variable.numpy().any() for variable in head.earlier)
    for step in range(5):
        rows = [*range(16 * step, 16 * step + 15), -1]  # the last row is not there
        batch = model.feed.batch("lines", tf.constant(rows, tf.int64))
        task = Forward(model).task("next", batch)
        query, own = head.queries(task).numpy(), head.candidates(task).numpy()
        ids, there = batch.ids["item"].numpy(), batch.present.numpy()
        shares = dict(zip(ids, task.share("item", batch.ids["item"]).numpy(), strict=True))
        others = [(ids[row], own[row], shares[ids[row]]) for row in range(15)] + kept[:50]
        losses = []
        for row in range(15):
            total = np.exp(query[row] @ own[row])
            for item, embedding, share in others:
                if item != ids[row]:
                    total += np.exp(query[row] @ embedding) / (share * (len(others) - 1))
            losses.append(np.log(total) - query[row] @ own[row])
        found = head.losses(Forward(model).task("next", batch))[0]
        np.testing.assert_allclose(found[:15], losses, rtol=1e-4)
        assert there.tolist() == [1] * 15 + [0]
        model.train_on({"lines": batch})
        kept = [entry for entry in others[:15] if entry[0] > 0] + kept
        embeddings, in_queue = (variable.numpy() for variable in head.earlier)
        assert in_queue.tolist() == ([entry[0] for entry in kept] + [0] * 50)[:50]
        np.testing.assert_allclose(embeddings[: len(kept)], [entry[1] for entry in kept[:50]], rtol=1e-5)
    assert len(kept) > 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            'windows, negatives = "batch"',
            "rows of 'windows' have lists of targets, and no item that could stand for them",
        ),
        ('windows, negatives = "mixed"', 'expected negatives = "catalog", "uniform" or "popularity"'),
    ],
)
def test_batches_need_rows_with_an_item(tiny_recipe, tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        _pipeline(tiny_recipe, tmp_path, options)


def _steps(path, tmp_path, *sets, checkpoints=None, epochs=2):
    keras.backend.clear_session()
    options = 'loss = "bpr", negatives = "uniform", number = 1, shared = false'
    sets = (*sets, "train.steps_per_epoch=5", f"train.epochs={epochs}", "train.schedule=constant", "deterministic=true")
    training = Training(_pipeline(path, tmp_path, options, *sets), checkpoints)
    training.restore()
    training.fit()
    return _weights(training.pipeline)


@pytest.mark.slow
def test_programs_of_xla_train_as_operations_do_and_to_the_bit_the_same_whatever_a_call_does(tiny_recipe, tmp_path):
    plain = _steps(tiny_recipe, tmp_path)
    one, some, whole = (
        _steps(tiny_recipe, tmp_path, "train.jit_compile=true", f"train.steps_per_execution={count}")
        for count in (1, 3, 5)
    )
    for name, weights in plain.items():
        # The draws are the same: with others, losses of one negative would be far apart.
        np.testing.assert_allclose(whole[name], weights, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(one[name], whole[name], err_msg=name)
        np.testing.assert_array_equal(some[name], whole[name], err_msg=name)


@pytest.mark.slow
def test_programs_of_xla_are_taken_up_again_to_the_bit(tiny_recipe, tmp_path):
    compiled = "train.jit_compile=true"
    whole = _steps(tiny_recipe, tmp_path, compiled)
    _steps(tiny_recipe, tmp_path, compiled, checkpoints=tmp_path / "kept", epochs=1)
    again = _steps(tiny_recipe, tmp_path, compiled, checkpoints=tmp_path / "kept")
    for name, weights in whole.items():
        np.testing.assert_array_equal(again[name], weights, err_msg=name)
