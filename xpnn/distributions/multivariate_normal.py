"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import broadcast_shapes
from xpnn.autograd.functions.random import randn_like
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter, lazy, one_of

__all__ = ["MultivariateNormal"]

_LOG_2PI = math.log(2 * math.pi)


class OfCovariance(Distribution):
    """A distribution that is given a covariance matrix, its inverse, or its triangular factor L.

    Attributes:
        scale_tril: L (..., d, d), of the covariance L L^T.
    """

    scale_tril: Tensor

    def _factorise(self, given: str) -> None:
        """Make L of the attribute that was given."""
        matrix = getattr(self, given)
        xp = matrix.__array_namespace__()
        if given == "scale_tril":
            self.scale_tril = xp.tril(matrix)  # no gradient above the diagonal
        else:
            covariance = matrix if given == "covariance_matrix" else xp.linalg.inv(matrix)
            self.scale_tril = xp.linalg.cholesky(covariance)

    @lazy
    def covariance_matrix(self) -> Tensor:
        """L L^T."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy
    def precision_matrix(self) -> Tensor:
        """The inverse of L L^T."""
        xp = self.scale_tril.__array_namespace__()
        return xp.linalg.inv(self.covariance_matrix)


class MultivariateNormal(OfCovariance):
    """The normal distribution of vectors (..., d), by one of three matrices (..., d, d).

    Args:
        loc: the means (..., d).
        covariance_matrix: its Cholesky factor is computed. precision_matrix: its inverse.
        scale_tril: the lower triangular factor L of the covariance L L^T.

    Raises: ArgumentError unless just one of the three is given.

    >>> from xpnn.autograd import tensor
    >>> MultivariateNormal(tensor([0.0, 0.0]), tensor([[1.0, 0.0], [0.0, 1.0]])).log_prob([0.0, 0.0])
    tensor(-1.8379)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = one_of(
            "MultivariateNormal",
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        self.loc = as_parameter(loc, "MultivariateNormal")
        if self.loc.ndim < 1 or matrix.shape[-2:] != (self.loc.shape[-1],) * 2:
            raise ShapeError(
                f"expects means (..., d) and a matrix (..., d, d), got {self.loc.shape} and {matrix.shape}",
                subject="MultivariateNormal",
            )
        batch = tuple(broadcast_shapes(self.loc.shape[:-1], matrix.shape[:-2]))
        size = self.loc.shape[-1]
        self.loc = self.loc.expand((*batch, size))
        matrix = matrix.expand((*batch, size, size))
        setattr(self, name, matrix)
        super().__init__(batch, (size,), validate_args)
        self._factorise(name)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        return (self.scale_tril**2).sum(dim=-1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + L times standard normal numbers."""
        noise = randn_like(self.loc.detach().expand(self.shape_of_samples(sample_shape)))
        return self.loc + (self.scale_tril @ noise[..., None])[..., 0]

    def log_prob(self, value: Any) -> Tensor:
        """-|L^-1 (x - loc)|^2 / 2 - sum of ln(diagonal of L) - d ln(2 pi) / 2."""
        off = self.checked(value) - self.loc
        xp = off.__array_namespace__()
        factor = self.scale_tril.expand((*off.shape, off.shape[-1]))
        z = xp.linalg.solve(factor, off[..., None])[..., 0]
        return -(z * z).sum(dim=-1) / 2 - self._log_volume() - off.shape[-1] * _LOG_2PI / 2

    def entropy(self) -> Tensor:
        """d (1 + ln(2 pi)) / 2 + sum of ln(diagonal of L)."""
        return self._log_volume() + self.event_shape[0] * (1 + _LOG_2PI) / 2

    def _log_volume(self) -> Any:
        xp = self.scale_tril.__array_namespace__()
        return xp.linalg.diagonal(self.scale_tril).log().sum(dim=-1)
