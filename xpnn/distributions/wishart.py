"""Wishart's distribution of covariances."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import broadcast_shapes, mvlgamma, where
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import digamma
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.chi2 import Chi2
from xpnn.distributions.distribution import as_parameter, one_of
from xpnn.distributions.multivariate_normal import OfCovariance

__all__ = ["Wishart"]


class Wishart(OfCovariance):
    """The distribution of the sums of outer products x x^T of `df` normal vectors, (..., d, d).

    Args:
        df: the degrees of freedom (...), above d - 1, not only whole numbers.
        covariance_matrix: V (..., d, d), that of the vectors. precision_matrix: its inverse.
        scale_tril: the lower triangular factor L of V = L L^T; one of the three is given.

    See: M. Bartlett (1933), "On the theory of statistical regression" (the way to draw).

    >>> from xpnn.autograd import tensor
    >>> Wishart(3.0, tensor([[1.0, 0.0], [0.0, 1.0]])).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "df": constraints.positive,
        "scale_tril": constraints.lower_cholesky,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
    }
    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = one_of(
            "Wishart",
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise ShapeError(f"expects a matrix (..., d, d), got {matrix.shape}", subject="Wishart")
        self.df = as_parameter(df, "Wishart").to(matrix)
        batch = tuple(broadcast_shapes(self.df.shape, matrix.shape[:-2]))
        size = matrix.shape[-1]
        self.df = self.df.expand(batch)
        matrix = matrix.expand((*batch, size, size))
        setattr(self, name, matrix)
        super().__init__(batch, (size, size), validate_args)
        self.expect(self.df > size - 1, f"df above {size - 1}, one less than the size of the matrix", self.df)
        self._factorise(name)

    @property
    def mean(self) -> Tensor:
        """df V."""
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """(df - d - 1) V, where that is positive, else NaN."""
        factor = self.df - self._size - 1
        return where(factor > 0, factor, math.nan)[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        """df (V_ij^2 + V_ii V_jj)."""
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v**2 + diagonal[..., :, None] * diagonal[..., None, :])

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """L A A^T L^T: below the diagonal of A normal numbers, on it the roots of chi-squared ones."""
        squares = Chi2(self.df[..., None] - self._counts()).rsample(sample_shape)
        noise = randn_like(self.scale_tril.detach().expand(self.shape_of_samples(sample_shape)))
        factor = self.scale_tril @ (noise.tril(-1) + squares.sqrt().diag_embed())
        return factor @ factor.mT

    def log_prob(self, value: Any) -> Tensor:
        """(df - d - 1) / 2 ln|X| - tr(V^-1 X) / 2 - df / 2 (d ln 2 + ln|V|) - ln Gamma_d(df / 2)."""
        value = self.checked(value)
        xp = value.__array_namespace__()
        batch = broadcast_shapes(self.batch_shape, value.shape[:-2])
        factor, value = (x.expand((*batch, *self.event_shape)) for x in (self.scale_tril, value))
        half = xp.linalg.solve(factor, value)
        whole = xp.linalg.solve(factor, half.mT)
        trace = whole.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        volume = xp.linalg.slogdet(value).logabsdet
        constant = self.df / 2 * (self._size * math.log(2) + self._log_volume())
        return (self.df - self._size - 1) / 2 * volume - trace / 2 - constant - self._log_gamma()

    def entropy(self) -> Tensor:
        """(d + 1) / 2 (ln|V| + d ln 2) + ln Gamma_d(df / 2) - (df - d - 1) / 2 psi_d(df / 2) + df d / 2."""
        d = self._size
        slope = digamma((self.df[..., None] - self._counts()) / 2).sum(dim=-1)
        first = (d + 1) / 2 * (self._log_volume() + d * math.log(2)) + self._log_gamma()
        return first - (self.df - d - 1) / 2 * slope + self.df * d / 2

    @property
    def _size(self) -> int:
        return self.event_shape[-1]

    def _counts(self) -> Tensor:
        """0, 1 ... d - 1."""
        return self.df.detach().new_ones(self._size).cumsum(dim=0) - 1

    def _log_volume(self) -> Tensor:
        return 2 * self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)

    def _log_gamma(self) -> Any:
        return mvlgamma(self.df / 2, self._size)
