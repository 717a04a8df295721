import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.recipe.settings import Train
from mtkit.runtime import optimizers
from mtkit.runtime.optimizers import (
    OPTIMIZERS,
    Adam,
    AdamW,
    Sgd,
    dense,
    learning_rate_factors,
    make_optimizer,
)

DENSE = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}
ROWS, DIM = 7, 3


@pytest.fixture
def by_rows(monkeypatch):
    """Tables of any size are updated by rows."""
    monkeypatch.setattr(optimizers, "DENSE_ROWS", 0)


def _table():
    return tf.Variable(np.random.default_rng(0).normal(size=(ROWS, DIM)), dtype=tf.float32)


def _train(optimizer, lookups):
    """The table after a step per list of rows, each lookup with a gradient of its own."""
    table, scale = _table(), tf.constant(np.random.default_rng(1).normal(size=(99, DIM)), tf.float32)

    @tf.function(reduce_retracing=True)
    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(tf.gather(table, rows)) * scale[: len(rows)])
        optimizer.apply_gradients([(tape.gradient(loss, table), table)])

    for rows in lookups:
        step(tf.constant(rows, tf.int64))
    return table.numpy()


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.5}, {"weight_decay": 0.1}], ids=str)
def test_equals_the_dense_rule_where_all_rows_are_touched(name, options):
    rng = np.random.default_rng(2)
    lookups = [np.append(np.arange(ROWS), rng.integers(0, ROWS, 20)) for _ in range(5)]
    found = _train(OPTIMIZERS[name](0.1, **options), lookups)
    # The dense rule clips before it adds up the gradients of a row; so it gets them added up.
    monitored = DENSE[name](0.1, **options)
    clip = monitored._clip_gradients
    monitored._clip_gradients = lambda gradients: clip([tf.convert_to_tensor(g) for g in gradients])
    np.testing.assert_allclose(found, _train(monitored, lookups), atol=1e-6)
    assert np.abs(found - _table().numpy()).min() > 0


def _two_updates(optimizer, steps=4):
    """Two variables after steps of which each has gradients of its own, and the operations of a step."""
    variables = [tf.Variable(np.random.default_rng(n).normal(size=(ROWS, DIM)), dtype=tf.float32) for n in range(2)]
    scale = tf.Variable(1.0)

    @tf.function
    def step():
        optimizer.apply_gradients([(scale * tf.cos(variable), variable) for variable in variables])

    optimizer.build(variables)
    for number in range(steps):
        scale.assign(number + 0.7)
        step()
    return [v.numpy() for v in variables], step.get_concrete_function().graph.get_operations()


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"epsilon": 1e-3}, {"global_clipnorm": 0.5}], ids=str)
def test_whole_variables_move_as_with_tf_keras(options):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 9)
    found, _ = _two_updates(Adam(rate, **options))
    # One operation rounds 1 - β where tf_keras rounds β.
    for mine, theirs in zip(found, _two_updates(keras.optimizers.Adam(rate, **options))[0], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_a_variable_is_updated_by_one_operation():
    _, operations = _two_updates(Adam(0.1))
    assert sum(operation.type == "ResourceApplyAdam" for operation in operations) == 2
    assert not [operation for operation in operations if operation.type.startswith("AssignSub")]


def test_variables_share_what_a_step_has_in_common():
    _, operations = _two_updates(Adam(0.1))
    assert sum(operation.type == "Pow" for operation in operations) == 2


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_untouched_rows_stay(name):
    lookups = [[1, 3, 3], [1, 4, 4]]
    moved = np.any(_train(OPTIMIZERS[name](0.1), lookups) != _table().numpy(), axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), [1, 3, 4])


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}], ids=str)
def test_rows_may_be_numbers_or_matrices(name, options):
    def trained(*shape):
        table, optimizer = tf.Variable(tf.ones([ROWS, *shape])), OPTIMIZERS[name](0.1, **options)
        for rows in [[1, 3, 5], [1], [3, 4]]:
            values = tf.reshape(tf.range(1.0, 1 + len(rows)), [len(rows), *shape])
            optimizer.apply_gradients([(tf.IndexedSlices(values, tf.constant(rows), tf.shape(table)), table)])
        return table.numpy().ravel()

    expected = trained(1)
    assert np.count_nonzero(expected != 1) == 4
    for shape in [(), (1, 1)]:
        np.testing.assert_array_equal(trained(*shape), expected)


