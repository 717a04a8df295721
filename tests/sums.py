"""Sums of a graph whose order is left to chance."""

_SAME_BUFFER = {"Identity", "Reshape", "ExpandDims", "Squeeze", "StopGradient"}


def unordered_sums(graph):
    """Names of AddN operations that may add up in either of several orders.

    AddN adds into the first of its inputs that no other operation holds any more, and begins with it. An input that has
    no other consumer is always free; where neither of the first two is, it depends on what has finished meanwhile. (Which
    of the first two comes first makes no difference.)
    """
    sums = [op for op in graph.get_operations() if op.type == "AddN" and len(op.inputs) > 2]
    return [op.name for op in sums if all(_consumers(_origin(tensor)) > 1 for tensor in list(op.inputs)[:2])]


def _origin(tensor):
    while tensor.op.type in _SAME_BUFFER:
        tensor = tensor.op.inputs[0]
    return tensor


def _consumers(tensor):
    return sum(_consumers(op.outputs[0]) if op.type in _SAME_BUFFER else 1 for op in tensor.consumers())
