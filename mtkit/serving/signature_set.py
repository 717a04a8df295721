"""The set of signatures of a servable: which questions it answers, by ids and by raw features."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Mapping, Sequence

from mtkit.backend import tf
from mtkit.errors import WiringError
from mtkit.feed.batch import Batch
from mtkit.heads.base import TaskPass, Tensors
from mtkit.serving.request_checks import at_least_one
from mtkit.serving.request_features import Form, Given
from mtkit.serving.servable import Servable
from mtkit.serving.signature import Signature
from mtkit.serving.similar_items import ItemsTogether, SimilarItems
from mtkit.spec import ServingInput, TaskHead

DEFAULT_K = 10
K = "how many, 1 or more; at most as many come as there are"


def signatures(servable: Servable) -> dict[str, Signature]:
    """Signature name -> signature: those of the main ranking, of several entities, and what heads answer alone.

    Raises:
        WiringError: a task has the name of another signature.
    """
    made = {**_retrieval(servable), **_ranking(servable)}
    if servable.user:
        made["past"] = _past(servable)
    if servable.retrieves:
        about = f"The `k` items whose candidates of the task `{servable.main}` are nearest to that of an item, by their cosine."
        made["similar_items"] = _similar(servable, servable.similar, about)
    if servable.together:
        about = "The `k` items that most go with an item, by who had both."
        made["items_together"] = _similar(servable, servable.together, about)
    for task, head in servable.pipeline.model.heads.items():
        own = head.signatures(ServingOfTask(servable, task))
        if taken := set(own) & set(made):
            raise WiringError(f"task {min(taken)!r} has the name of a signature of the servable; give it another name")
        made |= own
    return made


class ServingOfTask:
    """What the signatures of a task are made of: a `mtkit.heads.TaskServing`."""

    def __init__(self, servable: Servable, task: str) -> None:
        pipeline = servable.pipeline
        self._servable, self.name = servable, task
        self.spec: TaskHead = pipeline.plan.tasks[task]
        self.roles = _entities(servable, task)
        self.classes: Sequence[str] = pipeline.classes.get(task, ())

    def known(self, role: str, name: str = "") -> Given:
        """Ids of the data."""
        return self._servable.known(role, name)

    def context(self) -> Given:
        """Raw context features that the task reads."""
        return self._servable.context([self.name])

    def new(self, role: str) -> dict[str, Given]:
        """What is not in the data, by its raw features, for each form in which texts may come."""
        found = {form.value: self._new(role, form) for form in Form}
        return {ending: question for ending, question in found.items() if question}

    def _new(self, role: str, form: Form) -> Given | None:
        if role == self._servable.user:
            return self._servable.new_user([self.name], form)
        return self._servable.new_item(role, [self.name], form)

    def task_pass(self, batch: Batch) -> TaskPass:
        """A forward pass on a request."""
        return self._servable.request(self.name, batch)

    def signature(
        self, about: str, question: Given, outputs: Mapping[str, str], answer: Callable[[Tensors], Tensors]
    ) -> Signature:
        """A named function of the servable."""
        return Signature(about, question.inputs, outputs, answer)


def _retrieval(servable: Servable) -> dict[str, Signature]:
    """Recommendations and embeddings of the main task."""
    if not servable.retrieves:
        return {}
    main, user, item = servable.main, servable.user, servable.item
    context = servable.context([main])
    known = servable.known(user) | context
    made = {"retrieve": _retrieved(servable, known)} if servable.stages else {}
    made |= {
        "serving_default": _recommendation(servable, known, fixed=True),
        "recommend": _recommendation(servable, known),
        f"embed_{user}": _query(servable, known),
        f"embed_{item}": _candidate(servable, servable.known(item)),
    }
    for form in Form:
        if new := servable.new_user([main], form):
            made[f"embed_new_{user}{form.value}"] = _query(servable, new | context)
        if new := servable.new_user(servable.tasks, form):
            made[f"recommend_new_{user}{form.value}"] = _recommendation(servable, new | context | servable.bounds())
        if new := servable.new_item(item, [main], form):
            made[f"embed_new_{item}{form.value}"] = _candidate(servable, new)
    return made


def _retrieved(servable: Servable, who: Given) -> Signature:
    """The first stage alone."""

    def answer(given: Tensors) -> Tensors:
        return servable.retrieve(who.batch(given), at_least_one(given["k"]), given["exclude_ids"])

    return _lists(servable, who, _of_catalog(servable, "`k`"), f"of `{servable.main}`", answer)


def _recommendation(servable: Servable, who: Given, fixed: bool = False) -> Signature:
    number, stages = DEFAULT_K if fixed else "`k`", servable.stages
    about, score = _of_catalog(servable, str(number)), f"of `{servable.main}`"
    if stages:
        score = f"the utility, the {stages.settings.combine} of what tasks say"
        about = (
            f"The {number} best of the {stages.settings.candidates} first items of `retrieve` that may be in the list, by "
            f"{score}: {', '.join(f'{weight:g} {task}' for task, weight in stages.settings.utility.items())}."
        )

    def answer(given: Tensors) -> Tensors:
        k = tf.constant(DEFAULT_K) if fixed else at_least_one(given["k"])
        exclude = tf.zeros([1, 0], tf.string) if fixed else given["exclude_ids"]
        return servable.recommend(who.batch(given), k, exclude, {} if fixed else _wanted(servable, given))

    return _lists(servable, who, about, score, answer, _filters(servable), fixed)


def _of_catalog(servable: Servable, number: str) -> str:
    return f"The {number} best of the whole catalog by the task `{servable.main}`, exactly."


def _lists(
    servable: Servable,
    who: Given,
    about: str,
    score: str,
    answer: Callable[[Tensors], Tensors],
    columns: Collection[str] = (),
    fixed: bool = False,
) -> Signature:
    """A signature that answers with lists of items; `fixed` ones are asked for users alone, others also by `columns`."""
    left_out = "to leave out, padded with empty strings; one row counts for all"
    inputs = {"k": ServingInput("int32", (), K), "exclude_ids": ServingInput("string", (None,), left_out)}
    inputs |= {
        f"filter_{name}": ServingInput(
            "string", (None,), f"values of `{servable.item}.{name}` that are wanted; empty = any"
        )
        for name in columns
    }
    outputs = {
        f"{servable.item}_ids": "best first; empty where there are no more",
        "scores": f"{score}, finite; -inf where there are no more",
        "seen": "whether it is in the own past",
    }
    asked = who.inputs if fixed else {**who.inputs, **inputs}
    return Signature(about, asked, outputs, answer, frozenset({"k"}), frozenset(inputs) - {"k"})


def _filters(servable: Servable) -> list[str]:
    """The columns of the items by which requests choose."""
    return list(servable.filter.columns) if servable.filter else []


def _wanted(servable: Servable, given: Tensors) -> dict[str, tf.Tensor]:
    return {name: given[f"filter_{name}"] for name in _filters(servable)}


def _query(servable: Servable, who: Given) -> Signature:
    return _embedding(servable, who, "query", servable.head.queries)


def _candidate(servable: Servable, what: Given) -> Signature:
    return _embedding(servable, what, "candidate", servable.head.candidates)


def _embedding(servable: Servable, given: Given, role: str, embed: Callable[[TaskPass], tf.Tensor]) -> Signature:
    note = "The dot product of query and candidate is the score of `recommend`."
    if not servable.head.plain:
        note = (
            "The dense part alone: `recommend` adds what the head knows beside the dot product of query and candidate "
            "(the pair term over own past items, popularity, activity), so the dot product ranks discoveries."
        )
    about = f"The {role} of the task `{servable.main}`"

    def answer(values: Tensors) -> Tensors:
        return {"embedding": embed(servable.request(servable.main, given.batch(values)))}

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
        batch = who.batch(given)
        first = servable.request(tasks[0], batch)
        answers: dict[str, tf.Tensor] = {}
        for task in tasks:
            head, rows = servable.pipeline.model.heads[task], first.beside(task)
            answers |= {task: head.answers(rows), **head.parts(rows)}
        return answers | {f"{task}_classes": tf.constant(names) for task, names in classes.items()}

    classes = {task: names for task in tasks if (names := servable.pipeline.classes[task])}
    outputs = {task: _meaning(servable, task) for task in tasks}
    outputs |= {f"{task}_classes": f"the names of the classes of `{task}`" for task in classes}
    for task in tasks:
        outputs |= servable.pipeline.plan.tasks[task].parts(task)
    return Signature("Probabilities, row by row.", who.inputs, outputs, answer)


def _meaning(servable: Servable, task: str) -> str:
    label = servable.pipeline.plan.tasks[task].predicts
    classes = servable.pipeline.classes[task]
    return f"of `{label}` = {', '.join(classes)}" if classes else f"of `{label}`"


def _past(servable: Servable) -> Signature:
    who = servable.known(servable.user)

    def answer(given: Tensors) -> Tensors:
        return servable.past(who.batch(given), at_least_one(given["k"]))

    inputs = {**who.inputs, "k": ServingInput("int32", (), K)}
    outputs = {
        f"{servable.item}_ids": "latest first; empty where there are no more",
        "times": "seconds since 1970, UTC; 0 where there are no more",
    }
    if servable.retrieves:
        outputs["seen"] = f"whether it is in the own past, as `{servable.main}` counts it"
    return Signature("The last `k` events that are in the data.", inputs, outputs, answer, frozenset({"k"}))


def _similar(servable: Servable, like: SimilarItems | ItemsTogether, about: str) -> Signature:
    item = servable.item

    def answer(given: Tensors) -> Tensors:
        return servable.nearest(like, given[f"{item}_id"], at_least_one(given["k"]))

    inputs = {f"{item}_id": servable.known(item).inputs[f"{item}_id"], "k": ServingInput("int32", (), K)}
    outputs = {
        f"{item}_ids": "best first, without the item itself; empty where there are no more, and for an item that is not known",
        "scores": "how alike they are; -inf where there are no more",
    }
    return Signature(about, inputs, outputs, answer, frozenset({"k"}))


def _entities(servable: Servable, task: str) -> list[str]:
    """The entities that the rows of a task have."""
    return list(servable.pipeline.tables[servable.pipeline.plan.rows_of(task)]["train"].ids)
