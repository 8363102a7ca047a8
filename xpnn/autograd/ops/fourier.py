"""Discrete Fourier transforms, as the standard's extension `fft` has them.

There are three primitives: of complex numbers along several axes, of real numbers along one axis, of which
half the result says all, and from such a half back to real numbers. Each has an adjoint among the three.

See: J. Cooley & J. Tukey (1965), "An algorithm for the machine calculation of complex Fourier series".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from xpnn.autograd.ops.broadcasting import axes_of
from xpnn.autograd.ops.elementwise import conj, multiply
from xpnn.autograd.ops.indexing import getitem
from xpnn.autograd.ops.joining import along, concat
from xpnn.autograd.ops.manipulation import astype, roll
from xpnn.autograd.primitive import primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    IndexOutOfRangeError,
    default_dtype,
    device_of,
    dtype_name,
    dtype_named,
    is_complex,
    is_floating,
    is_half,
    namespace,
)
from xpnn.backend.idioms import zeros_like_shape

Norm = Literal["backward", "ortho", "forward"]

# Where the factor 1/n stands in the adjoint of a transform: there where it stands in the transform.
_ADJOINT = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def fft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Array:
    """The Fourier transform along one axis: y_k = sum_j x_j e^(-2 pi i jk / n).

    Args:
        x: real or complex.
        n: the length, to which the axis is cut or filled up with zeros; default its size.
        norm: which of the transform and its inverse is divided by n: "backward": the inverse, "forward": the
            transform, "ortho": both, by the root of n.

    Backward: the inverse transform of the gradient, divided by n where the transform is.

    >>> import numpy as np
    >>> fft(np.asarray([1.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    return fftn(x, s=None if n is None else (n,), axes=(axis,), norm=norm)


def ifft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Array:
    """The inverse of `fft`: y_j = (1/n) sum_k x_k e^(2 pi i jk / n).

    >>> import numpy as np
    >>> ifft(np.asarray([4.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    return ifftn(x, s=None if n is None else (n,), axes=(axis,), norm=norm)


def fftn(
    x: Array, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Array:
    """The Fourier transform along several axes, one after the other (see `fft`).

    Args:
        s: the lengths along the axes; -1 is the size.
        axes: default are the last ones, as many as `s` has, or all.

    >>> import numpy as np
    >>> fftn(np.ones((2, 2))).tolist()
    [[(4+0j), 0j], [0j, 0j]]
    """
    return _transformed(x, s, axes, norm, inverse=False, subject="fft")


def ifftn(
    x: Array, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Array:
    """The inverse of `fftn`.

    >>> import numpy as np
    >>> ifftn(np.asarray([[4.0, 0.0], [0.0, 0.0]])).tolist()
    [[(1+0j), (1+0j)], [(1+0j), (1+0j)]]
    """
    return _transformed(x, s, axes, norm, inverse=True, subject="ifft")


def rfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Array:
    """`fft` of real numbers: the first n // 2 + 1 of its elements, of which the others are conjugates.

    >>> import numpy as np
    >>> rfft(np.asarray([1.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j)]
    """
    return rfftn(x, s=None if n is None else (n,), axes=(axis,), norm=norm)


def irfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Array:
    """The inverse of `rfft`.

    Args:
        n: the length of the result; default 2 (m - 1) of m elements.

    >>> import numpy as np
    >>> irfft(np.asarray([1.0, 1.0, 1.0])).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    return irfftn(x, s=None if n is None else (n,), axes=(axis,), norm=norm)


def rfftn(
    x: Array, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Array:
    """`fftn` of real numbers: half of its elements along the last axis.

    >>> import numpy as np
    >>> rfftn(np.ones((2, 2))).tolist()
    [[(4+0j), 0j], [0j, 0j]]
    """
    sizes, axes = _sizes(x, s, axes, "rfft")
    _check_norm(norm, "rfft")
    if is_complex(getattr(x, "array", x)):
        raise DTypeError(f"expects real numbers, got {dtype_name(x.dtype)}", subject="rfft")
    y = _real_fourier(_resized(_floats(x, "rfft"), sizes, axes), axis=axes[-1], norm=norm)
    return _fourier(y, axes=axes[:-1], norm=norm, inverse=False) if len(axes) > 1 else y


def irfftn(
    x: Array, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Array:
    """The inverse of `rfftn`.

    Args:
        s: the lengths of the result; default for the last axis 2 (m - 1) of m elements.

    >>> import numpy as np
    >>> irfftn(np.asarray([[4.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    given = None if s is None else tuple(s)
    sizes, axes = _sizes(x, s, axes, "irfft")
    _check_norm(norm, "irfft")
    n = sizes[-1] if given is not None and given[-1] != -1 else 2 * (x.shape[axes[-1]] - 1)
    if n < 1:
        raise ArgumentError(f"expects a length of at least 1, got {n}", subject="irfft")
    x = _resized(_as_complex(_floats(x, "irfft")), (*sizes[:-1], n // 2 + 1), axes)
    if len(axes) > 1:
        x = _fourier(x, axes=axes[:-1], norm=norm, inverse=True)
    return _half_fourier(x, n=n, axis=axes[-1], norm=norm)


def hfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Array:
    """`fft` of numbers of which the second half are conjugates of the first, which is given: it is real.

    Args:
        n: the length of the result; default 2 (m - 1) of m elements.

    >>> import numpy as np
    >>> hfft(np.asarray([1.0, 1.0, 1.0])).tolist()
    [4.0, 0.0, 0.0, 0.0]
    """
    _check_norm(norm, "hfft")
    return irfft(_conj(x), n=n, axis=axis, norm=_ADJOINT[norm])  # type: ignore[arg-type]


def ihfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Array:
    """The inverse of `hfft`.

    >>> import numpy as np
    >>> ihfft(np.asarray([4.0, 0.0, 0.0, 0.0])).tolist()
    [(1-0j), (1-0j), (1-0j)]
    """
    _check_norm(norm, "ihfft")
    return conj(rfft(x, n=n, axis=axis, norm=_ADJOINT[norm]))  # type: ignore[arg-type]


def fftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """The frequency 0 in the middle of the axes; None is all.

    >>> import numpy as np
    >>> fftshift(np.asarray([0.0, 1.0, -2.0, -1.0])).tolist()
    [-2.0, -1.0, 0.0, 1.0]
    """
    chosen = _axes(x, axes, "fftshift")
    return roll(x, tuple([x.shape[axis] // 2 for axis in chosen]), axis=chosen) if chosen else x


def ifftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """The inverse of `fftshift`.

    >>> import numpy as np
    >>> ifftshift(np.asarray([-2.0, -1.0, 0.0, 1.0])).tolist()
    [0.0, 1.0, -2.0, -1.0]
    """
    chosen = _axes(x, axes, "ifftshift")
    return roll(x, tuple([-(x.shape[axis] // 2) for axis in chosen]), axis=chosen) if chosen else x


# -- the primitives


@primitive
def _fourier(x: Array, *, axes: tuple[int, ...], norm: str, inverse: bool) -> tuple[Array, tuple]:
    transform = namespace(x).fft.ifftn if inverse else namespace(x).fft.fftn
    return _of_width(transform(x, axes=axes, norm=norm), x), ()


@_fourier.backward
def _fourier_backward(
    g: Array, saved: tuple, needs: tuple, *, axes: tuple[int, ...], norm: str, inverse: bool
) -> tuple[Array]:
    return (_fourier(g, axes=axes, norm=_ADJOINT[norm], inverse=not inverse),)


@primitive
def _real_fourier(x: Array, *, axis: int, norm: str) -> tuple[Array, tuple]:
    return _of_width(namespace(x).fft.rfft(x, axis=axis, norm=norm), x), (x.shape[axis],)


@_real_fourier.backward
def _real_fourier_backward(g: Array, saved: tuple, needs: tuple, *, axis: int, norm: str) -> tuple[Array]:
    """The half that isn't there has no gradient: the inverse counts elements with a partner in it twice."""
    (n,) = saved
    halved = multiply(g, _weights(g, n, axis, 0.5))
    return (_half_fourier(halved, n=n, axis=axis, norm=_ADJOINT[norm]),)


@primitive
def _half_fourier(x: Array, *, n: int, axis: int, norm: str) -> tuple[Array, tuple]:
    return _of_width(namespace(x).fft.irfft(x, n=n, axis=axis, norm=norm), x), ()


@_half_fourier.backward
def _half_fourier_backward(
    g: Array, saved: tuple, needs: tuple, *, n: int, axis: int, norm: str
) -> tuple[Array]:
    y = _real_fourier(g, axis=axis, norm=_ADJOINT[norm])
    return (multiply(y, _weights(y, n, axis, 2.0)),)


def _weights(g: Array, n: int, axis: int, weight: float) -> Array:
    """`weight` for elements of half a transform that have a partner in the other half, 1 for the others."""
    raw: Any = getattr(g, "array", g)
    xp, count = namespace(raw), n // 2 + 1
    places = xp.arange(count, device=device_of(raw))
    alone = (places == 0) | (2 * places == n)
    real = xp.float64 if dtype_name(raw.dtype) == "complex128" else xp.float32
    weights = xp.where(alone, xp.ones((count,), dtype=real, device=device_of(raw)), weight)
    return xp.reshape(weights, (count, *[1] * (g.ndim - axis - 1)))


def _of_width(y: Array, x: Array) -> Array:
    """The result in the width of the input, which some libraries leave."""
    xp = namespace(y)
    wide = dtype_name(x.dtype) in ("float64", "complex128")
    names = ("complex64", "complex128") if is_complex(y) else ("float32", "float64")
    return xp.astype(y, dtype_named(names[wide], xp), copy=False)


# -- what they are given


def _transformed(
    x: Array, s: Sequence[int] | None, axes: Sequence[int] | None, norm: str, inverse: bool, subject: str
) -> Array:
    sizes, axes = _sizes(x, s, axes, subject)
    _check_norm(norm, subject)
    x = _resized(_as_complex(_floats(x, subject)), sizes, axes)
    return _fourier(x, axes=axes, norm=norm, inverse=inverse) if axes else x


def _sizes(
    x: Array, s: Sequence[int] | None, axes: Sequence[int] | None, subject: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The lengths of the transform, and the axes, counted from the front."""
    if axes is None and s is not None:
        if len(s) > x.ndim:
            raise ArgumentError(f"expects at most {x.ndim} lengths, got {tuple(s)}", subject=subject)
        axes = range(x.ndim - len(s), x.ndim)
    chosen = _axes(x, axes, subject)
    if not chosen and subject.lstrip("i") == "rfft":
        raise ArgumentError("expects at least one axis", subject=subject)
    lengths = (-1,) * len(chosen) if s is None else tuple(s)
    if len(lengths) != len(chosen):
        raise ArgumentError(
            f"expects as many lengths as axes, got {lengths} for the axes {chosen}", subject=subject
        )
    for length in lengths:
        if type(length) is not int or (length < 1 and length != -1):
            raise ArgumentError(f"expects lengths of at least 1, got {length!r:.60}", subject=subject)
    sizes = tuple([x.shape[axis] if n == -1 else n for n, axis in zip(lengths, chosen)])
    if 0 in sizes:
        raise ArgumentError(f"expects at least 1 element, got the shape {tuple(x.shape)}", subject=subject)
    return sizes, chosen


def _axes(x: Array, axes: int | Sequence[int] | None, subject: str) -> tuple[int, ...]:
    listed = () if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    for axis in listed:
        if type(axis) is not int or not -x.ndim <= axis < x.ndim:
            raise IndexOutOfRangeError(f"expects an axis of {x.ndim}, got {axis!r:.60}", subject=subject)
    chosen = axes_of(None if axes is None else listed, x.ndim)
    if len(set(chosen)) < len(chosen):
        raise ArgumentError(f"expects each axis once, got {listed}", subject=subject)
    return chosen


def _resized(x: Array, sizes: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Cut, or filled up with zeros, at the end of the axes."""
    for size, axis in zip(sizes, axes):
        if size < x.shape[axis]:
            x = getitem(x, along(axis, slice(0, size)))
        elif size > x.shape[axis]:
            missing = (*x.shape[:axis], size - x.shape[axis], *x.shape[axis + 1 :])
            raw = getattr(x, "array", x)
            x = concat([x, zeros_like_shape(raw, missing)], axis=axis)
    return x


def _floats(x: Array, subject: str) -> Array:
    """Numbers that there are complex ones of the same width of; integers as the default ones."""
    raw: Any = getattr(x, "array", x)
    if is_half(raw):
        raise DTypeError(
            f"expects float32, float64 or complex numbers, got {dtype_name(raw.dtype)}",
            subject=subject,
            hint="Use x.float()",
        )
    return x if is_floating(raw) or is_complex(raw) else astype(x, default_dtype(namespace(raw)))


def _as_complex(x: Array) -> Array:
    if is_complex(getattr(x, "array", x)):
        return x
    return astype(x, "complex128" if dtype_name(x.dtype) == "float64" else "complex64")


def _conj(x: Array) -> Array:
    return conj(x) if is_complex(getattr(x, "array", x)) else x


def _check_norm(norm: Any, subject: str) -> None:
    if norm not in _ADJOINT:
        raise ArgumentError(f"expects norm 'backward', 'ortho' or 'forward', got {norm!r}", subject=subject)
