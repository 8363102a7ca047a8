"""Half precision in tests: inputs of float16 and bfloat16, and how exact results of them have to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from targets import Target

from xpnn.autograd import Tensor
from xpnn.backend import find_backend, to_numpy

# The distance from 1 to the next number, the largest and the smallest number.
PRECISION = {
    "float16": (2.0**-10, 65504.0, 2.0**-24),
    "bfloat16": (2.0**-7, 2.0**128 - 2.0**120, 2.0**-133),
}

# How many of these distances a result may be off: it is rounded once, and so may be a part of it.
ULPS = 2


def half_types(target: Target) -> list[str]:
    """The types of half precision that the library has."""
    xp = find_backend(target.backend).xp
    return [name for name in PRECISION if hasattr(xp, name)]


def in_half(target: Target, dtype: str, arrays: Sequence[Any], scale: float = 1.0) -> list[Any]:
    """NumPy arrays on the target: floating ones times `scale`, in half precision; others as they are."""
    return [
        Tensor(target.array(x * scale)).to(dtype).array if is_float(x) else target.array(x) for x in arrays
    ]


def in_float64(x: Any) -> Any:
    """The values of an array or Tensor on the host, in float64 where they are floating."""
    if x is None:
        return None
    x = x if isinstance(x, Tensor) else Tensor(x)
    return to_numpy(x.detach().to("float64")) if is_float(x) else to_numpy(x)


def is_float(x: Any) -> bool:
    return x is not None and "float" in str(x.dtype)


def excess(actual: np.ndarray, expected: np.ndarray, dtype: str, ulps: int = ULPS) -> float:
    """How far results of `dtype` are off, beyond `ulps` roundings of the largest of them; at most 0 is right.

    What is beyond the largest number must be infinite, which counts as twice that number.
    """
    eps, largest, smallest = PRECISION[dtype]
    actual, expected = np.atleast_1d(actual), np.atleast_1d(expected)
    if (np.isnan(actual) != np.isnan(expected)).any():
        return np.inf
    over = np.abs(expected) >= (1 + eps / 4) * largest
    scale = np.abs(expected).max(where=~over & ~np.isnan(expected), initial=0)
    expected = np.where(over, np.sign(expected) * 2 * largest, expected)
    off = np.abs(np.clip(actual, -2 * largest, 2 * largest) - expected)
    at_the_edge = np.abs(np.abs(expected) - largest) <= ulps * eps * largest
    off[np.isnan(off) | at_the_edge & (np.sign(actual) == np.sign(expected))] = 0
    return off.max(initial=0) - ulps * (eps * scale + smallest)
