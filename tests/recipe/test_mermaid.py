import re

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.mermaid import mermaid


def test_all_parts_and_what_they_read_are_drawn(tiny_recipe):
    text = mermaid(load_recipe(tiny_recipe))
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "flowchart LR"
    assert 'encoder_past["past<br/>history, 8 wide"]' in lines
    assert 'task_department(["department<br/>content<br/>item.department"])' in lines
    assert {"feature_history --> encoder_past", "encoder_look -. catalog .-> encoder_past"} <= {*lines}
    assert {"encoder_past --> correlation_experts", "correlation_experts -->|past| task_next"} <= {*lines}
    assert {"task_department -. predicts .-> task_gift", "task_gift --> balance"} <= {*lines}


def test_each_arrow_is_between_nodes(tiny_recipe):
    pair = "correlation.both={use='fusion', on=['customer', 'look']}"
    text = mermaid(load_recipe(tiny_recipe, [pair, "task.discounted.inputs=['past', 'both']"]))
    nodes = {match.group(1) for match in re.finditer(r"^    (\w+)[\[({]", text, re.MULTILINE)}
    ends = re.findall(r"^    (\w+) (?:-->|-\. \w+ \.->)(?:\|\w+\|)? (\w+)$", text, re.MULTILINE)
    assert ends
    assert {end for edge in ends for end in edge} == nodes
    assert ("correlation_experts", "correlation_both") in ends
    assert ("correlation_both", "task_discounted") in ends
