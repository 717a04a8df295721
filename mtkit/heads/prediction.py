"""Heads that predict a label of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import tf
from mtkit.evaluation.calibration import Calibration
from mtkit.evaluation.metrics import labeled, predict_metrics
from mtkit.evaluation.user_sums import Measured
from mtkit.heads.base import Head, Question, TaskEvaluation, TaskPass, TaskServing, Tensors
from mtkit.heads.calibration import calibrated
from mtkit.spec import prediction_of


def side_by_side(states: Sequence[tf.Tensor]) -> tf.Tensor:
    """States `[rows, dim]`, or numbers `[rows]`, in one."""
    return tf.concat([state[:, None] if state.shape.rank == 1 else state for state in states], axis=-1)


class PredictionHead(Head):
    """One output per row. `call(view)` takes name -> `[rows, dim]` and returns logits, `[rows]` or `[rows, classes]`.

    Labels are `[rows]`, or float32 `[rows, classes]`, 0 and 1, where any number of classes applies (`multi_label`).

    To write: `call`, `loss` and `predict`.
    """

    #: What corrects its answers once it is trained, as validation teaches; None = nothing does.
    calibration: Calibration | None = None

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Per-row loss `[rows]`; the core masks, weights and normalizes."""
        raise NotImplementedError

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities of the shape of `outputs`; for numeric labels, numbers in their unit; or scores, if the spec says so."""
        raise NotImplementedError

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of the label, and its weights."""
        labels, weights = self.labels(rows)
        return self.loss(self.outputs(rows), labels), weights

    def answers(self, rows: TaskPass) -> tf.Tensor:
        """Probabilities `[rows]` or `[rows, classes]`, calibrated, or numbers."""
        return calibrated(self.predict(self.outputs(rows)), self.calibration)

    def handed_on(self, rows: TaskPass) -> tf.Tensor:
        """What it predicts, never calibrated: what reads it was trained before there was a calibration."""
        return self.predict(self.outputs(rows))

    def logits(self, rows: TaskPass) -> tf.Tensor:
        """What `call` returns."""
        return self.outputs(rows)

    def state(self, rows: TaskPass) -> tf.Tensor:
        """What its last layer reads, `[rows, width]`."""
        return self.state_of(self.view(rows), training=rows.training)

    def state_of(self, view: Tensors, training: bool = False) -> tf.Tensor:
        """What its last layer reads of a view, `[rows, width]`: of a head without other layers, its inputs side by side."""
        return side_by_side(list(view.values()))

    def labels(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """The labels of the rows, 0 where the weight is, and the weights: 0 where the row does not count for the task."""
        weights = rows.batch.weights[rows.spec.predicts]
        if (scale := rows.batch.scale(rows.spec.scales)) is not None:
            weights = tf.where(scale > 0, weights, tf.zeros_like(weights))
        labels = rows.batch.labels[rows.spec.predicts]
        there = weights > 0 if labels.shape.rank == 1 else (weights > 0)[:, None]
        return tf.where(there, labels, tf.zeros_like(labels)), weights

    def outputs(self, rows: TaskPass) -> tf.Tensor:
        """What `call` returns for the rows."""
        return self(self.view(rows), training=rows.training)

    def view(self, rows: TaskPass) -> dict[str, tf.Tensor]:
        """What `call` reads of the rows: name -> `[rows, dim]`, or `[rows]`."""
        view = rows.embeddings(rows.spec.inputs)
        if rows.spec.stop_gradient:
            view = {name: tf.stop_gradient(state) if prediction_of(name) else state for name, state in view.items()}
        return view

    def evaluate(self, rows: TaskEvaluation) -> Measured:
        """The metrics of predictions that fit the label."""
        spec = rows.spec
        labels = labeled(rows.table, spec.predicts, numeric=spec.numeric, form=spec.form, query_by=spec.query_by)
        return predict_metrics(rows.name, rows.answers(), labels, rows.metrics, rows.slices)

    def signatures(self, serving: TaskServing) -> Mapping[str, Any]:
        """Predictions on rows of one entity, or of none; those of several are answered by `rank`."""
        if len(serving.roles) > 1:
            return {}
        context, questions = serving.context(), dict[str, Question]()
        if not serving.roles:
            questions[serving.name] = context
        for role in serving.roles:
            questions[serving.name] = serving.known(role) | context
            for ending, new in serving.new(role).items():
                questions[f"{serving.name}_new_{role}{ending}"] = new | context
        return {name: self._signature(serving, question) for name, question in questions.items()}

    def _signature(self, serving: TaskServing, question: Question) -> Any:
        classes, label = serving.classes, serving.spec.predicts
        name = (
            "score" if serving.spec.form in ("scores", "grades") else "value" if serving.spec.numeric else "probability"
        )

        def answer(given: Tensors) -> Tensors:
            rows = serving.task_pass(question.batch(given))
            probabilities = self.answers(rows)
            if not classes:
                return {name: probabilities, **self.parts(rows)}
            names = tf.constant(classes)
            if serving.spec.multi_label:
                return {"probabilities": probabilities, "classes": names}
            best = tf.gather(names, tf.argmax(probabilities, -1))
            return {"class": best, "probabilities": probabilities, "classes": names}

        outputs = {"class": "the most probable one", "probabilities": "of all classes", "classes": "their names"}
        if serving.spec.multi_label:
            outputs = {"probabilities": "of each class, each for itself", "classes": "their names"}
        elif not classes:
            outputs = {name: f"of `{label}`"} | serving.spec.parts(serving.name)
        return serving.signature(f"The task `{serving.name}`.", question, outputs, answer)
