"""Several long texts of an entity through whole recipes: run, export, questions to it, `mtkit recommend`."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asking import ask, ids_of
from bare import ask_bare
from click.testing import CliRunner
from slow_texts import is_text, request, vectors_of
from tiny_shop import TinyShop

from mtkit.backend import tf
from mtkit.cli.program import main
from mtkit.feed.batch import Batch
from mtkit.feed.device_tables import RowStore
from mtkit.model.forward import Forward
from mtkit.recipe.loader import load_recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.run import run_recipe
from mtkit.runs.trainer import trained_pipeline
from mtkit.serving.servable import serving_rows
from mtkit_bert.layers import BertModel

CUT = (6, 3, 1)
RECIPE = """\
recipe = 1
name = "texts"
seed = 1

[data]
use = "files"
interactions = "{data}/lines.parquet"
[data.entities]
user = "{data}/user.parquet"
item = "{data}/item.parquet"
[data.columns]
user = {{kind = "id", entity = "user"}}
item = {{kind = "id", entity = "item"}}
basket = {{kind = "id"}}
time = {{kind = "time"}}
gift = {{kind = "label"}}
[data.entity_columns]
user = {{town = {{kind = "categorical"}}}}
[data.entity_columns.item]
title = {{kind = "text"}}
body = {{kind = "text"}}
[data.split]
use = "time"
valid = 2024-07-01
test = 2024-08-01
refit = false

[rows.windows]
use = "windows"
length = "30d"
stride = "30d"
count = 2
batch_size = 16
[rows.lines]
use = "interactions"
since = "30d"
labels = ["gift"]
batch_size = 32

[encoder.customer]
use = "features"
reads = ["user.id", "user.town"]
dim = 8
[encoder.words]
use = "bert"
reads = ["item.title", "item.body"]
checkpoint = "{checkpoint}"
max_tokens = 6
chunks = 3
overlap = 1
dim = 8
{options}

