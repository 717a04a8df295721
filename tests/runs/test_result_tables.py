import io

import pytest
from rich.console import Console

from mtkit.runs.result_tables import result_tables, verdict_table


def console(width=80):
    return Console(file=io.StringIO(), width=width, highlight=False)


def printed(terminal):
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]


def drawn(keys, columns, width=80, **options):
    terminal = console(width)
    tables = list(result_tables(keys, columns, width, **options))
    for table in tables:
        terminal.print(table)
    return tables, printed(terminal)


def bold(table):
    """Column -> the rows in which its figure is the best."""
    cells = {str(column.header): list(column.cells) for column in table.columns}
    return {
        name: [row for row, text in zip(cells["test"], column, strict=True) if text.style == "bold"]
        for name, column in cells.items()
        if name != "test"
    }


def test_the_best_is_bold_and_for_losses_it_is_the_lowest():
    model = {"a/auc": 0.9, "a/log_loss": 0.2, "a/f1": float("nan")}
    baseline = {"a/auc": 0.5, "a/log_loss": 0.7, "a/f1": None}
    columns = {"mtkit": model, "majority": baseline}
    (table,), lines = drawn(list(model), columns, lower=["a/log_loss"])
    assert bold(table) == {"mtkit": ["auc", "log_loss"], "majority": []}
    (table,), _ = drawn(list(model), {"mtkit": baseline, "majority": model}, lower=["a/log_loss"])
    assert bold(table) == {"mtkit": [], "majority": ["auc", "log_loss"]}
    assert any(line.split() == ["f1", "-"] for line in lines)


@pytest.mark.parametrize("width", [60, 80])
def test_intervals_stand_beside_the_model_once(width):
    keys = [f"next/tail/{metric}@10" for metric in ("recall", "coverage", "novelty")]
    model = dict(zip(keys, (0.5, 0.3, 12.5), strict=True))
    bounds = {keys[0]: [0.4512, 0.5488], keys[2]: [12.25, 12.75]}
    names = ("popularity", "own_frequency", "own_recency", "item_knn", "ease")
    tables, lines = drawn(keys, {"mtkit": model} | dict.fromkeys(names, model), width, intervals=bounds)
    assert max(map(len, lines)) <= width
    assert len(tables) > 1
    assert sum(line.count("95 %") for line in lines) == 1
    rows = [line.split()[:3] for line in lines]
    assert ["recall@10", "0.5000*", ".4512-.5488"] in rows
    assert ["novelty@10", "12.5000*", "12.2500-12.7500"] in rows


def test_seeds_and_many_baselines_fit_into_80_columns():
    keys = [f"next/{part}{metric}@{k}" for part in ("", "new/") for metric in ("recall", "coverage") for k in (10, 50)]
    names = ("mtkit", "popularity", "own_frequency", "own_recency", "item_knn", "ease")
    several = {key: {"mean": 0.5731, "std": 0.00123, "values": [0.57, 0.58]} for key in keys}
    same = {key: {"mean": 0.5, "std": 0.0, "values": [0.5, 0.5]} for key in keys}
    (_,), lines = drawn(keys, {"mtkit": several} | dict.fromkeys(names[1:], same))
    assert max(map(len, lines)) <= 80
    assert any("0.5731±.0012" in line and line.count("0.5000") == 5 for line in lines)

    tables, lines = drawn(keys, dict.fromkeys(names, several))
    assert len(tables) == 2
    assert max(map(len, lines)) <= 80
    assert sum(line.count("0.5731±.0012") for line in lines) == len(keys) * (len(names) + 1)


def test_verdicts_fit_into_60_columns():
    terminal = console(60)
    names = {"model": 0.12345, "value": 0.1, "metric": "new/ndcg@10"}
    words = ("better", "not told apart", "worse", "not tested")
    lines = [
        {"task": "recommendation_of_next", "baseline": "recency_popularity", "verdict": word, **names} for word in words
    ]
    lines.append({**lines[0], "task": "[b]", "value": None, "baseline": None, "verdict": "no baseline"})
    terminal.print(verdict_table(lines))
    shown = printed(terminal)
    assert max(map(len, shown)) <= 60
    assert not any("…" in line for line in shown)
    for word in (*words, "no baseline"):
        assert sum(line.endswith(word) for line in shown) == 1
    assert any(line.startswith("[b]") for line in shown)
