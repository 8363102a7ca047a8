"""Numbers of the gamma distribution of rate 1, with gradients to its concentration."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor, no_grad, ops
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import digamma
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, DType
from xpnn.distributions.distribution import open_uniform
from xpnn.distributions.rejection import by_rejection

__all__: list[str] = []

_ROUNDS = 10  # a draw is refused with probability 0.05 at most: after so many 1e-13 are left
_STEP = 0.1  # of the quadrature below
_NODES = [-3.6 + _STEP * i for i in range(80)]
_FAR = 80.0  # e to this is a float32, and beyond it the integrand is none


def log_standard_gamma(concentration: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The logarithms of numbers of density x^(a-1) e^-x / gamma(a), where x itself may be too small.

    Drawn for a + 1 by Marsaglia & Tsang's squeeze, and then divided by e^(E / a), E exponentially
    distributed. A fixed number of rounds refuses and draws again; none is read in a compiled step.

    Backward: the implicit gradient, da = g dx/da at a fixed value of the distribution function.

    See: Marsaglia & Tsang (2000), "A simple method for generating gamma variables"; Figurnov, Mohamed & Mnih
    (2018), "Implicit reparameterization gradients".
    """
    a = concentration.expand(shape)
    half = DType(a.dtype).itemsize == 2
    wide = a.float() if half else a
    with no_grad():
        drawn = _drawn(wide.detach())
    return _reparametrised(wide, drawn)


def _drawn(a: Tensor) -> Tensor:
    d = a + 2 / 3  # a + 1 - 1 / 3

    def propose() -> tuple[Tensor, Tensor]:
        noise, share = randn_like(a), open_uniform(a, a.shape)
        volume = (1 + noise / (9 * d).sqrt()) ** 3
        inside = volume.clamp(min=1e-30)
        good = (volume > 0) & (share.log() < noise**2 / 2 + d - d * inside + d * inside.log())
        return inside, good

    volume = by_rejection(propose, a * 0 + 1, _ROUNDS, draws=2)
    return (d * volume).log() + open_uniform(a, a.shape).log() / a


@primitive
def _reparametrised(a: Array, log_x: Array) -> tuple[Array, tuple]:
    out = log_x + 0.0
    return out, (a, out)


@_reparametrised.backward
def _reparametrised_backward(g: Array, saved: tuple, needs: tuple) -> tuple:
    return g * log_gamma_slope(*saved), None


def log_gamma_slope(a: Array, log_x: Array) -> Array:
    """d ln x / da at a fixed value of the distribution function of the gamma distribution.

    With t = x e^s, it is the integral of e^(a s - x (e^s - 1)) (s + ln x - digamma(a)) over s > 0, or minus
    that over s < 0: the side on which the bracket has one sign, so that nothing cancels. The substitution
    |s| = scale e^(t - e^-t) makes the trapezoidal rule converge like e^-n. An a
    below 1 goes by that of a + 1.

    See: Takahasi & Mori (1974), "Double exponential formulas for numerical integration".
    """
    small = a < 1
    raised = ops.where(small, a + 1, a)
    slope = _integrated(raised, log_x)
    shift = ops.exp(log_x) * slope + digamma(ops.where(small, raised, 1.0 + 0.0 * a)) - log_x
    return ops.where(small, shift / a, slope)


def _integrated(a: Array, log_x: Array) -> Array:
    x = ops.exp(log_x)
    bracket = _log_less_digamma(a) + log_x - ops.log(a)
    side = ops.where(bracket >= 0, 1.0 + 0.0 * a, -1.0 + 0.0 * a)
    steep = side * (x - a)
    scale = 1.0 / ops.sqrt(ops.where(steep > 0, steep * steep, 0.0 * a) + x)
    total: Any = 0.0
    for node in _NODES:
        stretch = math.exp(node - math.exp(-node))
        s = side * (scale * stretch)
        s = ops.where(s > _FAR, _FAR + 0.0 * s, s)
        height = ops.exp(a * s - x * ops.expm1(s)) * ops.abs(s + bracket)
        total = total + _STEP * stretch * (1 + math.exp(-node)) * height
    return total * scale


def _log_less_digamma(a: Array) -> Array:
    """ln a - digamma(a), which are nearly the same for large a."""
    large = ops.maximum(a, 8.0 + 0.0 * a)
    inverse = 1.0 / (large * large)
    series = 1.0 / 12 - inverse * (1.0 / 120 - inverse * (1.0 / 252 - inverse * (1.0 / 240 - inverse / 132)))
    return ops.where(a >= 8.0, 0.5 / large + inverse * series, ops.log(a) - digamma(a))
