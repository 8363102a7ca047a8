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


def decay(tau: float, center: float | None) -> Weights:
    """Falling by a factor of e each `tau` steps, on both sides of `center`; None is the middle."""
    return functools.partial(_decay, tau=tau, center=center)


def bell(std: float) -> Weights:
    """Gauss's, with a standard deviation in steps."""
    return functools.partial(_bell, std=std)


def half_wave(at: np.ndarray) -> np.ndarray:
    """Half a wave of the sine, which is 0 half a step outside of both ends."""
    steps = _steps(at)
    return np.sin(np.pi * (at * steps + 0.5) / (steps + 1)) if steps else np.ones(at.shape)


def _steps(at: np.ndarray) -> int:
    """The steps from one end of the window to the other."""
    return round(1 / at[1]) if at.size > 1 else 0


def _decay(at: np.ndarray, *, tau: float, center: float | None) -> np.ndarray:
    steps = _steps(at)
    return np.exp(-np.abs(at * steps - (steps / 2 if center is None else center)) / tau)


def _bell(at: np.ndarray, *, std: float) -> np.ndarray:
    return np.exp(-(((at - 0.5) * _steps(at) / std) ** 2) / 2)


def _cosines(at: np.ndarray, *, weights: tuple[float, ...]) -> np.ndarray:
    if at.size == 1:
        return np.ones(1)
    parts = [(-1) ** k * weight * np.cos(2 * np.pi * k * at) for k, weight in enumerate(weights)]
    return np.sum(parts, axis=0)


def _bessel(at: np.ndarray, *, beta: float) -> np.ndarray:
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * at - 1) ** 2, 0))) / np.i0(beta)
