"""Handwriting without a hand: digits drawn from strokes, alone and in strips."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import ArgumentError
from xpnn.data.dataset import TensorDataset
from xpnn.data.synthetic.making import dataset_of, generator_of, require_at_least

_PART = 256  # digits that are drawn at once
_CORNERS = 24  # of the line that a digit is drawn by, in all
_HEIGHT = 0.62  # of a digit, as a part of its image


def stroke_digits(count: int = 1000, size: int = 28, slant: float = 0.3, seed: Any = 0) -> TensorDataset:
    """Pictures of the ten digits, each drawn by strokes that shake, of a width, slant and size of its own.

    Args:
        count: pictures; each class has equally many, or one more.
        size: height and width in pixels.
        slant: how far digits lean at most, as the tangent of the angle.
        seed: an integer, a generator, or None for what `manual_seed` determines.

    Samples are (image, label): float32 (1, size, size) in [0, 1], white on black, and int64.

    >>> image, label = stroke_digits(20, size=16).tensors
    >>> image.shape, label.bincount().tolist()
    ((20, 1, 16, 16), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    require_at_least("stroke_digits", 1, count=count)
    require_at_least("stroke_digits", 8, size=size)
    require_at_least("stroke_digits", 0, slant=slant)
    rng = generator_of(seed)
    labels = rng.permutation(np.arange(count) % 10)
    return dataset_of(_draw(rng, labels, size, slant)[:, None], labels)


def digit_strips(
    count: int = 1000,
    digits: tuple[int, int] = (3, 6),
    size: int = 20,
    noise: float = 0.05,
    seed: Any = 0,
) -> TensorDataset:
    """Strips with several digits beside each other, at uneven distances.

    Args:
        count: strips.
        digits: (fewest, most) on a strip.
        size: height in pixels; the strip is as wide as `most` digits of that width.
        noise: the standard deviation of the normal noise on each pixel.
        seed: an integer, a generator, or None for what `manual_seed` determines.

    Samples are (image, labels, length): float32 (1, size, most * size) in [0, 1]; int64 (most,), each digit
    plus 1 and then 0, which CTC takes for its blank; int64, how many of them count.

    >>> image, labels, length = digit_strips(4, digits=(1, 3), size=16).tensors
    >>> image.shape, labels.shape, length.shape
    ((4, 1, 16, 48), (4, 3), (4,))
    """
    fewest, most = digits
    require_at_least("digit_strips", 1, count=count, digits=fewest)
    require_at_least("digit_strips", 8, size=size)
    require_at_least("digit_strips", 0, noise=noise)
    if fewest > most:
        raise ArgumentError(f"expects digits as (fewest, most), got {digits}", subject="digit_strips")
    rng = generator_of(seed)
    lengths = rng.integers(fewest, most + 1, size=count)
    values = rng.integers(10, size=(count, most))
    images = _draw(rng, values.ravel(), size, 0.3).reshape(count, most, size, size)

    strips = np.zeros((count, size, most * size), dtype=np.float32)
    step = round(size * 0.72)  # from digit to digit: their empty edges may overlap
    for number, length in enumerate(lengths.tolist()):
        room = most * size - size - step * (length - 1)
        lefts = np.sort(rng.integers(room + 1, size=length)) + step * np.arange(length)
        for digit, left in zip(images[number], lefts.tolist()):
            np.maximum(
                strips[number, :, left : left + size], digit, out=strips[number, :, left : left + size]
            )
    if noise:
        strips += noise * rng.standard_normal(strips.shape, dtype=np.float32)
        np.clip(strips, 0, 1, out=strips)
    labels = np.where(np.arange(most) < lengths[:, None], values + 1, 0)
    return dataset_of(strips[:, None], labels, lengths)


def _arc(x: float, y: float, wide: float, high: float, start: float, end: float) -> np.ndarray:
    """Points on an ellipse around (x, y), from one angle to another in degrees; 0 is right, 90 is down."""
    angle = np.radians(np.linspace(start, end, 12))
    return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)


def _line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64)


# The strokes of each digit, in a box of x in [-0.5, 0.5] and y in [-1, 1], which points down.
_STROKES: tuple[tuple[np.ndarray, ...], ...] = (
    (_arc(0, 0, 0.5, 1, -90, 270),),
    (_line((-0.3, -0.6), (0.1, -1), (0.1, 1)),),
    (_arc(0, -0.5, 0.5, 0.5, -170, 30), _line((0.43, -0.25), (-0.5, 1), (0.55, 1))),
    (_arc(-0.05, -0.5, 0.48, 0.5, -160, 90), _arc(-0.05, 0.5, 0.55, 0.5, -90, 160)),
    (_line((0.15, -1), (-0.5, 0.35), (0.5, 0.35)), _line((0.25, -0.25), (0.25, 1))),
    (_line((0.45, -1), (-0.35, -1), (-0.42, -0.1)), _arc(-0.05, 0.38, 0.53, 0.6, -130, 150)),
    (_arc(0.35, 0.35, 0.85, 1.35, -95, -178), _arc(0, 0.45, 0.5, 0.55, -180, 180)),
    (_line((-0.5, -1), (0.5, -1), (-0.1, 1)),),
    (_arc(0, -0.5, 0.42, 0.48, 90, 450), _arc(0, 0.5, 0.5, 0.5, -90, 270)),
    (_arc(0, -0.45, 0.5, 0.55, 0, 360), _arc(-0.35, -0.35, 0.85, 1.35, 2, 85)),
)


