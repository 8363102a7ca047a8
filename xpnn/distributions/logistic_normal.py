"""The distribution of probabilities by stick breaking from normal numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.normal import Normal
from xpnn.distributions.transformed_distribution import TransformedDistribution
from xpnn.distributions.transforms import StickBreakingTransform

__all__ = ["LogisticNormal"]


class LogisticNormal(TransformedDistribution):
    """The distribution of n + 1 probabilities, broken off a stick by n normally distributed numbers.

    Args:
        loc, scale: mean and standard deviation of the numbers (..., n), which broadcast.

    >>> from xpnn.autograd import tensor
    >>> LogisticNormal(tensor([0.0, 0.0]), 1.0).sample().shape
    (3,)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args)
        if not base.batch_shape:
            raise ShapeError("expects numbers (..., n), got one without axes", subject="LogisticNormal")
        super().__init__(base, StickBreakingTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of the numbers."""
        return self.base_dist.base_dist.loc  # type: ignore[attr-defined]

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the numbers."""
        return self.base_dist.base_dist.scale  # type: ignore[attr-defined]
