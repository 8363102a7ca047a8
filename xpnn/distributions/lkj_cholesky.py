"""The distribution of correlations of Lewandowski, Kurowicka and Joe."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import mvlgamma, stack
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import lgamma
from xpnn.autograd.mode import no_grad
from xpnn.backend import ArgumentError
from xpnn.distributions import constraints
from xpnn.distributions.beta import Beta
from xpnn.distributions.distribution import Distribution, as_parameter, as_tensor

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Lower triangular factors L of correlation matrices: the density of L L^T is as |L L^T|^(c - 1).

    Args:
        dim: the size d of the matrices, 2 or more.
        concentration: c, above 0; of 1 all correlation matrices are equally likely.

    See: Lewandowski, Kurowicka & Joe (2009), "Generating random correlation matrices based on vines and
    extended onion method". PyTorch 2.13 draws from another distribution for a dim above 2.

    >>> LKJCholesky(3, 0.5).sample().shape
    (3, 3)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if type(dim) is not int or dim < 2:
            raise ArgumentError(f"expects a dim of 2 or more, got {dim!r:.40}", subject="LKJCholesky")
        self.dim = dim
        self.concentration = as_parameter(concentration, "LKJCholesky")
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Row after row, a direction from all evenly and its length by a beta distribution."""
        with no_grad():
            c = self.concentration
            noise = randn_like(c.new_zeros(self.shape_of_samples(sample_shape)))
            zero = noise[..., 0, :] * 0
            rows = []
            for i in range(self.dim):
                unit = zero.new_tensor([float(j == i) for j in range(self.dim)])
                if not i:
                    rows.append(zero + unit)
                    continue
                length = Beta(c * 0 + i / 2, c + (self.dim - 1 - i) / 2).sample(sample_shape)[..., None]
                before = noise[..., i, :] * zero.new_tensor([float(j < i) for j in range(self.dim)])
                direction = before / before.square().sum(dim=-1, keepdim=True).sqrt()
                rows.append(direction * length.sqrt() + unit * (1 - length).sqrt())
            return stack(rows, dim=-2)

    def log_prob(self, value: Any) -> Tensor:
        """The sum over rows i > 1 of (2 (c - 1) + d - i) ln L_ii, less the logarithm of the volume."""
        diagonal = self.checked(as_tensor(value, "LKJCholesky")).diagonal(dim1=-2, dim2=-1)[..., 1:]
        d, c = self.dim, self.concentration
        below = diagonal.new_tensor([float(d - i) for i in range(2, d + 1)])
        density = ((2 * (c - 1)[..., None] + below) * diagonal.log()).sum(dim=-1)
        alpha = c + (d - 1) / 2
        volume = (d - 1) * (math.log(math.pi) / 2 - lgamma(alpha)) + mvlgamma(alpha - 0.5, d - 1)
        return density - volume
