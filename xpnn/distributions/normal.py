"""Normal distributions of numbers and of vectors."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.functions.probabilities import ndtr, ndtri
from xpnn.autograd.functions.random import randn_like
from xpnn.backend import ArgumentError, ShapeError
from xpnn.distributions.distribution import Distribution, as_parameter, together

__all__ = ["MultivariateNormal", "Normal"]

_LOG_2PI = math.log(2 * math.pi)


class Normal(Distribution):
    """The normal distribution: density e^(-((x - loc) / scale)^2 / 2) / (scale sqrt(2 pi)).

    Args:
        loc, scale: the means and standard deviations, which broadcast.

    Raises: ArgumentError for a scale that is not above 0.

    >>> Normal(0.0, 1.0).log_prob(0.0)
    tensor(-0.9189)
    """

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale, subject="Normal")
        super().__init__(self.loc.shape, (), validate_args)
        self.expect(self.scale > 0, "scale > 0")

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
        """The square of `scale`."""
        return self.scale**2

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + scale times standard normal numbers."""
        noise = randn_like(self.loc.detach().expand(self.shape_of_samples(sample_shape)))
        return self.loc + self.scale * noise

    def log_prob(self, value: Any) -> Tensor:
        """-((x - loc) / scale)^2 / 2 - ln(scale) - ln(2 pi) / 2."""
        z = (self.checked(value) - self.loc) / self.scale
        return -(z * z) / 2 - self.scale.log() - _LOG_2PI / 2

    def entropy(self) -> Tensor:
        """(1 + ln(2 pi)) / 2 + ln(scale)."""
        return self.scale.log() + (1 + _LOG_2PI) / 2

    def cdf(self, value: Any) -> Tensor:
        """The probability of what is not above a value."""
        return ndtr((self.checked(value) - self.loc) / self.scale)

    def icdf(self, value: Any) -> Tensor:
        """The value that a probability is not above of: the inverse of `cdf`."""
        return self.loc + self.scale * ndtri(self.checked(value))

    def __repr__(self) -> str:
        return f"Normal(loc: {self.loc.shape}, scale: {self.scale.shape})"


class MultivariateNormal(Distribution):
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

    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ArgumentError(
                "expects one of covariance_matrix, precision_matrix and scale_tril",
                subject="MultivariateNormal",
            )
        self.loc = as_parameter(loc, "MultivariateNormal")
        matrix = as_parameter(given[0], "MultivariateNormal")
        if self.loc.ndim < 1 or matrix.shape[-2:] != (self.loc.shape[-1],) * 2:
            raise ShapeError(
                f"expects means (..., d) and a matrix (..., d, d), got {self.loc.shape} and {matrix.shape}",
                subject="MultivariateNormal",
            )
        xp = matrix.__array_namespace__()
        if precision_matrix is not None:
            matrix = xp.linalg.inv(matrix)
        self.scale_tril = xp.tril(matrix) if scale_tril is not None else xp.linalg.cholesky(matrix)
        batch = (self.loc[..., 0] + self.scale_tril[..., 0, 0]).shape
        self.loc = self.loc.expand((*batch, self.loc.shape[-1]))
        super().__init__(batch, self.loc.shape[-1:], validate_args)
        self.expect(xp.linalg.diagonal(self.scale_tril) > 0, "a positive definite matrix")

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def covariance_matrix(self) -> Tensor:
        """L L^T."""
        return (self.scale_tril @ self.scale_tril.mT).expand((*self.loc.shape, self.loc.shape[-1]))

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        return (self.scale_tril**2).sum(dim=-1).expand(self.loc.shape)

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
        return (self._log_volume() + self.event_shape[0] * (1 + _LOG_2PI) / 2).expand(self.batch_shape)

    def _log_volume(self) -> Any:
        xp = self.scale_tril.__array_namespace__()
        return xp.linalg.diagonal(self.scale_tril).log().sum(dim=-1)

    def __repr__(self) -> str:
        return f"MultivariateNormal(loc: {self.loc.shape}, scale_tril: {self.scale_tril.shape})"
