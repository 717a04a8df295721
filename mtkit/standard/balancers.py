"""Built-in balancers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat

from mtkit.spec import Balancer, BuildContext, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from mtkit.layers.gramian import Weighting

Share = Annotated[float, Field(ge=0, le=1)]


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


class Rlw(Balancer):
    """Random weights in each step, softmax of normal draws (Lin et al., TMLR 2022). A baseline for all other balancers."""

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.loss_weighting.Rlw`."""
        from mtkit.layers.loss_weighting import Rlw as Layer

        return Layer(context.tasks, name=context.name)


class Dwa(Balancer):
    """Weighs tasks more whose loss fell less from the epoch before to the last one (Liu, Johns and Davison, CVPR 2019).

    The first two epochs have equal weights, of 1.
    """

    temperature: PositiveFloat = Field(2.0, description="the larger, the more equal the weights are")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.loss_weighting.Dwa`."""
        from mtkit.layers.loss_weighting import Dwa as Layer

        return Layer(context.tasks, self.temperature, name=context.name)


class Famo(Balancer):
    """Learns weights by which the logarithms of all losses fall equally fast (Liu et al., NeurIPS 2023).

    After each update the rows of the step pass forward once more. The `weight` of a task has no effect, for that of its loss is
    divided by the loss.
    """

    rate: PositiveFloat = Field(0.025, description="learning rate of the weights")
    decay: NonNegativeFloat = Field(0.01, description="weight decay of the weights")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.loss_weighting.Famo`."""
        from mtkit.layers.loss_weighting import Famo as Layer

        return Layer(context.tasks, self.rate, self.decay, name=context.name)


class GradientBalancer(Balancer):
    """Makes one gradient of those of the tasks."""

    at: Literal["cut", "parameters"] = Field(
        "cut",
        description="where gradients meet: at the last tensors that tasks share, or at the parameters that they share",
    )


class GradNorm(GradientBalancer):
    """Learns weights by which gradients have lengths that follow how slowly each task learns (Chen et al., ICML 2018)."""

    alpha: NonNegativeFloat = Field(
        1.5, description="0 = equal lengths; the larger, the more those that lag are pulled"
    )
    rate: PositiveFloat = Field(0.025, description="learning rate of the weights")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.gradient_balancing.GradNorm`."""
        from mtkit.layers.gradient_balancing import GradNorm as Layer

        return Layer(context.tasks, self.alpha, self.rate, self.at, name=context.name)


class DbMtl(GradientBalancer):
    """Logarithms of the losses, and gradients made as long as the longest (Lin et al., 2023).

    The `weight` of a task has no effect.
    """

    beta: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="of the moving mean of lengths, what remains in the first step; 0 = none"
    )
    sigma: NonNegativeFloat = Field(0.5, description="falls with the number of the step to this power")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.gradient_balancing.DbMtl`."""
        from mtkit.layers.gradient_balancing import DbMtl as Layer

        return Layer(context.tasks, self.beta, self.sigma, self.at, name=context.name)


class GradDrop(Balancer):
    """Keeps of each feature at the cut the gradients of one sign, drawn by how far tasks agree (Chen et al., NeurIPS 2020)."""

    leak: Share = Field(0.0, description="part of a gradient that is kept whatever its sign")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.gradient_balancing.GradDrop`."""
        from mtkit.layers.gradient_balancing import GradDrop as Layer

        return Layer(context.tasks, self.leak, name=context.name)


class GramianBalancer(GradientBalancer):
    """Weighs gradients by their inner products alone."""

    def weighting(self) -> Weighting:
        """The method."""
        raise NotImplementedError

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.gradient_balancing.GramianStep`."""
        from mtkit.layers.gradient_balancing import GramianStep

        return GramianStep(context.tasks, self.weighting(), self.at, name=context.name)


class PcGrad(GramianBalancer):
    """Takes from each gradient what conflicts with another, one by one in an order that is drawn (Yu et al., NeurIPS 2020)."""

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.PCGrad`."""
        from mtkit.layers.gramian_weights import PCGrad

        return PCGrad()


class CaGrad(GramianBalancer):
    """Near the mean gradient, the direction that does most for the task that gains least (Liu et al., NeurIPS 2021)."""

    c: NonNegativeFloat = Field(0.4, description="how far from the mean gradient, in parts of its length")

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.CAGrad`."""
        from mtkit.layers.gramian_weights import CAGrad

        return CAGrad(self.c)


class Mgda(GramianBalancer):
    """The shortest mean of the gradients (Sener and Koltun, NeurIPS 2018). Tasks with small gradients decide."""

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.MGDA`."""
        from mtkit.layers.gramian_weights import MGDA

        return MGDA()


class NashMtl(GramianBalancer):
    """The bargain of Nash between tasks, whose gains are products of their gradients with the sum (Navon et al., ICML 2022)."""

    every: PositiveInt = Field(1, description="steps between two computations of the weights")
    max_norm: NonNegativeFloat = Field(1.0, description="largest length of the sum; 0 = any")

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.NashMTL`."""
        from mtkit.layers.gramian_weights import NashMTL

        return NashMTL(self.every, self.max_norm)


class ImtlG(GramianBalancer):
    """The sum whose projections onto all gradients are equally long (Liu et al., ICLR 2021)."""

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.IMTLG`."""
        from mtkit.layers.gramian_weights import IMTLG

        return IMTLG()


class AlignedMtl(GramianBalancer):
    """The mean of the gradients, made orthogonal and equally long (Senushkin et al., CVPR 2023)."""

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.AlignedMTL`."""
        from mtkit.layers.gramian_weights import AlignedMTL

        return AlignedMTL()


class ConFig(GramianBalancer):
    """The direction with the same cosine with all gradients (Liu, Chu and Thuerey, ICLR 2025)."""

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.ConFIG`."""
        from mtkit.layers.gramian_weights import ConFIG

        return ConFIG()


class UpGrad(GramianBalancer):
    """The mean of the gradients, each projected onto what makes no task worse (Quinton and Rey, 2024)."""

    def weighting(self) -> Weighting:
        """A `mtkit.layers.gramian_weights.UPGrad`."""
        from mtkit.layers.gramian_weights import UPGrad

        return UPGrad()
