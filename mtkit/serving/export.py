"""Writes a servable as a SavedModel with its descriptions: a new version directory, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.files import new_version
from mtkit.model.non_finite import not_finite, warn_of_weights
from mtkit.serving.reload import check_alone
from mtkit.serving.servable import Servable
from mtkit.serving.signature import describe, tensor_names
from mtkit.serving.signature_set import signatures
from mtkit.serving.similar_items import Neighbors
from mtkit.shown import shown
from mtkit.spec import Trained

SIGNATURES = "signatures.md"
TENSORS = "signatures.json"


def save(
    pipeline: Trained,
    directory: Path,
    unseen: bool = True,
    strings: bool = False,
    together: Neighbors | None = None,
    verify: bool = False,
) -> Path:
    """Writes a new version directory (1, 2, ...) under `directory`, whole or not at all, and returns it.

    It is a SavedModel, with `signatures.md` for people and `signatures.json` for callers of the C API.

    Args:
        pipeline: the trained pipeline.
        directory: holds the versions.
        unseen: whether there are signatures for users and items that are not in the data.
        strings: whether there are signatures that take texts as strings, beside those that take token ids.
        together: items that go with each item; None = no signature answers that.
        verify: whether a process with TensorFlow alone has to give the same answers before the version is there.

    Raises:
        RunError: the directory cannot be written, weights are not finite, or the other process does not answer alike.
        WiringError: a task has the name of another signature.

    Warns:
        ModelWarning: all weights are 0.
    """
    if name := not_finite(pipeline.model):
        raise RunError(f"{directory}: nothing is exported, for the weights {name} are not finite: training diverged")
    warn_of_weights(pipeline.model)
    main = pipeline.recipe.recommending
    servable = Servable(pipeline, main, unseen, strings, together)
    answers = signatures(servable)

    def write(version: Path) -> None:
        functions = {name: signature.function for name, signature in answers.items()}
        tf.saved_model.save(servable, str(version), signatures=functions)
        (version / SIGNATURES).write_text(shown(describe(answers)), encoding="utf-8")
        (version / TENSORS).write_text(tensor_names(version), encoding="utf-8")
        if verify:
            check_alone(servable, answers, version)

    try:
        return new_version(directory, write)
    except tf.errors.OpError as error:
        raise RunError(f"{directory}: cannot be written: {error}") from error
