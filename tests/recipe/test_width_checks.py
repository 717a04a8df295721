import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["encoder.product.dim=4"],
            r"correlation\.experts\.units: residual = true .* the input is 4 wide; set units = 4, .* \(embedding 'product'\)",
        ),
        (
            ["encoder.product.dim=4", "correlation.experts.units=[16, 8]"],
            r"correlation\.experts\.units: .* set units = \[16, 4\], or residual = false",
        ),
        (
            ["encoder.product.dim=4", "correlation.experts.residual=false", "correlation.experts.on=['customer']"],
            r"task\.next: its embeddings need one width .* 'past' is 8 wide, 'customer' is 8 wide, 'product' is 4 wide",
        ),
        (
            ["correlation.experts={use='task_attention', heads=3}"],
            r"correlation\.experts\.heads: does not divide the width 8",
        ),
        (
            ["correlation.more={use='task_attention', heads=3}", "correlation.experts.residual=false"],
            r"correlation\.more\.heads: does not divide the width 8",
        ),
        (
            ["correlation.experts={use='stem', own=2}"],
            r"correlation\.experts\.own: takes 8 numbers for 4 tasks, and an embedding has 8, .* set its `dim` to 10",
        ),
        (
            ["encoder.look.dim=4", "correlation.experts.share=true", "correlation.experts.residual=false"],
            r"correlation\.experts\.share: share = true is one layer for all .*'look' is 4 wide",
        ),
    ],
)
def test_widths_that_do_not_match_are_found_without_building(tiny_recipe, sets, message):
    unsets = ["correlation.experts"] if sets[0].startswith("correlation.experts={") else []
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, sets, unsets)


@pytest.mark.parametrize(
    "sets",
    [
        ["encoder.product.dim=4", "correlation.experts.residual=false"],
        ["encoder.visit.dim=4", "correlation.experts.on=['customer', 'product']"],
        ["encoder.unread={use='features', reads=['item.color'], dim=3}"],
        ["task.next={use='retrieval', dim=4}", "encoder.product.dim=4", "correlation.experts.on=['customer']"],
    ],
)
def test_widths_that_do_not_meet_may_differ(tiny_recipe, sets):
    assert load_recipe(tiny_recipe, sets)
