"""Windows: weights that fade at both ends, for transforms of short stretches of a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnn.autograd.functions.creation import finished
from xpnn.backend import ArgumentError, DType, DTypeError, asarray, get_default_dtype, refusing, windows

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]


@refusing
def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Hann's window: w[n] = 1/2 - cos(2 pi n / N) / 2, where N is the length, less 1 if not `periodic`.

    >>> hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window(
        "hann_window",
        windows.cosines(0.5, 0.5),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
        options,
    )


@refusing
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Hamming's window: w[n] = alpha - beta cos(2 pi n / N), with N as in `hann_window`.

    >>> hamming_window(2)
    tensor([0.0800, 1.0000])
    """
    return _window(
        "hamming_window",
        windows.cosines(alpha, beta),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
        options,
    )


@refusing
def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Blackman's window: w[n] = 0.42 - cos(2 pi n / N) / 2 + 0.08 cos(4 pi n / N); N as in `hann_window`.

    >>> blackman_window(2)[1]
    tensor(1.)
    """
    shape = windows.cosines(0.42, 0.5, 0.08)
    return _window("blackman_window", shape, window_length, periodic, dtype, device, requires_grad, options)


@refusing
def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Bartlett's window, a triangle: w[n] = 1 - |2 n / N - 1|, with N as in `hann_window`.

    >>> bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """

    return _window(
        "bartlett_window", windows.triangle, window_length, periodic, dtype, device, requires_grad, options
    )


@refusing
def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Kaiser's window: w[n] = I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta), with N as in `hann_window`.

    >>> kaiser_window(2)[1]
    tensor(1.)
    """

    weights = windows.bessel(beta)
    return _window("kaiser_window", weights, window_length, periodic, dtype, device, requires_grad, options)


def window_of(
    name: str,
    weights: Any,
    length: int,
    periodic: bool,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """The window of these weights (see `backend.windows`), with the options of `hann_window`."""
    return _window(name, weights, length, periodic, dtype, device, requires_grad, options)


def _window(
    name: str,
    weights: Any,
    length: int,
    periodic: bool,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    options: dict[str, Any],
) -> Tensor:
    """The weights, which are computed on the host in float64, where new Tensors are made."""
    if type(length) is not int or length < 0:
        raise ArgumentError(f"expects a length of 0 or more, got {length!r:.60}", subject=name)
    kind = get_default_dtype() if dtype is None else DType(dtype)
    if not kind.is_floating_point:
        raise DTypeError(f"expects a floating-point dtype, got {kind}", subject=name)
    host = weights(windows.places(length, periodic))
    return finished(asarray(host, kind, device), requires_grad, options, name)
