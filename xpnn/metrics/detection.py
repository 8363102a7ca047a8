"""Mean average precision: how well boxes or masks of things are found, over all thresholds of the score.

What was found and what is there are a list each, with a mapping for each image, as torchvision's detectors
return and take them. Matching goes through the detections one by one; it is done on the host.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from xpnn.backend import (
    ArgumentError,
    Array,
    ShapeError,
    default_dtype,
    device_of,
    namespace,
    refusing,
    to_numpy,
)
from xpnn.backend.boxes import box_areas, intersections
from xpnn.metrics.classification import raw

COCO_THRESHOLDS = tuple(0.5 + 0.05 * i for i in range(10))

_WAYS = ("coco", "voc", "voc2007")
_REGIONS = ("boxes", "masks")
_EMPTY = 1e-12  # in place of the union of two empty regions, of which nothing is shared

Detections = Mapping[str, Any]


class Found(NamedTuple):
    """Of one class in one image: scores, falling; whether each is a hit at each threshold; true things."""

    scores: Any
    hits: Any
    there: int


@refusing
def mean_average_precision(
    predictions: Sequence[Detections],
    targets: Sequence[Detections],
    iou_thresholds: float | Sequence[float] = COCO_THRESHOLDS,
    way: str = "coco",
    max_detections: int = 100,
    region: str = "boxes",
) -> Array:
    """The precision, averaged over the recall, the classes and thresholds of the intersection over union.

    From the highest score down, a detection is a hit if it overlaps a thing of its class in its image, that
    was not found yet, by at least the threshold. The precision at a recall is the best one at that recall or
    a higher one.

    Args:
        predictions: for each image "boxes" (K, 4) as x1, y1, x2, y2, "scores" (K,), "labels" (K,) and, for
            masks, "masks" (K, H, W), of which values above 0.5 count.
        targets: for each image "boxes" (G, 4), "labels" (G,) and, for masks, "masks" (G, H, W).
        iou_thresholds: one or several; the default is COCO's, 0.5, 0.55, ... 0.95.
        way: "coco" takes the mean of the precision at the recalls 0, 0.01, ... 1; "voc" its integral over the
            recall, and "voc2007" the mean at 0, 0.1, ... 1. In both of VOC a detection counts for the thing
            that it overlaps most, and is a miss if that was found already; in COCO's for the next best.
        max_detections: of a class in an image; those with lower scores are left out.
        region: "boxes" or "masks".

    Returns: a 0-d float32 array, the mean over the classes that are in the targets; NaN if there are none.

    Raises: ShapeError for arrays that don't belong together; ArgumentError for another way or region.

    See: Everingham et al. (2010), "The Pascal visual object classes challenge"; Lin et al. (2014),
    "Microsoft COCO".

    >>> import numpy as np
    >>> box, label = np.asarray([[0.0, 0.0, 4.0, 4.0]]), np.asarray([1])
    >>> found = {"boxes": box + 1, "scores": np.asarray([0.9]), "labels": label}
    >>> float(mean_average_precision([found], [{"boxes": box, "labels": label}], 0.3))
    1.0
    """
    table, _ = precision_table(predictions, targets, iou_thresholds, way, max_detections, region)
    return mean_of(table, predictions, targets, region)


def precision_table(
    predictions: Sequence[Detections],
    targets: Sequence[Detections],
    iou_thresholds: float | Sequence[float],
    way: str,
    max_detections: int,
    region: str,
) -> tuple[list[list[float]], list[int]]:
    """The average precision at each threshold (rows) of each class (columns), and the classes."""
    thresholds = (
        [float(iou_thresholds)] if isinstance(iou_thresholds, int | float) else [*map(float, iou_thresholds)]
    )
    check_settings(thresholds, way, max_detections, region)
    if len(predictions) != len(targets):
        raise ShapeError(
            f"expects predictions and targets of as many images, got {len(predictions)} and {len(targets)}",
            subject="mean_average_precision",
        )
    by_class: dict[int, list[Found]] = defaultdict(list)
    for number, (found, true) in enumerate(zip(predictions, targets)):
        for label, one in _matched(found, true, thresholds, way, max_detections, region, number):
            by_class[label].append(one)
    classes = sorted(label for label, all_ in by_class.items() if any(one.there for one in all_))
    return [[_average(by_class[label], t, way) for label in classes] for t in range(len(thresholds))], classes


def check_settings(thresholds: Sequence[float], way: str, max_detections: int, region: str) -> None:
    """Raise an ArgumentError for what `mean_average_precision` cannot be asked for."""
    subject = "mean_average_precision"
    if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
        raise ArgumentError(f"expects iou_thresholds in (0, 1], got {thresholds}", subject=subject)
    if way not in _WAYS or region not in _REGIONS:
        raise ArgumentError(
            f"expects way of {_WAYS} and region of {_REGIONS}, got {way!r} and {region!r}", subject=subject
        )
    if max_detections < 1:
        raise ArgumentError(f"expects max_detections of at least 1, got {max_detections}", subject=subject)


def _matched(
    found: Detections,
    true: Detections,
    thresholds: Sequence[float],
    way: str,
    most: int,
    region: str,
    number: int,
) -> list[tuple[int, Found]]:
    """What was found of each class in one image."""
    given, scores, labels = _arrays(found, ("scores", "labels"), region, f"predictions[{number}]")
    there, true_labels = _arrays(true, ("labels",), region, f"targets[{number}]")
    results = []
    for label in sorted({*labels.tolist(), *true_labels.tolist()}):
        own = (labels == label).nonzero()[0]
        own = own[(-scores[own]).argsort(kind="stable")][:most]
        things = there[true_labels == label]
        overlaps = _overlaps(given[own], things, region)
        hits = [_hits(overlaps, threshold, way) for threshold in thresholds]
        results.append((int(label), Found(scores[own].tolist(), hits, len(things))))
    return results


def _hits(overlaps: list[list[float]], threshold: float, way: str) -> list[bool]:
    """Whether each detection, whose overlaps with the things of its class are a row, is a hit."""
    taken: set[int] = set()
    hits = []
    for row in overlaps:
        left = [i for i in range(len(row)) if way != "coco" or i not in taken]
        best = max(left, key=row.__getitem__, default=-1)
        hit = best >= 0 and best not in taken and row[best] >= threshold
        if hit:
            taken.add(best)
        hits.append(hit)
    return hits


def _average(images: list[Found], threshold: int, way: str) -> float:
    """The average precision of a class at the threshold of this number."""
    ranked = sorted(
        ((score, hit) for one in images for score, hit in zip(one.scores, one.hits[threshold])),
        key=lambda pair: -pair[0],
    )
    count = sum(one.there for one in images)
    caught = list(accumulate(int(hit) for _, hit in ranked))
    recall = [hits / count for hits in caught]
    best = list(accumulate((hits / (i + 1) for i, hits in reversed([*enumerate(caught)])), max))[::-1]
    if way == "voc":
        steps = zip(recall, [0.0, *recall], best)
        return math.fsum((now - before) * precision for now, before, precision in steps)
    parts = 100 if way == "coco" else 10
    total, place = 0.0, 0
    for i in range(parts + 1):
        while place < len(recall) and recall[place] < i / parts:
            place += 1
        total += best[place] if place < len(recall) else 0.0
    return total / (parts + 1)


def _overlaps(first: Any, second: Any, region: str) -> list[list[float]]:
    """Intersection over union of all pairs of boxes (K, 4), or of masks (K, cells)."""
    xp = namespace(first, second)
    if region == "boxes":
        shared = intersections(first[:, None, :], second[None, :, :])
        areas = box_areas(first), box_areas(second)
    else:
        shared = xp.matmul(first, second.mT)
        areas = xp.sum(first, axis=1), xp.sum(second, axis=1)
    union = areas[0][:, None] + areas[1][None, :] - shared
    return (shared / xp.where(union == 0, _EMPTY, union)).tolist()


def _arrays(given: Detections, names: tuple[str, ...], region: str, subject: str) -> list[Any]:
    """Regions as floats, and the arrays of other names, on the host."""
    missing = [name for name in (region, *names) if name not in given]
    if missing:
        raise ArgumentError(f"expects {', '.join(missing)}, got {', '.join(given)}", subject=subject)
    arrays = [to_numpy(raw(given[name])) for name in (region, *names)]
    regions, count = arrays[0], len(arrays[1]) if arrays[1].ndim else -1
    ranks = regions.shape == (count, 4) if region == "boxes" else regions.ndim == 3
    if not ranks or any(x.shape != (count,) for x in arrays[1:]) or len(regions) != count:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in zip((region, *names), arrays))
        layout = "boxes (K, 4)" if region == "boxes" else "masks (K, H, W)"
        raise ShapeError(f"expects {layout} and {', '.join(names)} (K,), got {shapes}", subject=subject)
    xp = namespace(regions)
    if region == "masks":
        regions = xp.reshape(regions > 0.5, (count, math.prod(regions.shape[1:])))
    arrays[0] = xp.astype(regions, xp.float64)
    return arrays


def mean_of(
    table: Sequence[Sequence[float]],
    predictions: Sequence[Detections],
    targets: Sequence[Detections],
    region: str,
) -> Array:
    """The mean of a table: a 0-d array of the library and on the device of the data."""
    if not targets:
        raise ArgumentError("expects at least one image", subject="mean_average_precision")
    values = [value for row in table for value in row]
    like = raw(predictions[0][region])
    xp = namespace(like)
    mean = math.fsum(values) / len(values) if values else math.nan
    return xp.asarray(mean, dtype=default_dtype(xp), device=device_of(like))
