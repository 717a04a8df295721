"""The set of signatures of a servable: which questions it answers, by ids and by raw features."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence

from mtkit.backend import tf
from mtkit.errors import WiringError
from mtkit.heads.base import RetrievalHead
from mtkit.model.forward import Batch
from mtkit.serving.request_features import Form, Given
from mtkit.serving.servable import Request, Servable
from mtkit.serving.signatures import Signature, Tensors
from mtkit.spec import ServingInput

DEFAULT_K = 10


def signatures(servable: Servable) -> dict[str, Signature]:
    """Signature name -> signature.

    Raises:
        WiringError: a task has the name of another signature.
    """
    made = {**_retrieval(servable), **_ranking(servable)}
    if servable.user:
        made["past"] = _past(servable)
    tasks = dict(_alone(servable))
    if taken := set(tasks) & set(made):
        raise WiringError(f"task {min(taken)!r} has the name of a signature of the servable; give it another name")
    return made | tasks


def _retrieval(servable: Servable) -> dict[str, Signature]:
    """Recommendations and embeddings of the main task."""
    if not servable.retrieves:
        return {}
    main, user, item = servable.main, servable.user, servable.item
    context = servable.context([main])
    known = servable.known(user) | context
    made = {
        "serving_default": _recommendation(servable, known, fixed=True),
        "recommend": _recommendation(servable, known),
        f"embed_{user}": _query(servable, known),
        f"embed_{item}": _candidate(servable, servable.known(item)),
    }
    for form in Form:
        if new := servable.new_user([main], form):
            made[f"recommend_new_{user}{form.value}"] = _recommendation(servable, new | context)
            made[f"embed_new_{user}{form.value}"] = _query(servable, new | context)
        if new := servable.new_item(item, [main], form):
            made[f"embed_new_{item}{form.value}"] = _candidate(servable, new)
    return made


def _recommendation(servable: Servable, who: Given, fixed: bool = False) -> Signature:
    item, about = servable.item, "to leave out, padded with empty strings; one row counts for all"
    inputs = {"k": ServingInput("int32", (), "how many"), "exclude_ids": ServingInput("string", (None,), about)}

    def answer(given: Tensors) -> Tensors:
        k = tf.constant(DEFAULT_K) if fixed else given["k"]
        exclude = tf.zeros([1, 0], tf.string) if fixed else given["exclude_ids"]
        return servable.recommend(who.batch(given), k, exclude)

    outputs = {
        f"{item}_ids": "best first; empty where there are no more",
        "scores": f"of `{servable.main}`; -inf where there are no more",
        "seen": "whether it is in the own past",
    }
    number = DEFAULT_K if fixed else "`k`"
    about = f"The {number} best of the whole catalog by the task `{servable.main}`, exactly."
    return Signature(about, who.inputs if fixed else {**who.inputs, **inputs}, outputs, answer, frozenset({"k"}))


def _query(servable: Servable, who: Given) -> Signature:
    return _embedding(servable, who, "query", lambda request, batch: request.query(servable.main, batch))


def _candidate(servable: Servable, what: Given) -> Signature:
    return _embedding(servable, what, "candidate", lambda request, batch: request.candidate(servable.main, batch))


def _embedding(servable: Servable, given: Given, role: str, embed: Callable[[Request, Batch], tf.Tensor]) -> Signature:
    note = "The dot product of query and candidate is the score of `recommend`."
    if type(servable.head).score is not RetrievalHead.score:
        note = (
            "The dense part alone: `recommend` adds what the head knows beside the dot product of query and candidate "
            "(the pair term over own past items, popularity, activity), so the dot product ranks discoveries."
        )
    about = f"The {role} of the task `{servable.main}`"

    def answer(values: Tensors) -> Tensors:
        return {"embedding": embed(servable.request(), given.batch(values))}

    return Signature(f"{about}. {note}", given.inputs, {"embedding": about}, answer)


def _ranking(servable: Servable) -> dict[str, Signature]:
    """Predictions on rows of several entities."""
    tasks = [task for task in servable.pipeline.plan.predictions() if len(_entities(servable, task)) > 1]
    if not tasks:
        return {}
    user, item = servable.user, servable.item
    entities = dict.fromkeys(entity for task in tasks for entity in _entities(servable, task))
    questions: dict[str, tuple[str | None, Given | None]] = {"rank": (None, None)}
    for form in Form:
        questions |= {
            f"rank_new_{user}{form.value}": (user, servable.new_user(tasks, form)),
            f"rank_new_{item}{form.value}": (item, servable.new_item(item, tasks, form)),
        }
    made = {}
    for name, (new, given) in questions.items():
        parts = [given if entity == new else servable.known(entity) for entity in entities]
        there = [part for part in parts if part]
        if len(there) == len(parts):
            who = functools.reduce(operator.or_, there) | servable.context(tasks)
            made[name] = _prediction(servable, tasks, who)
    return made


def _prediction(servable: Servable, tasks: Sequence[str], who: Given) -> Signature:
    def answer(given: Tensors) -> Tensors:
        request, batch = servable.request(), who.batch(given)
        return {task: request.prediction(task, batch) for task in tasks}

    outputs = {task: _meaning(servable, task) for task in tasks}
    return Signature("Probabilities, row by row.", who.inputs, outputs, answer)


def _meaning(servable: Servable, task: str) -> str:
    label = servable.pipeline.plan.predictions()[task].label
    classes = servable.pipeline.classes[task]
    return f"of `{label}` = {', '.join(classes)}" if classes else f"of `{label}`"


def _alone(servable: Servable) -> Iterator[tuple[str, Signature]]:
    """Predictions on rows of one entity, or of none."""
    for task in servable.pipeline.plan.predictions():
        entities, context = _entities(servable, task), servable.context([task])
        if not entities:
            yield task, _class(servable, task, context)
        if len(entities) != 1:
            continue
        (entity,) = entities
        yield task, _class(servable, task, servable.known(entity) | context)
        for form in Form:
            of_user = entity == servable.user
            new = servable.new_user([task], form) if of_user else servable.new_item(entity, [task], form)
            if new:
                yield f"{task}_new_{entity}{form.value}", _class(servable, task, new | context)


def _class(servable: Servable, task: str, what: Given) -> Signature:
    classes = servable.pipeline.classes[task]
    name = "value" if servable.pipeline.plan.predictions()[task].numeric else "probability"

    def answer(given: Tensors) -> Tensors:
        probabilities = servable.request().prediction(task, what.batch(given))
        if not classes:
            return {name: probabilities}
        names = tf.constant(classes)
        best = tf.gather(names, tf.argmax(probabilities, -1))
        return {"class": best, "probabilities": probabilities, "classes": names}

    outputs = {"class": "the most probable one", "probabilities": "of all classes", "classes": "their names"}
    if not classes:
        outputs = {name: _meaning(servable, task)}
    return Signature(f"The task `{task}`.", what.inputs, outputs, answer)


def _past(servable: Servable) -> Signature:
    who = servable.known(servable.user)

    def answer(given: Tensors) -> Tensors:
        return servable.past(who.batch(given), given["k"])

    inputs = {**who.inputs, "k": ServingInput("int32", (), "how many")}
    outputs = {
        f"{servable.item}_ids": "latest first; empty where there are no more",
        "times": "seconds since 1970, UTC; 0 where there are no more",
    }
    return Signature("The last `k` events that are in the data.", inputs, outputs, answer, frozenset({"k"}))


def _entities(servable: Servable, task: str) -> list[str]:
    """The entities that the rows of a task have."""
    return list(servable.pipeline.tables[servable.pipeline.plan.rows_of(task)]["train"].ids)
