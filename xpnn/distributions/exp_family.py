"""The base of users' own distributions whose density is e^(natural parameters times statistics - A)."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, grad
from xpnn.autograd.mode import enable_grad
from xpnn.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution that gives natural parameters t and the normalizer A(t), and gets its entropy by them.

    A subclass gives `_natural_params`, a tuple of Tensors, `_log_normalizer(*natural_params)`, and where the
    carrier measure is not 1 the mean of its logarithm, `_mean_carrier_measure`.

    See: Nielsen & Nock (2010), "Entropies and cross-entropies of exponential families".
    """

    _mean_carrier_measure: Any = 0.0

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no _natural_params")

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no _log_normalizer")

    def entropy(self) -> Tensor:
        """A(t) - t dA/dt - the mean of the carrier measure's logarithm."""
        with enable_grad():
            params = [p if p.requires_grad else p.detach().requires_grad_() for p in self._natural_params]
            normalizer = self._log_normalizer(*params)
            slopes = grad(normalizer.sum(), params, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for param, slope in zip(params, slopes):
            result = result - (param * slope).reshape((*self.batch_shape, -1)).sum(dim=-1)
        return result
