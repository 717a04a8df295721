"""Built-in balancers."""

from __future__ import annotations

from typing import Any

from mtkit.spec import Balancer, BuildContext


class Fixed(Balancer):
    """The sum of the losses, each times the `weight` of its task."""

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.balancing.Sum`."""
        from mtkit.layers.balancing import Sum

        return Sum(name=context.name)


class Uncertainty(Balancer):
    """Weighs each task by its own learned uncertainty (Kendall et al., CVPR 2018).

    The `weight` of a task multiplies its loss before; at rest the learned weight undoes it, so that weights set the
    pace of the start only.
    """

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.balancing.Uncertainty`."""
        from mtkit.layers.balancing import Uncertainty as Layer

        return Layer(context.tasks, name=context.name)
