"""Fourier transforms of short stretches of a signal, and the signal of them."""

from __future__ import annotations

import warnings
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.axes import integer
from xpnn.autograd.functions.calling import front
from xpnn.autograd.ops.indexing import add_at
from xpnn.autograd.ops.strides import strided
from xpnn.backend import (
    ArgumentError,
    ArrayT,
    DTypeError,
    ShapeError,
    cheap_to_read,
    concrete,
    device_of,
    dtype_name,
    idioms,
    is_complex,
    is_floating,
    namespace,
)

__all__ = ["istft", "stft"]

_LEAST_OVERLAP = 1e-11  # of squared windows, below which no sample can be told


@front
def stft(
    input: ArrayT,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> ArrayT:
    """The short-time Fourier transform: y_wm = sum_k window_k x_(m hop + k) e^(-2 pi i w k / n_fft).

    Args:
        input: (..., time) of one or two axes, real or complex.
        n_fft: the length of a transform. hop_length: the distance of two; default n_fft // 4.
        win_length: the length of the window, around which there are zeros; default n_fft.
        window: (win_length,); default ones.
        center: put the middle of the first stretch at time 0, and pad the signal by n_fft // 2 on both sides.
        pad_mode: "reflect", "constant", "replicate" or "circular".
        normalized: divide by the root of n_fft.
        onesided: give the first n_fft // 2 + 1 frequencies alone; default for what is real.
        return_complex: give complex numbers; else pairs along a last axis. To be given for a real input.
        align_to_window: without `center`, put the start of the window at time 0, not that of the stretch.

    Returns: (..., frequencies, stretches).

    Raises: ShapeError, ArgumentError for sizes that do not fit; DTypeError for integers.

    See: J. Allen & L. Rabiner (1977), "A unified approach to short-time Fourier analysis and synthesis".

    >>> from xpnn.autograd import tensor
    >>> stft(tensor([1.0, 0.0, 0.0, 0.0]), 2, 2, center=False, return_complex=True)
    tensor([[1.+0.j, 0.+0.j],
            [1.+0.j, 0.+0.j]])
    """
    x, hop, width = _checked("stft", input, n_fft, hop_length, win_length, window, (1, 2))
    if not (is_floating(x) or is_complex(x)):
        raise DTypeError(f"expects floating or complex numbers, got {dtype_name(x.dtype)}", subject="stft")
    any_complex = is_complex(x) or (window is not None and is_complex(window))
    if return_complex is None:
        if not any_complex:
            raise ArgumentError("expects return_complex to be given for a real input", subject="stft")
        return_complex = True
    if onesided is None:
        onesided = not any_complex
    if onesided and any_complex:
        raise ArgumentError("expects onesided=False for what is complex", subject="stft")
    if center and align_to_window is not None:
        raise ArgumentError("expects align_to_window with center=False only", subject="stft")
    single = x.ndim == 1
    if single:
        x = ops.expand_dims(x, axis=0)
    if center:
        x = _padded(x, n_fft // 2, n_fft // 2, pad_mode)
    elif align_to_window and x.shape[-1] >= width:
        stretches = 1 + (x.shape[-1] - width) // hop
        before = (n_fft - width) // 2
        x = _padded(x, before, max((stretches - 1) * hop + n_fft - x.shape[-1] - before, 0), "constant")
    length = x.shape[-1]
    if not n_fft <= length:
        raise ShapeError(f"expects at least {n_fft} samples, got {length}", subject="stft")
    frames = strided(x, (x.shape[0], 1 + (length - n_fft) // hop, n_fft), (length, hop, 1))
    weights = _window(window, width, n_fft, x)
    if weights is not None:
        frames = frames * weights
    norm: Any = "ortho" if normalized else "backward"
    y = ops.rfft(frames, norm=norm) if onesided else ops.fft(frames, norm=norm)
    y = ops.matrix_transpose(y)
    if single:
        y = ops.squeeze(y, 0)
    return y if return_complex else ops.pairs_of_complex(y)


@front
def istft(
    input: ArrayT,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> ArrayT:
    """The signal of which `stft` gives the input, the one that is nearest where there is none.

    It is the sum of the inverse transforms, each times the window, over the sum of the squared windows.

    Args: as of `stft`, and
        input: (..., frequencies, stretches) of two or three axes, complex.
        onesided: whether half the frequencies are given; default where there are not n_fft of them.
        length: of the result, cut off or filled up with zeros; default is all that `center` leaves.
        return_complex: the signal is complex; then all frequencies are needed.

    Raises: ArgumentError where windows do not overlap, so that samples cannot be told.

    See: D. Griffin & J. Lim (1984), "Signal estimation from modified short-time Fourier transform".

    >>> from xpnn.autograd import tensor
    >>> y = stft(tensor([1.0, 2.0, 3.0, 4.0]), 2, 1, return_complex=True)
    >>> istft(y, 2, 1)
    tensor([1., 2., 3., 4.])
    """
    x, hop, width = _checked("istft", input, n_fft, hop_length, win_length, window, (2, 3))
    if not is_complex(x):
        raise DTypeError(
            f"expects complex numbers, got {dtype_name(x.dtype)}", subject="istft", hint="Use view_as_complex"
        )
    onesided = x.shape[-2] != n_fft if onesided is None else onesided
    expected = n_fft // 2 + 1 if onesided else n_fft
    if x.shape[-2] != expected or 0 in x.shape:
        raise ShapeError(
            f"expects {expected} frequencies and at least 1 stretch, got {tuple(x.shape)}", subject="istft"
        )
    if return_complex and onesided:
        raise ArgumentError("expects onesided=False for a complex result", subject="istft")
    if not return_complex and window is not None and is_complex(window):
        raise ArgumentError("expects return_complex=True for a complex window", subject="istft")
    single = x.ndim == 2
    if single:
        x = ops.expand_dims(x, axis=0)
    x = ops.matrix_transpose(x)
    norm: Any = "ortho" if normalized else "backward"
    if return_complex:
        frames = ops.ifft(x, norm=norm)
    else:
        frames = ops.irfft(x[..., : n_fft // 2 + 1], n=n_fft, norm=norm)
    batch, count = frames.shape[:2]
    total = n_fft + hop * (count - 1)
    weights = _window(window, width, n_fft, frames)
    if weights is None:
        weights = frames.new_ones(n_fft)
    signal = _overlapped(frames * weights, hop, total)
    squares = ops.broadcast_to(weights * weights, (1, count, n_fft))
    envelope = _overlapped(squares, hop, total)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start
    signal, envelope = signal[:, start:end], envelope[:, start:end]
    _check_overlap(envelope)
    y = signal / envelope
    if end > total:
        warnings.warn("istft fills up the signal with zeros: it is shorter than `length`", stacklevel=3)
        y = ops.concat([y, y.new_zeros(batch, end - total)], axis=-1)
    return ops.squeeze(y, 0) if single else y


def _checked(
    subject: str, x: Any, n_fft: Any, hop: Any, width: Any, window: Any, axes: tuple[int, int]
) -> tuple[Any, int, int]:
    """The input, the distance of stretches and the length of the window."""
    if x.ndim not in axes:
        raise ShapeError(f"expects {axes[0]} or {axes[1]} axes, got {tuple(x.shape)}", subject=subject)
    if integer(n_fft, "n_fft", subject) < 1:
        raise ArgumentError(f"expects n_fft of at least 1, got {n_fft}", subject=subject)
    hop = n_fft // 4 if hop is None else integer(hop, "hop_length", subject)
    width = n_fft if width is None else integer(width, "win_length", subject)
    if hop < 1:
        raise ArgumentError(f"expects hop_length of at least 1, got {hop}", subject=subject)
    if not 1 <= width <= n_fft:
        raise ArgumentError(f"expects win_length between 1 and n_fft, got {width}", subject=subject)
    if window is not None and not isinstance(window, TensorBase):
        raise DTypeError(f"expects a Tensor as window, got {type(window).__name__}", subject=subject)
    if window is not None and tuple(window.shape) != (width,):
        raise ShapeError(f"expects a window of shape ({width},), got {tuple(window.shape)}", subject=subject)
    return x, hop, width


def _window(window: Any, width: int, n_fft: int, like: Any) -> Any:
    """The weights of a stretch, with zeros around the window; None where all are 1."""
    if width == n_fft:
        return window
    weights = ops.real(like).new_ones(width) if window is None else window
    before = (n_fft - width) // 2
    return ops.concat([weights.new_zeros(before), weights, weights.new_zeros(n_fft - width - before)], axis=0)


def _padded(x: Any, before: int, after: int, mode: str) -> Any:
    """(batch, time) with more samples on both sides."""
    batch, size = x.shape
    if mode == "constant":
        return ops.concat([x.new_zeros(batch, before), x, x.new_zeros(batch, after)], axis=1)
    if mode not in ("reflect", "replicate", "circular"):
        raise ArgumentError(
            f"expects pad_mode 'reflect', 'constant', 'replicate' or 'circular', got {mode!r}", subject="stft"
        )
    most = {"reflect": size - 1, "circular": size, "replicate": before if size else 0}[mode]
    if max(before, after) > most:
        raise ShapeError(
            f"expects more samples to pad by {max(before, after)} in mode '{mode}', got {size}",
            subject="stft",
        )
    raw = x.array
    xp = namespace(raw)
    places = xp.arange(-before, size + after, device=device_of(raw))
    if mode == "circular":
        places = xp.remainder(places, size)
    elif mode == "reflect":
        places = size - 1 - xp.abs(size - 1 - xp.abs(places))
    else:
        places = xp.clip(places, 0, size - 1)
    return ops.take(x, places, axis=1)


def _overlapped(frames: Any, hop: int, total: int) -> Any:
    """(batch, stretches, n_fft) added up at their places in time."""
    batch = frames.shape[0]
    places = idioms.positions(frames.array, frames.shape, (total, hop, 1), 0)
    return add_at(frames, places, (batch, total))


def _check_overlap(envelope: Any) -> None:
    """Raise where no window covers a sample, as far as that is seen without waiting for an accelerator."""
    raw = envelope.array
    if not (concrete(raw) and cheap_to_read(raw)) or 0 in raw.shape:
        return
    xp = namespace(raw)
    if float(xp.min(xp.abs(raw))) < _LEAST_OVERLAP:
        raise ArgumentError(
            "expects windows that cover all samples",
            subject="istft",
            hint="Use a smaller hop_length, or center=True for windows that are 0 at their ends",
        )
