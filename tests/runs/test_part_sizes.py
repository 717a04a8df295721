from mtkit.recipe.loader import load_recipe
from mtkit.runs.part_sizes import part_sizes


def test_parts_are_as_large_as_their_weights(tiny_recipe):
    sets = ["encoder.visit.reads=['context.hour']", "encoder.customer.reads=['user.id']", "train.optimizer='sgd'"]
    sizes = {size.part: size for size in part_sizes(load_recipe(tiny_recipe, sets))}
    assert {"encoder.customer", "encoder.past", "correlation.experts", "task.next", "task.gift"} <= sizes.keys()
    customer = sizes["encoder.customer"]
    assert customer.parameters == 81 * 8  # 80 users and the unknown
    assert (customer.bytes, customer.training) == (81 * 8 * 4, 81 * 8 * 4 * 2)
