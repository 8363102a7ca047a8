"""Pictures and films of coloured shapes, with masks and boxes: for segmentation, detection, prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import ArgumentError
from xpnn.data.dataset import TensorDataset
from xpnn.data.synthetic.making import dataset_of, generator_of, require_at_least

SHAPES = ("background", "disc", "square", "triangle")
_ROOM = 4_000_000  # cells of masks that are drawn at once


def shapes(
    count: int = 1000,
    size: int = 32,
    number: int | tuple[int, int] = (1, 3),
    noise: float = 0.05,
    channels: int = 3,
    seed: Any = 0,
) -> TensorDataset:
    """Pictures of discs, squares and triangles of random colours, places and sizes.

    Args:
        count: pictures.
        size: height and width in pixels.
        number: shapes in a picture, or (fewest, most).
        noise: the standard deviation of the normal noise on each pixel.
        channels: 3 for colours, 1 for grey.
        seed: an integer, a generator, or None for what `manual_seed` determines.

    Samples are (image, masks, boxes, labels): float32 (channels, size, size) in [0, 1]; uint8 (most, size,
    size), the pixels that are seen of each shape, where later shapes cover earlier ones; float32 (most, 4),
    the edges x0, y0, x1, y1 around those pixels; int64 (most,), the shape's number in `SHAPES`. Where there
    is no shape, or all of it is covered, mask, box and label are 0. As masks do not overlap,
    `(masks * labels[:, None, None]).sum(0)` is the picture's map of classes.

    >>> image, masks, boxes, labels = shapes(5, size=16).tensors
    >>> image.shape, masks.shape, boxes.shape, labels.shape
    ((5, 3, 16, 16), (5, 3, 16, 16), (5, 3, 4), (5, 3))
    """
    images, masks, boxes, labels = _films("shapes", count, 1, size, number, 0.0, noise, channels, seed)
    seen = masks[:, 0].any(axis=(2, 3))
    return dataset_of(images[:, 0], masks[:, 0], boxes[:, 0], np.where(seen, labels, 0))


def moving_shapes(
    count: int = 200,
    frames: int = 10,
    size: int = 32,
    number: int | tuple[int, int] = 2,
    speed: float = 2.0,
    noise: float = 0.0,
    channels: int = 1,
    seed: Any = 0,
) -> TensorDataset:
    """Films of shapes that fly straight on and bounce off the walls.

    Args:
        count: films.
        frames: pictures of a film.
        speed: pixels that a shape moves from frame to frame, at most; at least it is half of that.
        size, number, noise, channels, seed: as in `shapes`.

    Samples are (video, masks, boxes, labels): float32 (frames, channels, size, size) in [0, 1]; uint8
    (frames, most, size, size); float32 (frames, most, 4), 0 in frames where nothing of the shape is seen;
    int64 (most,), 0 where there is no shape; each as in `shapes`.

    >>> video, masks, boxes, labels = moving_shapes(2, frames=4, size=16).tensors
    >>> video.shape, masks.shape, boxes.shape, labels.shape
    ((2, 4, 1, 16, 16), (2, 4, 2, 16, 16), (2, 4, 2, 4), (2, 2))
    """
    return dataset_of(*_films("moving_shapes", count, frames, size, number, speed, noise, channels, seed))


def _films(
    subject: str,
    count: int,
    frames: int,
    size: int,
    number: int | tuple[int, int],
    speed: float,
    noise: float,
    channels: int,
    seed: Any,
) -> tuple[np.ndarray, ...]:
    """Videos (n, t, c, h, w), masks (n, t, k, h, w), boxes (n, t, k, 4) and labels (n, k)."""
    fewest, most = (number, number) if isinstance(number, int) else number
    require_at_least(subject, 1, count=count, frames=frames, number=most)
    require_at_least(subject, 0, speed=speed, noise=noise, number=fewest)
    require_at_least(subject, 8, size=size)
    if fewest > most or channels not in (1, 3):
        raise ArgumentError(
            f"expects number as (fewest, most) and 1 or 3 channels, got number={number} and "
            f"channels={channels}",
            subject=subject,
        )
    rng = generator_of(seed)
    kinds = rng.integers(1, len(SHAPES), size=(count, most))
    there = np.arange(most) < rng.integers(fewest, most + 1, size=count)[:, None]
    radius = rng.uniform(size / 8, size / 5, size=(count, most))
    places = _bouncing(rng, radius, frames, size, speed)
    colours = rng.uniform(0.4, 1.0, size=(count, most, channels)).astype(np.float32)
    ground = rng.uniform(0.0, 0.15, size=(count, 1, channels, 1, 1)).astype(np.float32)
    labels = np.where(there, kinds, 0)

    masks = np.empty((count, frames, most, size, size), dtype=np.uint8)
    step = max(1, _ROOM // (frames * most * size * size))
    for start in range(0, count, step):
        part = slice(start, start + step)
        masks[part] = _seen(_drawn(labels[part], places[part], radius[part], size))
    videos = np.broadcast_to(ground, (count, frames, channels, size, size)).copy()
    for shape in range(most):
        np.copyto(videos, colours[:, None, shape, :, None, None], where=masks[:, :, shape, None] > 0)
    if noise:
        videos += noise * rng.standard_normal(videos.shape, dtype=np.float32)
        np.clip(videos, 0, 1, out=videos)
    return videos, masks, _boxes(masks), labels


def _bouncing(
    rng: np.random.Generator, radius: np.ndarray, frames: int, size: int, speed: float
) -> np.ndarray:
    """Centres (n, t, k, 2) as (y, x): a straight line folded into the room between the walls."""
    room = (size - 2 * radius)[:, None, :, None]
    start = rng.uniform(size=(*radius.shape, 2))[:, None] * room
    angle = rng.uniform(0, 2 * np.pi, size=radius.shape)
    pace = rng.uniform(speed / 2, speed, size=radius.shape) if speed else np.zeros(radius.shape)
    velocity = (pace * np.stack([np.sin(angle), np.cos(angle)])).transpose(1, 2, 0)[:, None]
    unfolded = start + velocity * np.arange(frames)[:, None, None]
    folded = room - np.abs(unfolded % (2 * room) - room)
    return folded + radius[:, None, :, None]


def _drawn(labels: np.ndarray, places: np.ndarray, radius: np.ndarray, size: int) -> np.ndarray:
    """Which pixels' centres lie in each shape, (n, t, k, h, w)."""
    cells = np.arange(size) + 0.5
    y = cells[:, None] - places[..., 0, None, None]
    x = cells - places[..., 1, None, None]
    r = radius[:, None, :, None, None]
    kinds = labels[:, None, :, None, None]
    disc = y * y + x * x <= r * r
    square = np.maximum(np.abs(y), np.abs(x)) <= 0.85 * r
    triangle = (y <= r) & (2 * np.abs(x) <= y + r)
    return ((kinds == 1) & disc) | ((kinds == 2) & square) | ((kinds == 3) & triangle)


def _seen(drawn: np.ndarray) -> np.ndarray:
    """Each shape without what later ones cover."""
    later = np.flip(np.logical_or.accumulate(np.flip(drawn, axis=2), axis=2), axis=2)
    covered = np.zeros_like(drawn)
    covered[:, :, :-1] = later[:, :, 1:]
    return drawn & ~covered


def _boxes(masks: np.ndarray) -> np.ndarray:
    """The edges (x0, y0, x1, y1) around the pixels of masks (..., h, w); 0 where there are none."""
    rows, columns = (np.asarray(np.max(masks, axis=axis) > 0) for axis in (-1, -2))
    edges = [columns.argmax(-1), rows.argmax(-1)]
    edges += [side.shape[-1] - np.flip(side, -1).argmax(-1) for side in (columns, rows)]
    return (np.stack(edges, axis=-1) * rows.any(-1, keepdims=True)).astype(np.float32)
