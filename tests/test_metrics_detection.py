"""Mean average precision against the definition, spelled out detection by detection."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from targets import Target

from xpnn import metrics
from xpnn.backend import ArgumentError, ShapeError, device_of, dtype_name

RNG = np.random.default_rng(0)


def scene(images: int = 6, classes: int = 3, masks: bool = False) -> tuple[list[dict], list[dict]]:
    """Things, and detections of them: some off, some twice, some of the wrong class, some of nothing."""
    predictions, targets = [], []
    for _ in range(images):
        count = int(RNG.integers(0, 5))
        boxes = np.asarray([random_box() for _ in range(count)]).reshape(-1, 4)
        labels = RNG.integers(1, classes + 1, count)
        found = [(box + RNG.normal(0, 0.7, 4), label) for box, label in zip(boxes, labels) for _ in "ab"]
        found += [(random_box(), int(RNG.integers(1, classes + 2))) for _ in range(3)]
        found = [found[i] for i in RNG.permutation(len(found))]
        spots = np.asarray([box for box, _ in found])
        predictions.append(
            {
                "boxes": spots,
                "labels": np.asarray([label for _, label in found]),
                "scores": RNG.permutation(len(found)) / 20 + RNG.random(),
            }
        )
        targets.append({"boxes": boxes, "labels": labels})
        if masks:
            predictions[-1]["masks"] = drawn(spots) * 0.9
            targets[-1]["masks"] = drawn(boxes)
    return predictions, targets


def random_box() -> np.ndarray:
    start = RNG.uniform(0, 12, 2)
    return np.concatenate([start, start + RNG.uniform(3, 8, 2)])


def drawn(boxes: np.ndarray) -> np.ndarray:
    """Discs in boxes, (N, 20, 20)."""
    y, x = np.mgrid[:20, :20] + 0.5
    found = np.zeros((len(boxes), 20, 20))
    for mask, (x1, y1, x2, y2) in zip(found, boxes):
        mask[((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1] = 1
    return found


def overlap(region: str, a: dict, i: int, b: dict, j: int) -> float:
    if region == "masks":
        p, q = a["masks"][i] > 0.5, b["masks"][j] > 0.5
        return (p & q).sum() / max((p | q).sum(), 1)
    (a1, b1, c1, d1), (a2, b2, c2, d2) = a["boxes"][i], b["boxes"][j]
    shared = max(min(c1, c2) - max(a1, a2), 0) * max(min(d1, d2) - max(b1, b2), 0)
    return shared / ((c1 - a1) * (d1 - b1) + (c2 - a2) * (d2 - b2) - shared)


def naive(
    predictions: list[dict], targets: list[dict], thresholds: list[float], way: str, most: int, region: str
) -> float:
    values = []
    classes = {int(label) for image in targets for label in image["labels"]}
    for label, threshold in itertools.product(sorted(classes), thresholds):
        found = []
        for number, image in enumerate(predictions):
            own = [i for i in range(len(image["labels"])) if image["labels"][i] == label]
            own = sorted(own, key=lambda i: -image["scores"][i])[:most]
            found += [(image["scores"][i], number, i) for i in own]
        found.sort(key=lambda one: -one[0])
        taken: set[tuple[int, int]] = set()
        hits = []
        for _, number, i in found:
            true = targets[number]
            things = [j for j in range(len(true["labels"])) if true["labels"][j] == label]
            if way == "coco":
                things = [j for j in things if (number, j) not in taken]
            overlaps = {j: overlap(region, predictions[number], i, true, j) for j in things}
            best = max(overlaps, key=overlaps.__getitem__, default=None)
            hits.append(best is not None and overlaps[best] >= threshold and (number, best) not in taken)
            if hits[-1]:
                taken.add((number, best))
        count = sum(int((image["labels"] == label).sum()) for image in targets)
        recall = [sum(hits[: k + 1]) / count for k in range(len(hits))]
        precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]

        def best_at(r: float, recall: list = recall, precision: list = precision) -> float:
            return max((p for p, q in zip(precision, recall) if q >= r), default=0.0)

        if way == "voc":
            values.append(sum(best_at(k / count) for k in range(1, count + 1)) / count)
        else:
            grid = [k / 100 for k in range(101)] if way == "coco" else [k / 10 for k in range(11)]
            values.append(sum(map(best_at, grid)) / len(grid))
    return sum(values) / len(values)


def given(backend: Target, images: list[dict]) -> list[dict]:
    return [{name: backend.array(x) for name, x in image.items()} for image in images]


@pytest.mark.parametrize("way", ["coco", "voc", "voc2007"])
@pytest.mark.parametrize("region", ["boxes", "masks"])
def test_against_the_definition(way: str, region: str, backend: Target) -> None:
    predictions, targets = scene(masks=True)
    sides = given(backend, predictions), given(backend, targets)
    for thresholds, most in (([0.5], 100), ([0.3, 0.5, 0.7], 100), ([0.5], 1)):
        value = metrics.mean_average_precision(*sides, thresholds, way, most, region)
        expected = naive(predictions, targets, thresholds, way, most, region)
        assert 0.05 < expected < 0.95
        assert float(backend.numpy(value)) == pytest.approx(expected, rel=1e-6)
    assert dtype_name(value.dtype) == "float32"
    assert device_of(value) == device_of(sides[0][0]["boxes"])


def test_known_values() -> None:
    """Two of three things are found, with a miss between them: precision 1, then 2/3."""
    boxes = np.asarray([[0, 0, 4, 4], [10, 0, 14, 4], [0, 10, 4, 14]], dtype=float)
    true = [{"boxes": boxes, "labels": np.ones(3, int)}]
    spots = np.asarray([[0, 0, 4, 4], [20, 20, 24, 24], [10, 0, 14, 5]], dtype=float)
    found = [{"boxes": spots, "labels": np.ones(3, int), "scores": np.asarray([0.9, 0.8, 0.7])}]
    precise = metrics.mean_average_precision
    assert precise(found, true, 0.5, "voc") == pytest.approx((1 + 2 / 3) / 3)
    assert precise(found, true, 0.5, "voc2007") == pytest.approx((4 + 3 * 2 / 3) / 11)
    assert precise(found, true, 0.5) == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert precise(found, true, [0.5, 0.9], "voc") == pytest.approx((5 / 9 + 1 / 3) / 2)
    assert precise(found, true, 0.8, "voc") == pytest.approx(5 / 9)  # an IoU of just 0.8 is enough
    assert precise(true_as_found(true), true) == 1


def true_as_found(true: list[dict]) -> list[dict]:
    return [{**image, "scores": np.ones(len(image["labels"]))} for image in true]


def test_a_thing_found_twice() -> None:
    """COCO lets the second detection take the next best thing, VOC counts it as a miss."""
    boxes = np.asarray([[0.0, 0.0, 10.0, 10.0], [2.0, 0.0, 12.0, 10.0]])
    true = [{"boxes": boxes, "labels": np.zeros(2, int)}]
    found = [{"boxes": boxes[[0, 0]], "labels": np.zeros(2, int), "scores": np.asarray([0.9, 0.8])}]
    assert metrics.mean_average_precision(found, true, 0.5) == 1
    assert metrics.mean_average_precision(found, true, 0.5, "voc") == pytest.approx(0.5)


def test_batches() -> None:
    predictions, targets = scene(8)
    metric = metrics.MeanAveragePrecision([0.4, 0.6], way="voc")
    with pytest.raises(ArgumentError, match="has seen no batch"):
        metric.compute()
    for start in (0, 3):
        metric.update(predictions[start : start + 3], targets[start : start + 3])
    expected = metrics.mean_average_precision(predictions[:6], targets[:6], [0.4, 0.6], "voc")
    assert metric.compute() == expected
    by_class = metric.by_class()
    assert {*by_class} == {int(label) for image in targets[:6] for label in image["labels"]}
    assert np.mean([*by_class.values()]) == pytest.approx(float(expected))
    metric.reset()
    metric.update(true_as_found(targets), targets)
    assert metric.compute() == 1


def test_nothing_there_and_nothing_found() -> None:
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}
    thing = {"boxes": np.ones((1, 4)), "labels": np.ones(1, int), "scores": np.ones(1)}
    assert math.isnan(metrics.mean_average_precision([nothing], [nothing]))
    assert math.isnan(metrics.mean_average_precision([thing], [nothing]))
    assert metrics.mean_average_precision([nothing], [thing]) == 0
    assert metrics.mean_average_precision([thing], [thing]) == 0  # a box without cells overlaps nothing


def test_what_is_refused() -> None:
    box = {"boxes": np.zeros((2, 4)), "labels": np.zeros(2, int), "scores": np.zeros(2)}
    for found, options, error, match in (
        ([box], {"iou_thresholds": 1.5}, ArgumentError, "iou_thresholds in"),
        ([box], {"iou_thresholds": []}, ArgumentError, "iou_thresholds in"),
        ([box], {"way": "pascal"}, ArgumentError, "way of .*'pascal'"),
        ([box], {"region": "mask"}, ArgumentError, "region of .*'mask'"),
        ([box], {"region": "masks"}, ArgumentError, r"predictions\[0\] expects masks"),
        ([box], {"max_detections": 0}, ArgumentError, "max_detections of at least 1"),
        ([box, box], {}, ShapeError, "as many images, got 2 and 1"),
        ([{**box, "scores": np.zeros(3)}], {}, ShapeError, r"boxes \(K, 4\).*scores \(3,\)"),
        ([{**box, "boxes": np.zeros((2, 5))}], {}, ShapeError, r"got boxes \(2, 5\)"),
    ):
        with pytest.raises(error, match=match):
            metrics.mean_average_precision(found, [box], **options)
    with pytest.raises(ArgumentError, match="at least one image"):
        metrics.mean_average_precision([], [])
