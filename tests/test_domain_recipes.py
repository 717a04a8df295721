"""The recipes of the domains on small data that are made: every task trains, is measured and is told what could be had."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from pyarrow import csv

from mtkit.cli.program import main
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe
from mtkit.standard.sources import Synthetic
from mtkit.synthetic.domains import domain_of
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.writing import make, recipe_texts

SMALL = ("data.rows=4000", "data.users=160", "data.items=60", "train.epochs=1", "evaluate.baselines=['majority']")
SIZES = Settings(rows=4000, users=160, items=60)


@pytest.fixture(params=recipe_texts().items(), ids=lambda found: found[0])
def recipe(request, tmp_path):
    name, text = request.param
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_they_are_of_data_that_are_made(recipe):
    loaded = load_recipe(recipe)
    assert isinstance(loaded.data.source, Synthetic)
    assert len(loaded.task) >= 2


@pytest.mark.slow
def test_every_task_is_measured(recipe, tmp_path):
    loaded = load_recipe(recipe, SMALL)
    found = run_recipe(loaded, tmp_path / "run")
    assert {key.split("/")[0] for key in found.test} == set(loaded.task)
    make(loaded.data.source.domain, SIZES, tmp_path / "files")
    best = json.loads((tmp_path / "files" / "truth.json").read_text())["tasks"]
    assert set(loaded.task) <= set(best), "what could be had is known of every task"
    for task in loaded.task:
        assert f"{task}/{best[task]['metric']}" in found.test


@pytest.mark.slow
def test_nothing_above_the_band_is_recommended_by_the_command(tmp_path):
    files = make("finance", SIZES, tmp_path / "bank")
    recipe = next(file for file in files if file.suffix == ".toml")
    run_recipe(load_recipe(recipe, [*SMALL[3:], "export.use='saved_model'"]), tmp_path / "run")
    source = load_recipe(recipe).data.source.load()
    risk = dict(zip(*(source.entities["item"][name].to_pylist() for name in ("id", "risk")), strict=True))
    limits = dict(zip(*(source.entities["user"][name].to_pylist() for name in ("id", "limit")), strict=True))
    for user in list(limits)[:5]:
        options = ["recommend", str(tmp_path / "run"), "--user", str(user), "-k", "20", "--json"]
        found = json.loads(CliRunner().invoke(main, options, catch_exceptions=False).output)
        listed = [risk[int(one["item"])] for one in found["recommendations"]]
        assert listed
        assert max(listed) <= limits[user]


RETAIL = Path(__file__).parents[1] / "recipes" / "retail_files.toml"
SHOP = Settings(rows=12_000, users=60, items=80, missing=0.0)
#: From the start of what is made to the months of the recipe's split.
SHIFT = pa.scalar(-2_312 * 86_400, pa.duration("s"))
FEW = [
    "data.catalog.item.min_count=5",
    "train.epochs=1",
    "evaluate.baselines=['popularity','own_frequency','majority']",
]


@pytest.fixture
def retail_files(tmp_path):
    """A recipe beside its tables, which are those of the made shop under the names of Complete Journey."""
    domain = domain_of("shop")(SHOP)
    folder = tmp_path / "complete-journey"
    folder.mkdir()
    csv.write_csv(_transactions(domain.part(0).table), folder / "transactions.csv")
    csv.write_csv(_products(domain.tables["item"]), folder / "products.csv")
    recipe = tmp_path / "retail_files.toml"
    recipe.write_text(RETAIL.read_text(encoding="utf-8"), encoding="utf-8")
    return recipe


def _transactions(lines):
    times = pc.add(lines["time"], SHIFT)
    return pa.table({
        "household_id": lines["user"], "store_id": lines["channel"], "basket_id": lines["basket"],
        "product_id": lines["item"], "quantity": pc.subtract(1, lines["returned"]),
        "sales_value": pc.multiply(1.5, pc.cast(pc.subtract(1, lines["returned"]), pa.float64())),
        "transaction_timestamp": pc.strftime(times, "%Y-%m-%d %H:%M:%S"),
    })  # fmt: skip


def _products(items):
    return pa.table({
        "product_id": items["id"], "manufacturer_id": items["maker"], "department": items["department"],
        "brand": pa.array(["National", "Private"] * (len(items) // 2)), "product_category": items["department"],
        "product_type": items["title"], "package_size": pa.array(["1 LB"] * len(items)),
    })  # fmt: skip


@pytest.mark.slow
def test_plain_retail_files_train_end_to_end(retail_files, tmp_path):
    found = run_recipe(load_recipe(retail_files, FEW), tmp_path / "run").test
    assert {key.split("/")[0] for key in found} == {"next", "bought_again", "nothing_taken"}
    assert {"next/ndcg@10", "next/new/ndcg@10", "bought_again/auc", "nothing_taken/auc"} <= found.keys()
    assert found["next/ndcg@10"] > 0.2
    assert np.isfinite([*found.values()]).all()
