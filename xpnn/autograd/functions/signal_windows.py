"""The functions of `xpnn.signal.windows`: PyTorch's `torch.signal.windows`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.autograd.functions.windows import window_of
from xpnn.backend import ArgumentError, refusing, windows

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


@refusing
def bartlett(M: int, *, sym: bool = True, **options: Any) -> Any:
    """A triangle: w[n] = 1 - |2 n / (M - 1) - 1|.

    Args:
        M: the length. sym: whether it is symmetric; else the last weight of a longer one is left out.
        options: dtype, device and requires_grad, as of `hann_window`.

    >>> bartlett(3)
    tensor([0., 1., 0.])
    """
    return window_of("bartlett", windows.triangle, M, not sym, **options)


@refusing
def blackman(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Blackman's: w[n] = 0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1)); see `bartlett`."""
    return window_of("blackman", windows.cosines(0.42, 0.5, 0.08), M, not sym, **options)


@refusing
def cosine(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Half a wave: w[n] = sin(pi (n + 1/2) / M); see `bartlett`.

    >>> cosine(1)
    tensor([1.])
    """
    return window_of("cosine", windows.half_wave, M, not sym, **options)


@refusing
def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    **options: Any,
) -> Any:
    """w[n] = e^(-|n - center| / tau); see `bartlett`.

    Args:
        center: where it is 1, default the middle; to be left out of a symmetric window. tau: above 0.

    >>> exponential(1)
    tensor([1.])
    """
    if not tau > 0:
        raise ArgumentError(f"expects tau > 0, got {tau}", subject="exponential")
    if sym and center is not None:
        raise ArgumentError("expects no center of a symmetric window", subject="exponential")
    return window_of("exponential", windows.decay(tau, center), M, not sym, **options)


@refusing
def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Any:
    """Gauss's: w[n] = e^(-(n - (M - 1) / 2)^2 / (2 std^2)); see `bartlett`.

    >>> gaussian(1)
    tensor([1.])
    """
    if not std > 0:
        raise ArgumentError(f"expects std > 0, got {std}", subject="gaussian")
    return window_of("gaussian", windows.bell(std), M, not sym, **options)


@refusing
def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Any:
    """The sum of (-1)^k a_k cos(2 pi k n / (M - 1)); see `bartlett`."""
    weights = tuple(a) if isinstance(a, Iterable) else ()
    if not weights:
        raise ArgumentError(f"expects weights in a, got {a!r:.60}", subject="general_cosine")
    return window_of("general_cosine", windows.cosines(*weights), M, not sym, **options)


@refusing
def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Any:
    """w[n] = alpha - (1 - alpha) cos(2 pi n / (M - 1)); see `bartlett`."""
    return window_of("general_hamming", windows.cosines(alpha, 1 - alpha), M, not sym, **options)


@refusing
def hamming(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Hamming's: `general_hamming` with alpha 0.54."""
    return general_hamming(M, sym=sym, **options)


@refusing
def hann(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Hann's: `general_hamming` with alpha 1/2.

    >>> hann(3)
    tensor([0., 1., 0.])
    """
    return general_hamming(M, alpha=0.5, sym=sym, **options)


@refusing
def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Any:
    """Kaiser's: w[n] = I0(beta sqrt(1 - (2 n / (M - 1) - 1)^2)) / I0(beta); see `bartlett`."""
    if not beta >= 0:
        raise ArgumentError(f"expects beta >= 0, got {beta}", subject="kaiser")
    return window_of("kaiser", windows.bessel(beta), M, not sym, **options)


@refusing
def nuttall(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Nuttall's, of four cosines with the least side lobes: `general_cosine`."""
    return general_cosine(M, a=(0.3635819, 0.4891775, 0.1365995, 0.0106411), sym=sym, **options)
