"""Odd arrays and odd values, for calls that nobody foresaw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import XpnnError

# What an option may be set to that is no good for it, or for most. The huge numbers are too large for any
# machine: memory that only some have would be filled.
HUGE = (2**60, 2**63)
ODD = (
    *(*HUGE, 0, -1, 3, 1.5, -0.5, 1e300, math.nan, math.inf, True, False, None, "2", "mean", b"x", 1j),
    *((), (1,), (0, 2), (1, 2, 3), [2, 2], np.int64(2), np.float32(0.5), np.ones(2), {}, object(), int, ...),
    *((None, 1), (2, "a"), ((1, 1), (1, 1)), slice(0, 1)),
)


def is_clear(error: Exception, names: Any) -> bool:
    """Whether an error says what is wrong: it is xpnn's, or names an argument or file, or memory is short."""
    if isinstance(error, XpnnError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.filename is not None
    words = ("argument", "operand", *names)
    return isinstance(error, TypeError | ValueError) and any(word in str(error) for word in words)


def axis_of(x: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.integers(x.ndim))


def no_element(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.take(x, [], axis=axis_of(x, rng)) if x.ndim else x


def one_element(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.take(x, [0], axis=axis_of(x, rng)) if x.ndim and x.size else x


def twice(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.repeat(x, 2, axis=axis_of(x, rng)) if x.ndim else x


def one_axis_less(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.take(x, 0, axis=axis_of(x, rng))) if x.ndim and x.size else x


def one_axis_more(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x[None]


def no_axis(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array(x.reshape(-1)[0]) if x.size else x


def not_a_number(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return put(x, rng, math.nan)


def infinite(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return put(x, rng, rng.choice([math.inf, -math.inf]))


def large(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(x * np.asarray(1e3, dtype=x.dtype)) if x.dtype.kind == "f" else x


def tiny(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(x * np.asarray(1e-4, dtype=x.dtype)) if x.dtype.kind == "f" else x


def zeros(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros_like(x)


def out_of_range(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(x + np.asarray(10**6, dtype=x.dtype)) if x.dtype.kind == "i" else x


def put(x: np.ndarray, rng: np.random.Generator, value: float) -> np.ndarray:
    if x.dtype.kind == "f" and x.size:
        x = np.array(x)
        x.reshape(-1)[rng.integers(x.size)] = value
    return x


def backwards(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.flip(np.ascontiguousarray(np.flip(x))) if x.ndim else x


def repeated(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first of an axis again and again, with a stride of 0."""
    return np.broadcast_to(np.take(x, [0], axis=axis_of(x, rng)), x.shape) if x.ndim and x.size else x


def fortran(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(x, order="F")


def read_only(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x = np.array(x)
    x.flags.writeable = False
    return x


def gapped(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x


def shifted(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At an address that is no multiple of the element's size."""
    view = np.zeros(x.nbytes + 1, dtype=np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def foreign_bytes(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x.astype(x.dtype.newbyteorder())


SHAPES = (no_element, one_element, twice, one_axis_less, one_axis_more, no_axis)
VALUES = (not_a_number, infinite, large, tiny, zeros, out_of_range)
MEMORY = (backwards, repeated, fortran, read_only, gapped, shifted, foreign_bytes)
