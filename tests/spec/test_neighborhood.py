from mtkit.conditions import Where
from mtkit.spec import Branch, Neighborhood

VIEW, BUY = (Where.model_validate({"event": kind}) for kind in ("view", "buy"))


def test_branches_go_to_and_fro_and_come_after_their_parents():
    asked = Neighborhood("acting", (5, 3, 2))
    assert list(asked.branches()) == [
        Branch((0,), "item", 5),
        Branch((0, 0), "acting", 3),
        Branch((0, 0, 0), "item", 2),
    ]
    assert asked.nodes() == 5 + 5 * 3 + 5 * 3 * 2


def test_each_kind_of_edges_has_a_branch_and_those_who_act_have_friends():
    asked = Neighborhood("item", (4, 2), (VIEW, BUY), friends="trusts")
    assert [(branch.path, branch.side) for branch in asked.branches()] == [
        ((0,), "acting"),
        ((1,), "acting"),
        ((0, 0), "item"),
        ((0, 1), "item"),
        ((0, 2), "acting"),
        ((1, 0), "item"),
        ((1, 1), "item"),
        ((1, 2), "acting"),
    ]
    assert asked.nodes() == 2 * 4 + 6 * 4 * 2


def test_a_neighborhood_names_its_conditions():
    assert Neighborhood("acting", (1,), (VIEW, BUY)).conditions == (VIEW, BUY)
    assert Neighborhood("acting", (1,)).conditions == ()


def test_names_of_what_layers_get():
    branch = Branch((1, 0), "item", 3)
    assert (branch.neighbors, branch.degree, branch.back) == ("neighbors.1.0", "degree.1.0", "degree.1.0.0")
    assert (branch.parent, branch.kind) == ((1,), 0)
