import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import DataError, DeclarationError
from mtkit.serving.export import save
from mtkit.standard.vectors import Vectors
from mtkit.testing import check_import_is_light, check_spec

WIDTH = 5


@pytest.fixture
def files(tmp_path):
    """Vectors of the tiny shop's items p00 to p39, in another order, and one that it does not have."""
    names = [*(f"p{number:02}" for number in reversed(range(40))), "elsewhere"]
    np.save(tmp_path / "image.npy", np.random.default_rng(0).normal(3, 1, (41, WIDTH)).astype(np.float32))
    (tmp_path / "image.txt").write_text("\n".join(names), "utf-8")
    return tmp_path


SETS = (
    "encoder.image={use='vectors', reads=['item.id'], path='image.npy', ids='image.txt', dim=8}",
    "task.next.candidate=['image']",
    "train.epochs=1",
)


def test_spec(tmp_path):
    check_spec(Vectors(reads=("item.id",), path=tmp_path / "a.parquet"))
    check_import_is_light("mtkit.standard.vectors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reads": ("item.color",)}, "expected the id of an entity"),
        ({"reads": ("context.id",)}, "expected the id of an entity"),
        ({"path": "a.csv"}, "ends in .npy or .parquet"),
        ({"path": "a.npy"}, "needs `ids`"),
        ({"ids": "b.txt"}, "has its ids within"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(DeclarationError, match=message):
        Vectors(**{"reads": ("item.id",), "path": "a.parquet"} | options)


@pytest.mark.slow
def test_vectors_train_and_are_served(files, train_tiny):
    """The file lies beside the recipe. A vector that comes with a request gives what the catalog's own gives."""
    pipeline = train_tiny(*SETS)
    table = pipeline.model.feed.entities["item"]
    ids = list(pipeline.fold.entities["item"].ids)
    held = table.gather("vector/image", tf.range(len(ids))).numpy()
    given = dict(zip((files / "image.txt").read_text().splitlines(), np.load(files / "image.npy"), strict=True))
    expected = np.stack([given[name] / np.linalg.norm(given[name]) for name in ids[1:]])
    np.testing.assert_allclose(held[1:], expected, rtol=1e-5)
    assert not held[0].any()
    exported = tf.saved_model.load(str(save(pipeline, files / "export")))
    known = exported.signatures["embed_item"](item_id=tf.constant(ids[1:]))
    brought = tf.constant(np.stack([given[name] for name in ids[1:]]))
    new = exported.signatures["embed_new_item"](item_vector=brought)
    # The last entry is the head's own bias of the item.
    new, known = (answer["embedding"][:, :-1] for answer in (new, known))
    np.testing.assert_allclose(new, known, atol=1e-5)
    assert np.std(known, axis=0).min() > 0
    # What is no vector is served as none.
    odd = tf.constant([[0.0] * WIDTH, [np.nan] * WIDTH, [1, np.inf, 0, 0, 0], [3e38] * WIDTH])
    none, *others = exported.signatures["embed_new_item"](item_vector=odd)["embedding"].numpy()
    np.testing.assert_array_equal(others, [none] * 3)
    assert np.isfinite(none).all()


@pytest.mark.slow
def test_entities_without_a_vector_are_counted(files, train_tiny):
    (files / "image.txt").write_text("\n".join(f"q{number}" for number in range(40)) + "\np03", "utf-8")
    with pytest.warns(UserWarning, match=r"encoder image: \d+ of \d+ items have no vector in .*image.npy"):
        train_tiny(*SETS)


def test_mistakes_name_the_encoder(files, train_tiny):
    (files / "image.npy").unlink()
    with pytest.raises(DataError, match=r"encoder image: .*image.npy: there is no such file"):
        train_tiny(*SETS)
