"""The normal distribution's relative on a circle."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions.probabilities import i0e, i1e
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, open_uniform, together
from xpnn.distributions.rejection import by_rejection

__all__ = ["VonMises"]

_ROUNDS = 30  # a draw is refused with probability 0.35 at most


class VonMises(Distribution):
    """Angles around `loc`: density e^(k cos(x - loc)) / (2 pi I0(k)).

    Args:
        loc: in radians. concentration: k, above 0; they broadcast.

    See: Best & Fisher (1979), "Efficient simulation of the von Mises distribution".

    >>> VonMises(0.0, 1.0).log_prob(0.0)
    tensor(-1.0738)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = together(loc, concentration, subject="VonMises")
        super().__init__(self.loc.shape, (), validate_args)

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
        """The circular one, 1 - I1(k) / I0(k)."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Angles in [-pi, pi)."""
        with no_grad():
            shape = self.shape_of_samples(sample_shape)
            k = self.concentration.detach().expand(shape)
            tau = 1 + (1 + 4 * k**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            wide = (1 + rho**2) / (2 * rho)
            r = k.__array_namespace__().where(k < 1e-3, 1 / k + k, wide)  # where the difference cancels

            def propose() -> tuple[Tensor, Tensor]:
                z = (math.pi * open_uniform(k, shape)).cos()
                cosine = (1 + r * z) / (r + z)
                c, share = k * (r - cosine), open_uniform(k, shape)
                return cosine, (c * (2 - c) > share) | ((c / share).log() + 1 - c >= 0)

            cosine = by_rejection(propose, k * 0 + 1, _ROUNDS, draws=2)
            angle = (open_uniform(k, shape) - 0.5).sign() * cosine.clamp(-1, 1).acos()
            return (angle + math.pi + self.loc) % (2 * math.pi) - math.pi

    def log_prob(self, value: Any) -> Tensor:
        """k (cos(x - loc) - 1) - ln(2 pi e^-k I0(k))."""
        turn = (self.checked(value) - self.loc).cos() - 1
        return self.concentration * turn - math.log(2 * math.pi) - i0e(self.concentration).log()