def _evenly(stroke: np.ndarray, count: int) -> np.ndarray:
    """`count` points at even distances along a stroke."""
    way = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    where = np.linspace(0, way[-1], count)
    return np.stack([np.interp(where, way, stroke[:, axis]) for axis in range(2)], axis=1)


def _segments(strokes: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The first and last points of a digit's segments, (_CORNERS, 2) each, spread over its strokes."""
    ways = np.array([np.hypot(*np.diff(stroke, axis=0).T).sum() for stroke in strokes])
    counts = np.maximum(1, np.floor(_CORNERS * ways / ways.sum())).astype(int)
    counts[-1] += _CORNERS - counts.sum()
    lines = [_evenly(stroke, count + 1) for stroke, count in zip(strokes, counts)]
    return np.concatenate([line[:-1] for line in lines]), np.concatenate([line[1:] for line in lines])


_BEGINS, _ENDS = (np.stack(points) for points in zip(*map(_segments, _STROKES)))


def _draw(rng: np.random.Generator, labels: np.ndarray, size: int, slant: float) -> np.ndarray:
    """Images (n, size, size) of the digits `labels`."""
    images = np.empty((len(labels), size, size), dtype=np.float32)
    for start in range(0, len(labels), _PART):
        part = labels[start : start + _PART]
        images[start : start + _PART] = _ink(rng, part, size, slant)
    return images


def _ink(rng: np.random.Generator, labels: np.ndarray, size: int, slant: float) -> np.ndarray:
    """How far each pixel lies within half a width of a stroke, with soft edges."""
    n = len(labels)
    place, shake = _writing(rng, n, size, slant), _shaking(rng, n)
    begin, end = (place(shake(points[labels])).astype(np.float32) for points in (_BEGINS, _ENDS))
    along = end - begin
    length = np.maximum((along**2).sum(-1), 1e-12)
    cells = np.arange(size, dtype=np.float32) + np.float32(0.5)
    nearest = np.full((n, size, size), np.inf, dtype=np.float32)
    for k in range(_CORNERS):
        x = cells - begin[:, k, 0, None]
        y = cells - begin[:, k, 1, None]
        ax, ay = along[:, k, 0, None, None], along[:, k, 1, None, None]
        t = np.clip((x[:, None] * ax + y[..., None] * ay) / length[:, k, None, None], 0, 1)
        distance = (x[:, None] - t * ax) ** 2 + (y[..., None] - t * ay) ** 2
        np.minimum(nearest, distance, out=nearest)
    width = rng.uniform(0.035, 0.065, size=(n, 1, 1)).astype(np.float32) * np.float32(size)
    return np.clip(width + np.float32(0.5) - np.sqrt(nearest), 0, 1)


def _writing(rng: np.random.Generator, n: int, size: int, slant: float) -> Any:
    """The map of a digit's box to the image: stretch, slant, a turn, a place."""
    tall = size * _HEIGHT / 2 * rng.uniform(0.85, 1.1, size=(n, 1))
    wide = tall * rng.uniform(0.75, 1.05, size=(n, 1))
    lean = rng.uniform(-slant, slant, size=(n, 1))
    angle = rng.uniform(-0.15, 0.15, size=(n, 1))
    shift = size * (0.5 + rng.uniform(-0.04, 0.04, size=(n, 2)))

    def place(points: np.ndarray) -> np.ndarray:
        x, y = wide * (points[..., 0] - lean * points[..., 1]), tall * points[..., 1]
        turned = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        return np.stack(turned, axis=-1) + shift[:, None]

    return place


def _shaking(rng: np.random.Generator, n: int) -> Any:
    """A smooth bending of the plane, so that strokes stay whole where they meet."""
    strength = rng.normal(0, 0.06, size=(2, n, 1))
    waves = rng.uniform(1.0, 3.0, size=(2, n, 1))
    phases = rng.uniform(0, 2 * np.pi, size=(2, n, 1))

    def shake(points: np.ndarray) -> np.ndarray:
        moves = [
            strength[axis] * np.sin(waves[axis] * points[..., 1 - axis] + phases[axis]) for axis in range(2)
        ]
        return points + np.stack(moves, axis=-1)

    return shake
