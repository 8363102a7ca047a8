"""Points of the plane in classes that no straight line parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, ShapeError, to_numpy
from xpnn.data.dataset import TensorDataset
from xpnn.data.synthetic.making import dataset_of, generator_of, require_at_least


def moons(count: int = 1000, noise: float = 0.1, seed: Any = 0) -> TensorDataset:
    """Two half circles that reach into each other.

    Args:
        count: points in all; the classes have equally many, or the first one more.
        noise: the standard deviation of the normal noise on each coordinate.
        seed: an integer, a generator, or None for what `manual_seed` determines.

    Samples are (x, label): float32 (2,) and int64, 0 for the upper half circle around (0, 0), 1 for the lower
    one around (1, 0.5), both of radius 1.

    >>> x, label = moons(100).tensors
    >>> x.shape, int(label.sum())
    ((100, 2), 50)
    """
    rng, labels = _begin("moons", count, noise, 2, seed)
    angle = _along(labels, 2) * np.pi
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return _finish(np.where(labels[:, None] == 0, upper, lower), labels, noise, rng)


def circles(count: int = 1000, noise: float = 0.05, factor: float = 0.5, seed: Any = 0) -> TensorDataset:
    """Two circles around the origin, one in the other.

    Args:
        factor: the inner circle's radius; the outer one's is 1.
        count, noise, seed: as in `moons`.

    Samples are (x, label): float32 (2,) and int64, 0 for the outer circle, 1 for the inner one.

    >>> x, label = circles(6, noise=0.0).tensors
    >>> (x**2).sum(1).sqrt()[label == 1].tolist()
    [0.5, 0.5, 0.5]
    """
    if not 0 <= factor <= 1:
        raise ArgumentError(f"expects a factor in [0, 1], got {factor}", subject="circles")
    rng, labels = _begin("circles", count, noise, 2, seed)
    angle = _along(labels, 2, closed=True) * 2 * np.pi
    radius = np.where(labels == 0, 1.0, factor)
    return _finish(_polar(radius, angle), labels, noise, rng)


def spirals(
    count: int = 1000, classes: int = 3, turns: float = 0.75, noise: float = 0.03, seed: Any = 0
) -> TensorDataset:
    """Arms of a spiral, one for each class, that wind out from the origin to radius 1.

    Args:
        classes: arms, evenly turned against each other.
        turns: full turns that an arm makes on its way.
        count, noise, seed: as in `moons`.

    Samples are (x, label): float32 (2,) and int64 in [0, classes).

    >>> [tuple(part.shape) for part in spirals(300).tensors]
    [(300, 2), (300,)]
    """
    require_at_least("spirals", 1, classes=classes)
    rng, labels = _begin("spirals", count, noise, classes, seed)
    radius = _along(labels, classes)
    angle = 2 * np.pi * (turns * radius + labels / classes)
    return _finish(_polar(radius, angle), labels, noise, rng)


def xor(count: int = 1000, noise: float = 0.2, seed: Any = 0) -> TensorDataset:
    """Clouds around the four corners (+-1, +-1); the class is 1 where exactly one coordinate is positive.

    With count=4 and noise=0 it is the table of the exclusive or. The label is the corner's, wherever the
    noise takes the point.

    Args:
        count, noise, seed: as in `moons`.

    Samples are (x, label): float32 (2,) and int64.

    >>> x, label = xor(4, noise=0.0).tensors
    >>> ((x[:, 0] > 0) ^ (x[:, 1] > 0)).tolist() == label.bool().tolist()
    True
    """
    rng, corners = _begin("xor", count, noise, 4, seed)
    right, up = corners % 2, corners // 2
    points = np.stack([2.0 * right - 1, 2.0 * up - 1], axis=1)
    return _finish(points, right ^ up, noise, rng)


def blobs(
    count: int = 1000,
    classes: int = 3,
    features: int = 2,
    spread: float = 1.0,
    box: tuple[float, float] = (-10.0, 10.0),
    centers: Sequence[Sequence[float]] | None = None,
    seed: Any = 0,
) -> TensorDataset:
    """Normal clouds, one for each class.

    Args:
        classes: clouds; of `centers` it is their number.
        features: coordinates of a point.
        spread: the standard deviation of each cloud.
        box: the range that the centres' coordinates are drawn from.
        centers: the centres themselves, (classes, features).
        count, seed: as in `moons`.

    Samples are (x, label): float32 (features,) and int64 in [0, classes).

    >>> x, label = blobs(90, features=5).tensors
    >>> x.shape, label.unique().tolist()
    ((90, 5), [0, 1, 2])
    """
    require_at_least("blobs", 1, classes=classes, features=features)
    if centers is not None:
        given = to_numpy(centers).astype(np.float64)
        if given.ndim != 2 or not given.size:
            raise ShapeError(f"expects centers (classes, features), got {given.shape}", subject="blobs")
        classes = len(given)
    rng, labels = _begin("blobs", count, spread, classes, seed)
    middle = rng.uniform(*box, size=(classes, features)) if centers is None else given
    return _finish(middle[labels], labels, spread, rng)


def _begin(
    subject: str, count: int, noise: float, classes: int, seed: Any
) -> tuple[np.random.Generator, np.ndarray]:
    """The generator, and the labels in order, as evenly many of each as can be."""
    require_at_least(subject, 1, count=count)
    require_at_least(subject, 0, noise=noise)
    return generator_of(seed), np.sort(np.arange(count) % classes)


def _along(labels: np.ndarray, classes: int, closed: bool = False) -> np.ndarray:
    """Evenly spaced numbers from 0 to 1 within each class; without the 1 on a closed line."""
    parts = [np.linspace(0, 1, np.count_nonzero(labels == k), endpoint=not closed) for k in range(classes)]
    return np.concatenate(parts)


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _finish(points: np.ndarray, labels: np.ndarray, noise: float, rng: np.random.Generator) -> TensorDataset:
    """Noise on the points, and the samples in random order."""
    points = points + noise * rng.standard_normal(points.shape)
    order = rng.permutation(len(points))
    return dataset_of(points[order].astype(np.float32), labels[order].astype(np.int64))
