"""The normal distribution of vectors whose covariance is of low rank beside its diagonal."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import broadcast_shapes
from xpnn.autograd.functions.random import randn_like
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter, lazy

__all__ = ["LowRankMultivariateNormal"]

_LOG_2PI = math.log(2 * math.pi)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors (..., d) with the covariance W W^T + diag(D).

    Densities need no more than the Cholesky factor of the (k, k) matrix 1 + W^T D^-1 W.

    Args:
        loc: the means (..., d).
        cov_factor: W (..., d, k). cov_diag: D (..., d), above 0.

    See: M. Woodbury (1950), "Inverting modified matrices".

    >>> from xpnn.autograd import tensor
    >>> LowRankMultivariateNormal(tensor([0.0]), tensor([[1.0]]), tensor([1.0])).variance
    tensor([2.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None) -> None:
        loc, factor, diagonal = (
            as_parameter(value, type(self).__name__) for value in (loc, cov_factor, cov_diag)
        )
        size = loc.shape[-1] if loc.ndim else 0
        if not loc.ndim or factor.ndim < 2 or factor.shape[-2] != size or diagonal.shape[-1:] != (size,):
            raise ShapeError(
                f"expects means (..., d), a factor (..., d, k) and a diagonal (..., d), got {loc.shape}, "
                f"{factor.shape} and {diagonal.shape}",
                subject=type(self).__name__,
            )
        batch = tuple(broadcast_shapes(loc.shape[:-1], factor.shape[:-2], diagonal.shape[:-1]))
        self.loc, self.cov_diag = loc.expand((*batch, size)), diagonal.expand((*batch, size))
        self.cov_factor = factor.expand((*batch, size, factor.shape[-1]))
        super().__init__(batch, (size,), validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @lazy
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        return self.cov_factor.square().sum(dim=-1) + self.cov_diag

    @lazy
    def covariance_matrix(self) -> Tensor:
        """W W^T + diag(D)."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy
    def scale_tril(self) -> Tensor:
        """The lower triangular factor L of the covariance L L^T."""
        return self.covariance_matrix.__array_namespace__().linalg.cholesky(self.covariance_matrix)

    @lazy
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return self.covariance_matrix.__array_namespace__().linalg.inv(self.covariance_matrix)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + W times standard normal numbers + the roots of D times others."""
        shape = self.shape_of_samples(sample_shape)
        few = randn_like(self.loc.detach().new_zeros((*shape[:-1], self.cov_factor.shape[-1], 1)))
        noise = randn_like(self.loc.detach().expand(shape))
        return self.loc + (self.cov_factor @ few)[..., 0] + self.cov_diag.sqrt() * noise

    def log_prob(self, value: Any) -> Tensor:
        """-(|D^-1/2 x|^2 - |C^-1 W^T D^-1 x|^2) / 2 - half the log determinant - d ln(2 pi) / 2, of x - loc.

        C is the Cholesky factor of 1 + W^T D^-1 W.
        """
        off = self.checked(value) - self.loc
        xp = off.__array_namespace__()
        scaled = off / self.cov_diag
        few = (self.cov_factor.mT @ scaled[..., None])[..., 0]
        root = self._root.expand((*few.shape, few.shape[-1]))
        inside = xp.linalg.solve(root, few[..., None])[..., 0]
        distance = (off * scaled).sum(dim=-1) - inside.square().sum(dim=-1)
        return -distance / 2 - self._log_volume() - off.shape[-1] * _LOG_2PI / 2

    def entropy(self) -> Tensor:
        """d (1 + ln(2 pi)) / 2 + half the log determinant."""
        entropy: Any = self._log_volume() + self.event_shape[0] * (1 + _LOG_2PI) / 2
        return entropy

    @lazy
    def _root(self) -> Tensor:
        scaled = self.cov_factor / self.cov_diag[..., None]
        product = self.cov_factor.mT @ scaled
        xp = product.__array_namespace__()
        return xp.linalg.cholesky(
            product + xp.eye(product.shape[-1], dtype=product.dtype, device=product.device)
        )

    def _log_volume(self) -> Any:
        """Half the logarithm of the determinant of the covariance."""
        xp = self._root.__array_namespace__()
        return xp.linalg.diagonal(self._root).log().sum(dim=-1) + self.cov_diag.log().sum(dim=-1) / 2
