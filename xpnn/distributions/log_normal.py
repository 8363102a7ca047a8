"""The distribution of e to a normal number."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.distributions import constraints
from xpnn.distributions.normal import Normal
from xpnn.distributions.transformed_distribution import TransformedDistribution
from xpnn.distributions.transforms import ExpTransform

__all__ = ["LogNormal"]


class LogNormal(TransformedDistribution):
    """The distribution of e^x, x normally distributed.

    Args:
        loc, scale: mean and standard deviation of x, which broadcast.

    >>> LogNormal(0.0, 1.0).mean
    tensor(1.6487)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    base_dist: Normal

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of x."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviation of x."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """e^(loc + scale^2 / 2)."""
        return (self.loc + self.scale**2 / 2).exp()

    @property
    def mode(self) -> Tensor:
        """e^(loc - scale^2)."""
        return (self.loc - self.scale**2).exp()

    @property
    def variance(self) -> Tensor:
        """(e^(scale^2) - 1) e^(2 loc + scale^2)."""
        square = self.scale**2
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        """That of x, + loc."""
        return self.base_dist.entropy() + self.loc

    def __repr__(self) -> str:
        return f"LogNormal(loc: {self.loc.shape}, scale: {self.scale.shape})"
