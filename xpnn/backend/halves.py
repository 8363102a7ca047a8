"""Numbers of 16 bits as integers, which MPI can send: it knows neither float16 nor bfloat16."""

from __future__ import annotations

import numpy as np

HALVES = ("float16", "bfloat16")


def packed(array: np.ndarray, half: str) -> np.ndarray:
    """The bits of float32 numbers that are rounded to the nearest of half precision, uint16.

    Args:
        half: "float16" or "bfloat16".
    """
    if half == "float16":
        with np.errstate(over="ignore"):
            return array.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16  # a half goes to the even one
    return np.where(np.isnan(array), bits >> 16 | 0x40, nearest).astype(np.uint16)


def unpacked(bits: np.ndarray, half: str) -> np.ndarray:
    """The numbers of such bits, float32."""
    if half == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)