STEPS = 200


def _rarely(optimizer, rates=None, begin=0):
    """A table, and the optimizer's moments of it, after steps in which row r is touched every 2^r steps or so.

    Gradients do not depend on the table, so that what the rule makes of them is all that differs. Those of the last half
    are 0 and touch all rows, until what the dense rule goes on to do is done.
    """
    rng = np.random.default_rng(3)
    touched = rng.random((STEPS, ROWS)) < 0.5 ** np.arange(ROWS)
    touched[STEPS // 2 :] = True
    gradients = rng.normal(0.3, 1, (STEPS, ROWS, DIM)).astype(np.float32)
    gradients[STEPS // 2 :] = 0
    table = tf.Variable(tf.ones([ROWS, DIM]))
    optimizer.build([table])
    optimizer.iterations.assign(begin)

    @tf.function(reduce_retracing=True)
    def step(values, rows):
        optimizer.apply_gradients([(tf.IndexedSlices(values, rows, tf.constant([ROWS, DIM])), table)])

    for number in range(STEPS):
        if rates is not None:
            optimizer.learning_rate = rates[number]
        rows = np.flatnonzero(touched[number])
        step(tf.constant(gradients[number, rows]), tf.constant(rows))
    return table.numpy(), optimizer._momentums[0].numpy(), optimizer._velocities[0].numpy()


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize(
    ("options", "rates", "begin", "tolerance"),
    [
        ({}, None, 10_000, 0.002),
        ({"epsilon": 0.1}, None, 10_000, 0.001),
        ({}, None, 0, 0.05),
        ({}, np.linspace(0.01, 0, STEPS), 10_000, 0.03),
        ({"weight_decay": 0.1}, None, 0, 0.04),
    ],
    ids=["constant", "epsilon", "from the first step", "falling", "decay"],
)
def test_rarely_touched_rows_end_where_the_dense_rule_takes_them(options, rates, begin, tolerance):
    kind, dense = (AdamW, keras.optimizers.AdamW) if "weight_decay" in options else (Adam, keras.optimizers.Adam)
    mine, theirs = (_rarely(each(0.01, **options), rates, begin) for each in (kind, dense))
    for found, expected in zip(mine[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(mine[0] - theirs[0]).max() < tolerance * np.abs(theirs[0] - 1).max()


@pytest.mark.usefixtures("by_rows")
def test_a_row_that_is_touched_once_moves_as_far_as_by_the_dense_rule():
    def moved(optimizer, steps):
        table = tf.Variable(tf.zeros([2, 1]))
        optimizer.build([table])
        optimizer.iterations.assign(999)
        for number in range(steps):
            row = [0] if number == 0 else [1]
            optimizer.apply_gradients(
                [(tf.IndexedSlices(tf.ones([1, 1]), tf.constant(row), tf.constant([2, 1])), table)]
            )
        return table.numpy()[0, 0]

    assert moved(Adam(0.1), 1) == pytest.approx(moved(keras.optimizers.Adam(0.1), 100), rel=0.01)


@pytest.mark.usefixtures("by_rows")
def test_variants_of_adam_are_dense():
    lookups = [[1, 2], [2, 2], [4]]
    found = _train(Adam(0.1, amsgrad=True), lookups)
    np.testing.assert_allclose(found, _train(keras.optimizers.Adam(0.1, amsgrad=True), lookups), atol=1e-6)


@pytest.mark.usefixtures("by_rows")
def test_what_rows_wait_for_is_in_checkpoints(tmp_path):
    def begun():
        table, optimizer = _table(), AdamW(0.1, weight_decay=0.1)
        optimizer.build([table])
        return table, optimizer, tf.train.Checkpoint(table=table, optimizer=optimizer)

    def go_on(table, optimizer, lookups):
        for rows in lookups:
            slices = tf.IndexedSlices(tf.gather(table, rows), tf.constant(rows), tf.constant([ROWS, DIM]))
            optimizer.apply_gradients([(slices, table)])

    table, optimizer, checkpoint = begun()
    go_on(table, optimizer, [[1, 2], [3], [2]])
    path = checkpoint.write(str(tmp_path / "kept"))
    again, its_optimizer, its_checkpoint = begun()
    its_checkpoint.read(path).assert_consumed()
    for one in ((table, optimizer), (again, its_optimizer)):
        go_on(*one, [[1, 3], [2]])
    np.testing.assert_array_equal(table.numpy(), again.numpy())


@pytest.mark.usefixtures("by_rows")
def test_a_step_whose_scaled_gradients_overflow_touches_no_row():
    def trained(gradients):
        table = _table()
        optimizer = keras.mixed_precision.LossScaleOptimizer(Adam(0.1), dynamic=True, initial_scale=2.0)
        optimizer.build([table])
        for row, gradient in gradients:
            slices = tf.IndexedSlices(tf.fill([1, DIM], gradient), tf.constant([row]), tf.constant([ROWS, DIM]))
            optimizer.apply_gradients([(slices, table)])
        return table.numpy()

    elsewhere = trained([(2, 1.0), (3, 1.0), (2, 1.0)])
    np.testing.assert_array_equal(trained([(2, 1.0), (2, np.inf), (2, 1.0)])[2], elsewhere[2])


@pytest.mark.usefixtures("by_rows")
def test_weights_of_touched_rows_alone_decay():
    table = tf.Variable(tf.ones([4, 2]))
    optimizer = AdamW(0.5, weight_decay=0.1)
    for row in (2, 1):
        optimizer.apply_gradients(
            [(tf.IndexedSlices(tf.zeros([1, 2]), tf.constant([row]), tf.constant([4, 2])), table)]
        )
    np.testing.assert_allclose(table[:, 0], [1, 0.95**2, 0.95, 1])


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov):
    lookups = [np.arange(ROWS)] * 4
    found = _train(Sgd(0.1, momentum=0.9, nesterov=nesterov), lookups)
    np.testing.assert_allclose(found, _train(keras.optimizers.SGD(0.1, 0.9, nesterov=nesterov), lookups), atol=1e-6)


def test_small_tables_follow_the_dense_rule():
    lookups = [[0, 1], [2, 2], [5]]
    np.testing.assert_allclose(_train(Adam(0.1), lookups), _train(keras.optimizers.Adam(0.1), lookups), atol=1e-5)


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_replicas_update_rows_as_one_device_does(name, two_replicas):
    def train(strategy, rows):
        with strategy.scope():
            table = tf.Variable(tf.ones([ROWS, DIM]))
            optimizer = OPTIMIZERS[name](0.1, global_clipnorm=1.0)

        @tf.function
        def step(rows):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.sin(tf.gather(table, rows)) * tf.cast(rows + 1, tf.float32)[:, None])
            optimizer.apply_gradients([(tape.gradient(loss, table), table)])

        def of_replica(context):
            count = len(rows) // strategy.num_replicas_in_sync
            number = context.replica_id_in_sync_group
            return tf.constant(rows[number * count : (number + 1) * count])

        for _ in range(3):
            strategy.run(step, (strategy.experimental_distribute_values_from_function(of_replica),))
        return table.numpy()

    rows = [1, 2, 2, 2, 5, 1]
    one = train(tf.distribute.OneDeviceStrategy("/cpu:0"), rows)
    np.testing.assert_allclose(train(two_replicas, rows), one, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_config(name):
    optimizer = OPTIMIZERS[name](0.1, weight_decay=0.2, global_clipnorm=3.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


def _rates(steps, **settings):
    optimizer = make_optimizer(Train(epochs=1, learning_rate=0.5, optimizer="sgd", **settings), steps)
    rates, weight = [], tf.Variable(0.0)
    for _ in range(steps):
        before = weight.numpy()
        optimizer.apply_gradients([(tf.constant(1.0), weight)])
        rates.append(before - weight.numpy())
    return rates


def test_learning_rates():
    np.testing.assert_allclose(_rates(3), [0.5] * 3, atol=1e-6)
    np.testing.assert_allclose(_rates(5, warmup_steps=2), [0, 0.25, 0.5, 0.5, 0.5], atol=1e-6)
    cosine = 0.5 * (0.02 + 0.98 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2)
    np.testing.assert_allclose(_rates(4, schedule="cosine"), cosine, atol=1e-6)
    np.testing.assert_allclose(_rates(6, schedule="cosine", warmup_steps=2), [0, 0.25, *cosine], atol=1e-6)


def test_clips_the_gradient():
    weight = tf.Variable([0.0, 0.0])
    make_optimizer(Train(optimizer="sgd", learning_rate=1.0, clip_norm=1.0), 1).apply_gradients(
        [(tf.constant([3.0, 4.0]), weight)]
    )
    np.testing.assert_allclose(weight, [-0.6, -0.8], atol=1e-6)


class _Slow(keras.layers.Dense):
    def learning_rate_factors(self):
        return [(self.kernel, 0.25)]


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_variables_follow_learning_rates_of_their_own(name, schedule):
    def moved(rate, factor):
        """What a step moves a table and a vector by."""
        settings = Train(optimizer=name, learning_rate=rate, schedule=schedule, warmup_steps=3)
        optimizer = make_optimizer(settings, 10)
        variables = [_table(), tf.Variable(tf.ones([DIM]))]
        if factor is not None:
            optimizer.scale_rates([(variable, factor) for variable in variables])
        before = [variable.numpy() for variable in variables]
        for _ in range(2):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.gather(variables[0], [1, 3])) + tf.reduce_sum(variables[1])
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return [variable.numpy() - start for variable, start in zip(variables, before, strict=True)]

    for own, plain, unscaled in zip(moved(0.1, 0.25), moved(0.025, None), moved(0.1, None), strict=True):
        np.testing.assert_allclose(own, plain, atol=1e-6)
        assert np.abs(own - unscaled).max() > 1e-3


def test_layers_ask_for_learning_rates():
    model = keras.Sequential([_Slow(2, name="slow"), keras.layers.Dense(1)])
    model.build([None, 3])
    ((variable, factor),) = learning_rate_factors(model)
    assert variable is model.get_layer("slow").kernel
    assert factor == 0.25


def test_the_learning_rate_can_be_set():
    optimizer = Adam(0.1)
    optimizer.learning_rate = 0.2
    assert float(optimizer.learning_rate) == pytest.approx(0.2)


@pytest.mark.parametrize(("name", "large"), [("adam", 0.01), ("adamw", 0.01), ("adagrad", 20.0)])
def test_a_large_epsilon_damps_small_gradients(name, large):
    moved = {}
    for epsilon in (None, large):
        optimizer = make_optimizer(Train(optimizer=name, epsilon=epsilon, learning_rate=0.1), 1)
        variable = tf.Variable([1.0, 1.0])
        optimizer.apply_gradients([(tf.constant([1e-3, 10.0]), variable)])
        moved[epsilon] = 1 - variable.numpy()
    assert moved[large][0] < 0.1 * moved[None][0]
    assert moved[large][1] > 0.5 * moved[None][1]


def test_sgd_has_no_epsilon():
    with pytest.raises(ValueError, match="leave epsilon out"):
        Train(optimizer="sgd", epsilon=1e-3)


@pytest.mark.parametrize(
    ("rows", "shape"), [(5000, (300, 16)), (50, (300, 8)), (500, (40, 1)), (500, (40,)), (0, (7, 9))]
)
def test_gradients_of_rows_are_added_up_to_the_bits_of_tensorflow(rows, shape):
    rng = np.random.default_rng(0)
    values = tf.constant(rng.normal(size=(rows, *shape[1:])), tf.float32)
    slices = tf.IndexedSlices(values, tf.constant(rng.integers(0, shape[0], rows), tf.int64), tf.constant(shape))
    found = tf.function(lambda: dense(slices))()
    assert found.shape == shape
    np.testing.assert_array_equal(found, tf.convert_to_tensor(slices))
