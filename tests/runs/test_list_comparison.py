import io

from rich.console import Console

from mtkit.runs.list_comparison import lists_for_json, lists_of, show_lists
from mtkit.runs.recommend import Recommendation, Servant


def test_lists_of_runs_stand_beside_one_another(tiny_run):
    lists = lists_of([tiny_run, tiny_run], "105", 3)
    assert lists == {str(tiny_run): Servant(tiny_run).recommend("105", 3)}
    assert len(lists_for_json("105", lists)["lists"][str(tiny_run)]) == 3


def test_items_of_all_lists_are_marked():
    one, two, three = (Recommendation(name, 1.0, name == "b", f"text [{name}]") for name in "abc")
    console = Console(file=io.StringIO(), width=80)
    show_lists("7", {"r1": [one, two], "r2": [two, three, one]}, console)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["1", "a", "text", "[a]", "*", "b", "text", "[b]", "(had)", "*"] in lines
    assert ["2", "b", "text", "[b]", "(had)", "*", "c", "text", "[c]"] in lines
    assert ["3", "a", "text", "[a]", "*"] in lines
    assert "2 items in all lists" in console.file.getvalue()
