"""The weights of windows, in float64 on the host, by how far along the window they stand."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

Weights = Callable[[np.ndarray], np.ndarray]


def places(length: int, periodic: bool) -> np.ndarray:
    """How far along the window, from 0 to 1, each weight stands; one that is alone is in the middle.

    >>> places(3, periodic=False).tolist()
    [0.0, 0.5, 1.0]
    """
    if length == 1:
        return np.full(1, 0.5)
    return np.arange(length) / max(length if periodic else length - 1, 1)


def cosines(*weights: float) -> Weights:
    """The sum of cosines of 0, 1, 2 ... periods, with these weights, the odd ones negative."""
    return functools.partial(_cosines, weights=weights)


def bessel(beta: float) -> Weights:
    """Kaiser's window."""
    return functools.partial(_bessel, beta=beta)


def triangle(at: np.ndarray) -> np.ndarray:
    """0 at both ends, and 1 in the middle."""
    return 1 - np.abs(2 * at - 1)


def _cosines(at: np.ndarray, *, weights: tuple[float, ...]) -> np.ndarray:
    if at.size == 1:
        return np.ones(1)
    parts = [(-1) ** k * weight * np.cos(2 * np.pi * k * at) for k, weight in enumerate(weights)]
    return np.sum(parts, axis=0)


def _bessel(at: np.ndarray, *, beta: float) -> np.ndarray:
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * at - 1) ** 2, 0))) / np.i0(beta)
