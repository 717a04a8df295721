import pytest

from mtkit.backend import keras
from mtkit.runtime.precision import precision_scope


def test_precision_holds_inside_the_scope():
    with precision_scope("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
        with precision_scope("float32"):
            assert keras.layers.Dense(1).compute_dtype == "float32"
        assert keras.layers.Dense(1).variable_dtype == "float32"
    assert keras.layers.Dense(1).compute_dtype == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains_as_single_does(train_tiny, precision):
    single, pipeline = train_tiny(), train_tiny(f"train.precision={precision}")
    assert {encoder.compute_dtype for encoder in pipeline.model.encoders.values()} == {precision.removeprefix("mixed_")}
    scaled = isinstance(pipeline.model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")
    losses, expected = (
        {name: float(tracker.result()) for name, tracker in one.model.trackers.items()} for one in (pipeline, single)
    )
    assert losses == pytest.approx(expected, rel=0.1)


class _Slow(keras.layers.Dense):
    def learning_rate_factors(self):
        return [(self.kernel, 0.25)]
