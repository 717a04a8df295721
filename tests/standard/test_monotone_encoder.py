"""Predictions that are held to a direction: what is declared, what would undo it, and what a trained model says."""

from dataclasses import replace

import numpy as np
import pytest
from small_model import answers_of

from mtkit.backend import tf
from mtkit.errors import DeclarationError, RecipeError, WiringError
from mtkit.model.forward import Forward
from mtkit.recipe.loader import load_recipe
from mtkit.runs.keras_api import build
from mtkit.spec import FeatureInfo
from mtkit.standard.monotone_encoder import Monotone
from mtkit.testing import check_import_is_light, check_spec

SPEC = Monotone(reads=("user.age", "user.town"), falling=("user.age",))
HELD = [
    "task.discounted.use=fm",
    "task.discounted.inputs=['past','product','held']",
    "task.discounted.rising=['held']",
    "encoder.held={use='monotone', reads=['user.age'], falling=['user.age']}",
    "correlation.experts.on=['customer','past','product']",
]


def test_spec():
    check_spec(SPEC)
    check_import_is_light("mtkit.standard.monotone_encoder")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "holds no number to a direction"),
        ({"rising": ("user.income",)}, r"'user\.income' is not among `reads`, user\.age"),
        ({"rising": ("user.age",), "falling": ("user.age",)}, r"'user\.age' is held to a direction twice"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(DeclarationError, match=message):
        Monotone(reads=("user.age",), **options)


def test_ranges_have_no_direction(make_context):
    context = replace(make_context("held"), features={name: FeatureInfo(size=5) for name in SPEC.reads})
    with pytest.raises(WiringError, match=r"encoder\.held: user\.age comes as ranges"):
        SPEC.build(context)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["task.discounted.rising=['past']"], r"'past' is no encoder that is held to a direction"),
        (["task.discounted.rising=['look']"], r"'look' is rising, and has to be one of inputs"),
        (["correlation.experts.on=[]"], r"correlation\.experts works on 'held', and would undo its direction"),
        (
            ["encoder.held.reads=['user.town']", "encoder.held.falling=['user.town']"],
            r"user\.town is no column of kind num",
        ),
        (
            ["task.discounted.inputs=['past','customer','held']"],
            r"task\.discounted\.inputs: 'customer' depends on user\.age, too, which 'held' holds to a direction",
        ),
        (
            [
                "preprocess.both={use='pca', columns=['user.age'], components=1}",
                "encoder.customer.reads=['user.both']",
                "task.discounted.inputs=['past','customer','held']",
            ],
            r"'customer' depends on user\.age, too",
        ),
    ],
)
def test_what_would_undo_it_is_a_mistake(tiny_recipe, sets, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [*HELD, *sets])


def test_a_model_never_rises_with_what_is_falling_whatever_its_weights(tiny_recipe):
    model = build(tiny_recipe, HELD).model
    batch = model.feed.batch("lines", tf.range(8, dtype=tf.int64))
    answers_of(Forward(model), "discounted", batch)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    answers = np.array([_of_age(model, batch, age) for age in np.linspace(-3, 3, 13)])
    assert (np.diff(answers, axis=0) <= 1e-5).all()
    assert (answers[0] > answers[-1] + 1e-3).any()


def _of_age(model, batch, age):
    """Log-odds of the same rows, their users of one age, as it arrives at encoders."""
    given = {"user.age": tf.stack([tf.fill([8], float(age)), tf.zeros([8])], 1)}
    forward = Forward(model, whole=frozenset())
    return model.heads["discounted"].logits(forward.task("discounted", replace(batch, given=given)))