[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["customer"]
candidate = ["words"]
[task.gift]
use = "user_preference"
rows = "lines"
inputs = ["customer", "words"]
label = "gift"

[train]
epochs = 1
optimizer = "adam"
learning_rate = 0.02
steps_per_execution = 8

[evaluate]
k = [3]
metrics = ["ndcg"]
prediction_metrics = ["accuracy"]

[export]
text_signatures = true
"""
#: What the vocabulary of the small checkpoint can spell.
WORDS = ("milk", "milky", "bread", "fresh", "a", "奶", "牛", "面", "包", "|", "unknown")
#: Titles and bodies of items that are not in the data.
UNSEEN = (
    ("fresh milk", "milky bread"),
    ("fresh milk", ""),
    ("", "Fresh  BREAD | a 牛奶"),
    ("", ""),
    (" ", "\n"),
    ("milk " * 60, "bread a fresh | " * 60),
    ("面包", "milk a a | a bread fresh fresh milky 牛 [SEP] 奶 😀 ؟"),
)
READS = ("item_title", "item_body")
OPTIONS = {
    "frozen": 'mode = "frozen"\ncombine = "mean"',
    "full": 'mode = "full"\ncombine = "concat"\nlearning_rate_factor = 1.0',
}


@dataclass
class Trained:
    """A finished run."""

    mode: str
    checkpoint: Path
    directory: Path

    @cached_property
    def pipeline(self) -> Any:
        return trained_pipeline(RunDirectory(self.directory))

    @cached_property
    def forward(self) -> Any:
        return Forward(self.pipeline.model)

    @cached_property
    def signatures(self) -> Any:
        return tf.saved_model.load(str(self.directory / "export" / "1")).signatures

    def catalog(self) -> Any:
        """Candidate embeddings of every item."""
        return self.pipeline.model.heads["next"].catalog(self.forward.task("next", Batch({})))

    def answers(self, task: str, batch: Batch) -> Any:
        """What a task says of the rows of a batch."""
        return self.pipeline.model.heads[task].answers(self.forward.task(task, batch))

    @property
    def encoder(self) -> Any:
        return self.pipeline.model.encoders["words"]

    def embeddings(self, texts):
        """Of pairs of texts, by passes of single windows through the trained network."""
        network = BertModel.from_checkpoint(self.checkpoint) if self.mode == "frozen" else self.encoder.network
        vectors = [vectors_of(network, self.checkpoint, column, "mean", *CUT) for column in zip(*texts, strict=True)]
        if self.mode == "full":
            rows = np.concatenate(vectors, axis=1)
        else:
            there = np.array([[is_text(text) for text in pair] for pair in texts])
            rows = np.sum(vectors, axis=0) / np.maximum(there.sum(axis=1), 1)[:, None]
        kernel, bias = self.encoder.dense.get_weights()
        return tf.constant(rows @ kernel + bias, tf.float32)

    def tokens(self, texts):
        """The same as inputs of a request by token ids."""
        columns = zip(*texts, strict=True)
        return {f"{name}_token_ids": request(self.checkpoint, c, *CUT) for name, c in zip(READS, columns, strict=True)}

    def asked(self, name, texts, **more):
        """Answers to texts as ids and as strings, which are the same."""
        by_ids = ask(self.signatures, name, **self.tokens(texts), **more)
        strings = dict(zip(READS, map(list, zip(*texts, strict=True)), strict=True))
        by_strings = ask(self.signatures, f"{name}_text", **strings, **more)
        assert by_ids.keys() == by_strings.keys()
        for output, values in by_ids.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(by_strings[output], values, atol=1e-5)
        return by_ids


def texts_of(count):
    """Titles and bodies: long, short, equal ones, empty and missing ones."""
    rng = np.random.default_rng(3)

    def text(most):
        return " ".join(rng.choice(WORDS, rng.integers(1, most + 1)))

    titles, bodies = [text(4) for _ in range(count)], [text(5 if i % 3 else 30) for i in range(count)]
    titles[2:5], bodies[4:7] = [None, "", None], [None, " ", None]
    bodies[9] = titles[8] = titles[7]
    return titles, bodies


def telling_apart(state):
    """Normalizations of a new network, with which vectors of random ones differ much from text to text."""
    new = {"LayerNorm.weight": np.ones_like, "LayerNorm.bias": np.zeros_like}
    return {name: new.get(".".join(name.split(".")[-2:]), np.array)(tensor) for name, tensor in state.items()}


def write_data(directory):
    data = TinyShop(users=30, lines=600).load()
    items, users = data.entities["item"], data.entities["user"]
    titles, bodies = texts_of(len(items))
    pq.write_table(pa.table({"id": items["id"], "title": titles, "body": bodies}), directory / "item.parquet")
    pq.write_table(users.select(["id", "town"]), directory / "user.parquet")
    pq.write_table(data.interactions, directory / "lines.parquet")


@pytest.fixture(scope="module", params=["frozen", pytest.param("full", marks=pytest.mark.slow)])
def run(request, write_checkpoint, tmp_path_factory):
    """A run of the recipe in each mode; shared by all tests, which leave it as it is."""
    directory = tmp_path_factory.mktemp(request.param)
    checkpoint = write_checkpoint(directory / "checkpoint", change=telling_apart)
    write_data(directory)
    recipe = directory / "recipe.toml"
    recipe.write_text(RECIPE.format(data=directory, checkpoint=checkpoint, options=OPTIONS[request.param]), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTKIT_CACHE", str(directory / "cache"))
        run_recipe(load_recipe(recipe), directory / "run")
        yield Trained(request.param, checkpoint, directory / "run")


def catalog(run):
    """Ids and texts of the items of the data."""
    items = run.pipeline.fold.entities["item"]
    titles, bodies = (items.columns[name].to_pylist()[1:] for name in ("title", "body"))
    return ids_of(run.pipeline, "item")[1:], list(zip(titles, bodies, strict=True))


def test_what_an_export_answers(run):
    names = {"embed_new_item", "rank_new_item"}
    assert {name for name in run.signatures if "new_item" in name} == names | {f"{name}_text" for name in names}
    known, texts = catalog(run)
    embedded = ask(run.signatures, "embed_item", item_id=known)["embedding"]
    np.testing.assert_allclose(embedded, run.catalog()[1:], atol=1e-5)
    assert None in {text for pair in texts for text in pair}, "blanks are nulls"


@pytest.mark.slow
def test_items_of_the_data_are_what_training_made_of_their_texts(run):
    known, texts = catalog(run)
    rows = tf.range(1, len(known) + 1)
    states = run.forward.states("words", Batch({"item": rows}))
    np.testing.assert_allclose(states, run.embeddings(texts), atol=1e-4)
    user, batch = ids_of(run.pipeline, "user")[1], Batch({"user": tf.ones_like(rows), "item": rows})
    expected = run.answers("gift", batch)
    users = [user] * len(known)
    found = ask(run.signatures, "rank", user_id=users, item_id=known)["gift"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    given = [tuple(text or "" for text in pair) for pair in texts]
    np.testing.assert_allclose(run.asked("rank_new_item", given, user_id=users)["gift"], expected, atol=1e-5)


def test_unseen_items_are_embedded_by_the_trained_network(run):
    words, heads, count = {"words": run.embeddings(UNSEEN)}, run.pipeline.model.heads, len(UNSEEN)
    expected = heads["next"].candidate(words, tf.zeros([count], tf.int32))
    np.testing.assert_allclose(run.asked("embed_new_item", UNSEEN)["embedding"], expected, atol=1e-4)
    customer = {"customer": run.forward.states("customer", Batch({"user": tf.ones([count], tf.int32)}))}
    expected = heads["gift"].predict(heads["gift"](customer | words))
    users = [ids_of(run.pipeline, "user")[1]] * count
    np.testing.assert_allclose(run.asked("rank_new_item", UNSEEN, user_id=users)["gift"], expected, atol=1e-4)
    assert np.ptp(expected) > 1e-2


def test_each_unseen_item_is_answered_for_itself(run):
    """Whatever else is asked: windows of long texts beside it, another order, nothing beside it."""
    together = run.asked("embed_new_item", UNSEEN)["embedding"]
    backwards = run.asked("embed_new_item", UNSEEN[::-1])["embedding"][::-1]
    alone = np.concatenate([run.asked("embed_new_item", [pair])["embedding"] for pair in UNSEEN])
    np.testing.assert_allclose(backwards, together, atol=1e-5)
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(together[3], together[4], atol=1e-6)
    distinct = np.delete(together, 4, axis=0)
    distances = np.linalg.norm(distinct[:, None] - distinct, axis=-1) + np.eye(len(distinct))
    assert distances.min() > 1e-3


def test_recommendations_are_those_of_the_trained_model(run):
    row, (known, texts) = 3, catalog(run)
    options = ["recommend", str(run.directory), "--user", ids_of(run.pipeline, "user")[row], "-k", "40", "--json"]
    said = json.loads(CliRunner().invoke(main, options, catch_exceptions=False).stdout)["recommendations"]
    assert {one["item"]: one["text"] for one in said} == {
        item: title or "" for item, (title, _) in zip(known, texts, strict=True)
    }
    rows = serving_rows(run.pipeline.fold, ("own", "activity", "popularity"))
    scores = run.answers("next", RowStore(rows).gather(tf.constant([row], tf.int64)))[0, 1:]
    found = {one["item"]: one["score"] for one in said}
    np.testing.assert_allclose([found[item] for item in known], scores, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_questions_need_tensorflow_alone(run):
    strings = dict(zip(READS, map(list, zip(*UNSEEN, strict=True)), strict=True))
    tokens = {name: ids.tolist() for name, ids in run.tokens(UNSEEN).items()}
    result = ask_bare(run.directory / "export" / "1", {"embed_new_item": tokens, "embed_new_item_text": strings})
    assert set(result["ops"]) <= set(result["core"])
    assert not result["foreign"]
    expected = ask(run.signatures, "embed_new_item", **run.tokens(UNSEEN))["embedding"]
    for answer in result["answers"].values():
        np.testing.assert_allclose(np.array(answer["embedding"], float), expected, atol=1e-5)
