"""The functions of `xpnn.fft`: PyTorch's `torch.fft`, made of the standard's transforms (`ops.fourier`).

`norm` says which of a transform and its inverse is divided by the number of elements n: "backward", the
default, the inverse, "forward" the transform, "ortho" both by the root of n. Lengths cut the axes off, or
fill them up with zeros. Real numbers become complex ones of the same width, integers the default ones. The
backward of each is the adjoint, which is a transform again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.axes import axes_of, axis_of, integer
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.creation import finished
from xpnn.backend import ArgumentError, ArrayT, DType, DTypeError, asarray, get_default_dtype, refusing

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

_LAST_TWO = (-2, -1)

# -- along one axis


@front
def fft(input: ArrayT, n: int | None = None, dim: int = -1, norm: str | None = None) -> ArrayT:
    """The Fourier transform: y_k = sum_j x_j e^(-2 pi i jk / n).

    Args:
        input: real or complex. n: the length; default is the size. norm: see the module.

    Backward: gx_j = sum_k gy_k e^(2 pi i jk / n), divided by n where the transform is.

    >>> from xpnn.autograd import tensor
    >>> fft(tensor([1.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _along_one(ops.fft, "fft", input, n, dim, norm)


@front
def ifft(input: ArrayT, n: int | None = None, dim: int = -1, norm: str | None = None) -> ArrayT:
    """The inverse of `fft`: y_j = (1/n) sum_k x_k e^(2 pi i jk / n)."""
    return _along_one(ops.ifft, "ifft", input, n, dim, norm)


@front
def rfft(input: ArrayT, n: int | None = None, dim: int = -1, norm: str | None = None) -> ArrayT:
    """`fft` of real numbers: its first n // 2 + 1 elements; the others are their conjugates.

    >>> from xpnn.autograd import tensor
    >>> rfft(tensor([1.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j])
    """
    return _along_one(ops.rfft, "rfft", input, n, dim, norm)


@front
def irfft(input: ArrayT, n: int | None = None, dim: int = -1, norm: str | None = None) -> ArrayT:
    """The inverse of `rfft`, which is real.

    Args:
        n: the length of the result; default 2 (m - 1) of m elements.
    """
    return _along_one(ops.irfft, "irfft", input, n, dim, norm)


@front
def hfft(input: ArrayT, n: int | None = None, dim: int = -1, norm: str | None = None) -> ArrayT:
    """`fft` of numbers whose second half are conjugates of the first, which is given; it is real.

    Args:
        n: the length of the result; default 2 (m - 1) of m elements.
    """
    return _along_one(ops.hfft, "hfft", input, n, dim, norm)


@front
def ihfft(input: ArrayT, n: int | None = None, dim: int = -1, norm: str | None = None) -> ArrayT:
    """The inverse of `hfft`, of real numbers: the first n // 2 + 1 elements of `ifft`."""
    return _along_one(ops.ihfft, "ihfft", input, n, dim, norm)


# -- along several axes


@front
def fftn(input: ArrayT, s: Any = None, dim: Any = None, norm: str | None = None) -> ArrayT:
    """`fft` along several axes, one after the other.

    Args:
        s: the lengths along the axes, -1 for the size.
        dim: the axes; default are the last ones, as many as `s` has, or all.

    >>> from xpnn.autograd import tensor
    >>> fftn(tensor([[1.0, 1.0], [1.0, 1.0]]))
    tensor([[4.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    return _along_several(ops.fftn, "fftn", input, s, dim, norm)


@front
def ifftn(input: ArrayT, s: Any = None, dim: Any = None, norm: str | None = None) -> ArrayT:
    """The inverse of `fftn`."""
    return _along_several(ops.ifftn, "ifftn", input, s, dim, norm)


@front
def rfftn(input: ArrayT, s: Any = None, dim: Any = None, norm: str | None = None) -> ArrayT:
    """`fftn` of real numbers: half of its elements along the last of the axes (see `rfft`)."""
    return _along_several(ops.rfftn, "rfftn", input, s, dim, norm)


@front
def irfftn(input: ArrayT, s: Any = None, dim: Any = None, norm: str | None = None) -> ArrayT:
    """The inverse of `rfftn`, which is real; `s` are the lengths of the result."""
    return _along_several(ops.irfftn, "irfftn", input, s, dim, norm)


@front
def hfftn(input: ArrayT, s: Any = None, dim: Any = None, norm: str | None = None) -> ArrayT:
    """`fft` along the axes but the last, then `hfft` along that; `s` are the lengths of the result."""
    lengths, axes = _lengths_and_axes("hfftn", input, s, dim)
    x, word = input, _norm("hfftn", norm)
    if len(axes) > 1:
        x = ops.fftn(x, s=lengths and lengths[:-1], axes=axes[:-1], norm=word)
    n = None if lengths is None or lengths[-1] == -1 else lengths[-1]
    return ops.hfft(x, n=n, axis=axes[-1], norm=word)


@front
def ihfftn(input: ArrayT, s: Any = None, dim: Any = None, norm: str | None = None) -> ArrayT:
    """The inverse of `hfftn`, of real numbers: half of the elements of `ifftn` along the last of the axes."""
    lengths, axes = _lengths_and_axes("ihfftn", input, s, dim)
    word = _norm("ihfftn", norm)
    n = None if lengths is None or lengths[-1] == -1 else lengths[-1]
    x = ops.ihfft(input, n=n, axis=axes[-1], norm=word)
    return ops.ifftn(x, s=lengths and lengths[:-1], axes=axes[:-1], norm=word) if len(axes) > 1 else x


# -- along two axes


@front
def fft2(input: ArrayT, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> ArrayT:
    """`fftn` along two axes, by default the last."""
    return fftn(input, s, dim, norm)


@front
def ifft2(input: ArrayT, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> ArrayT:
    """The inverse of `fft2`."""
    return ifftn(input, s, dim, norm)


@front
def rfft2(input: ArrayT, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> ArrayT:
    """`rfftn` along two axes, by default the last."""
    return rfftn(input, s, dim, norm)


@front
def irfft2(input: ArrayT, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> ArrayT:
    """The inverse of `rfft2`; `s` are the lengths of the result."""
    return irfftn(input, s, dim, norm)


@front
def hfft2(input: ArrayT, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> ArrayT:
    """`hfftn` along two axes, by default the last."""
    return hfftn(input, s, dim, norm)


@front
def ihfft2(input: ArrayT, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> ArrayT:
    """The inverse of `hfft2`."""
    return ihfftn(input, s, dim, norm)


# -- frequencies, and their order


@refusing
def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Any:
    """The frequencies of the elements of `fft`, in cycles a unit: [0, 1, ..., -2, -1] / (n d).

    Args:
        n: the length. d: the distance of the samples.

    >>> fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    count = _count(n, "fftfreq")
    places = [*range((count + 1) // 2), *range(-(count // 2), 0)]
    return _frequencies("fftfreq", places, count * d, dtype, device, requires_grad, options)


@refusing
def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Any:
    """The frequencies of the elements of `rfft`: [0, 1, ..., n // 2] / (n d).

    >>> rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    count = _count(n, "rfftfreq")
    return _frequencies(
        "rfftfreq", [*range(count // 2 + 1)], count * d, dtype, device, requires_grad, options
    )


@front
def fftshift(input: ArrayT, dim: Any = None) -> ArrayT:
    """The frequency 0 in the middle of the axes `dim`; None is all.

    >>> fftshift(fftfreq(4))
    tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return ops.fftshift(input, axes=None if dim is None else axes_of(dim, input.ndim, "fftshift", "dim"))


@front
def ifftshift(input: ArrayT, dim: Any = None) -> ArrayT:
    """The inverse of `fftshift`."""
    return ops.ifftshift(input, axes=None if dim is None else axes_of(dim, input.ndim, "ifftshift", "dim"))


# -- what they are given


def _along_one(transform: Any, name: str, x: Any, n: Any, dim: Any, norm: Any) -> Any:
    if not x.ndim:
        raise ArgumentError("expects an axis, got a number", subject=name)
    length = None if n is None else integer(n, "n", name)
    return transform(x, n=length, axis=axis_of(dim, x.ndim, name), norm=_norm(name, norm))


def _along_several(transform: Any, name: str, x: Any, s: Any, dim: Any, norm: Any) -> Any:
    lengths, axes = _lengths_and_axes(name, x, s, dim)
    return transform(x, s=lengths, axes=axes, norm=_norm(name, norm))


def _lengths_and_axes(name: str, x: Any, s: Any, dim: Any) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """The lengths, None where all are the sizes, and the axes that they are of."""
    lengths = None if s is None else tuple([integer(n, "s", name) for n in _listed(s)])
    if dim is not None:
        axes = axes_of(tuple(_listed(dim)), x.ndim, name, "dim")
    elif lengths is not None and len(lengths) > x.ndim:
        raise ArgumentError(f"expects at most {x.ndim} lengths, got {lengths}", subject=name)
    else:
        axes = tuple(range(x.ndim if lengths is None else len(lengths)))
        axes = tuple([axis + x.ndim - len(axes) for axis in axes])
    if lengths is not None and len(lengths) != len(axes):
        raise ArgumentError(f"expects as many lengths as axes, got {lengths} for {axes}", subject=name)
    if not axes and name not in ("fftn", "ifftn"):
        raise ArgumentError("expects at least one axis", subject=name)
    return lengths, axes


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (value,)


def _norm(name: str, norm: Any) -> Any:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ArgumentError(f"expects norm 'backward', 'ortho' or 'forward', got {norm!r:.60}", subject=name)
    return norm or "backward"


def _count(n: Any, name: str) -> int:
    count = integer(n, "n", name)
    if count < 1:
        raise ArgumentError(f"expects a length of at least 1, got {count}", subject=name)
    return count


def _frequencies(
    name: str,
    places: list[int],
    whole: float,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    options: dict[str, Any],
) -> Any:
    kind = get_default_dtype() if dtype is None else DType(dtype)
    if not (kind.is_floating_point or kind.is_complex):
        raise DTypeError(f"expects a floating-point dtype, got {kind}", subject=name)
    values = [place / whole for place in places]
    return finished(asarray(values, kind, device), requires_grad, options, name)
