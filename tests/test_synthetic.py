"""Generated data: what the documentation promises, against formulas and loops; the same bits from a seed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, ShapeError
from xpnn.data import DataLoader, TensorDataset, synthetic

MAKERS: list[Callable[..., TensorDataset]] = [
    *(synthetic.moons, synthetic.circles, synthetic.spirals, synthetic.xor, synthetic.blobs),
    *(synthetic.shapes, synthetic.moving_shapes, synthetic.stroke_digits, synthetic.digit_strips),
    *(synthetic.copy_task, synthetic.reverse_task, synthetic.date_strings),
]


def arrays(dataset: TensorDataset) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in dataset.tensors]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_seed_determines_the_data(make: Callable[..., TensorDataset]) -> None:
    def bits(**options: Any) -> list[bytes]:
        return [part.tobytes() for part in arrays(make(7, **options))]

    assert bits() == bits(seed=0) != bits(seed=1)
    assert bits(seed=np.random.default_rng(0)) == bits(seed=0)
    xpnn.manual_seed(5)
    drawn = bits(seed=None)
    assert drawn != bits(seed=None)
    xpnn.manual_seed(5)
    assert bits(seed=None) == drawn
    dataset = make(7)
    assert len(dataset) == 7
    assert all(isinstance(part, Tensor) for part in [*dataset.tensors, *dataset[0]])
    kinds = {part.dtype.kind + str(part.dtype.itemsize) for part in arrays(dataset)}
    assert kinds <= {"f4", "i8", "u1"}
    (batch,) = DataLoader(dataset, batch_size=7)
    for part, whole in zip(batch, dataset.tensors):
        np.testing.assert_array_equal(part.numpy(), whole.numpy())
    with pytest.raises(ArgumentError, match="count >= 1"):
        make(0)
    with pytest.raises(ArgumentError, match="seed >= 0"):
        make(1, seed=-1)


def test_points_lie_on_their_lines() -> None:
    x, label = arrays(synthetic.moons(51, noise=0))
    assert np.bincount(label).tolist() == [26, 25]
    center = np.where(label[:, None] == 0, [0, 0], [1, 0.5])
    np.testing.assert_allclose(np.hypot(*(x - center).T), 1, rtol=1e-6)
    assert (x[label == 0, 1] >= -1e-6).all()
    assert (x[label == 1, 1] <= 0.5 + 1e-6).all()
    x, label = arrays(synthetic.circles(40, noise=0, factor=0.3))
    np.testing.assert_allclose(np.hypot(*x.T), np.where(label == 0, 1, 0.3), rtol=1e-5)
    assert len(np.unique(x.round(5), axis=0)) == 40
    x, label = arrays(synthetic.spirals(90, classes=3, turns=0.5, noise=0))
    radius = np.hypot(*x.T)
    turned = np.exp(-2j * np.pi * (0.5 * radius + label / 3)) * (x[:, 0] + 1j * x[:, 1])
    np.testing.assert_allclose(turned, radius, atol=1e-5)
    x, label = arrays(synthetic.xor(4, noise=0))
    assert {(*point, truth) for point, truth in zip(x.tolist(), label.tolist())} == {
        (-1, -1, 0), (1, -1, 1), (-1, 1, 1), (1, 1, 0)
    }  # fmt: skip
    x, label = arrays(synthetic.blobs(4000, spread=0.5, centers=[[0, 0, 3], [5, 5, 5]]))
    for k, center in enumerate(([0, 0, 3], [5, 5, 5])):
        np.testing.assert_allclose(x[label == k].mean(0), center, atol=0.05)
        np.testing.assert_allclose(x[label == k].std(0), 0.5, atol=0.03)
    noisy = arrays(synthetic.moons(4000, noise=0.2))
    assert abs(np.hypot(*noisy[0][noisy[1] == 0].T).std() - 0.2) < 0.02


def test_masks_and_boxes_are_of_the_shapes_that_are_seen() -> None:
    images, masks, boxes, labels = arrays(synthetic.shapes(60, size=24, number=(0, 4), noise=0))
    assert masks.sum(axis=1).max() == 1
    assert set(labels.ravel().tolist()) == {0, 1, 2, 3}
    for image, mask, box, label in zip(images, masks, boxes, labels):
        for shape in range(4):
            ys, xs = np.nonzero(mask[shape])
            assert (label[shape] > 0) == (len(ys) > 0)
            expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(ys) else [0, 0, 0, 0]
            assert box[shape].tolist() == expected
            assert len(np.unique(image[:, mask[shape] > 0], axis=1).T) <= 1  # one colour
        ground = image[:, mask.sum(0) == 0]
        assert (ground == ground[:, :1]).all()
        assert ground.max() < 0.2


def test_areas_of_shapes() -> None:
    """By their formulas, from the boxes, where nothing covers them."""
    _, masks, boxes, labels = arrays(synthetic.shapes(200, size=64, number=1, noise=0))
    area = masks.sum(axis=(1, 2, 3)) / np.prod(boxes[:, 0, 2:] - boxes[:, 0, :2], axis=1)
    for kind, share in ((1, np.pi / 4), (2, 1.0), (3, 0.5)):
        assert abs(area[labels[:, 0] == kind].mean() - share) < 0.03


def test_moving_shapes_fly_straight_and_bounce() -> None:
    video, masks, boxes, labels = arrays(synthetic.moving_shapes(20, frames=30, size=32, number=1, speed=1.5))
    assert (masks.any(axis=(3, 4))).all()
    assert (labels > 0).all()
    center = (boxes[:, :, 0, 2:] + boxes[:, :, 0, :2]) / 2
    step = np.hypot(*np.moveaxis(np.diff(center, axis=1), -1, 0))
    assert step.max() < 1.5 + 1.5  # rounded to pixels
    assert (boxes >= 0).all()
    assert (boxes <= 32).all()
    jumps = np.abs(np.diff(center, 2, axis=1)).max(axis=(0, 2))
    assert jumps.max() < 4.5  # twice the speed at a wall
    assert ((video > 0.3) == (masks.sum(2, keepdims=True)[:, :, 0, None] > 0)).all()
    _, still, _, _ = arrays(synthetic.moving_shapes(3, frames=4, speed=0))
    assert (still == still[:, :1]).all()


def test_stroke_digits_can_be_told_apart() -> None:
    """By the nearest of the training images, made from another seed."""
    (train, known), (test, truth) = (arrays(synthetic.stroke_digits(n, 16, seed=n)) for n in (600, 100))
    assert train.min() == 0
    assert train.max() == 1
    assert np.bincount(known).tolist() == [60] * 10
    flat, rows = train.reshape(600, -1), test.reshape(100, -1)
    distance = (flat**2).sum(1) - 2 * rows @ flat.T
    assert (known[distance.argmin(1)] == truth).mean() > 0.9
    edges = np.concatenate([test[:, :, [0, -1]], test[:, :, :, [0, -1]].swapaxes(2, 3)], axis=2)
    assert edges.max() == 0  # the whole digit lies within the picture


def test_digit_strips_are_made_for_ctc() -> None:
    image, labels, length = arrays(synthetic.digit_strips(50, digits=(2, 4), size=16, noise=0))
    assert sorted(set(length.tolist())) == [2, 3, 4]
    for row, count in zip(labels, length):
        assert (row[:count] > 0).all()
        assert (row[:count] <= 10).all()
        assert (row[count:] == 0).all()
    ink = image.sum(axis=(1, 2, 3))
    assert ink[length == 2].mean() < ink[length == 4].mean()


def test_sequences() -> None:
    for pairs, given in (
        (synthetic.copy_task(30, (2, 5), 4), lambda text: text),
        (synthetic.reverse_task(30, (2, 5), 4), lambda text: text[::-1]),
    ):
        source, target = arrays(pairs)
        assert source.shape == (30, 5)
        assert target.shape == (30, 7)
        assert set(source.ravel().tolist()) == {0, 3, 4, 5, 6}
        for row, (text, answer), size in zip(range(30), pairs.texts, pairs.source_lengths):
            assert answer == given(text)
            assert (pairs.decode(source[row]), pairs.decode(target[row])) == (text, answer)
            assert (source[row] > 0).sum() == size == len(text)
            assert target[row][0] == 1
            assert target[row][pairs.target_lengths[row] - 1] == 2
    assert synthetic.copy_task(5, 3).tensors[0].shape == (5, 3)


def test_date_strings_say_the_same_day() -> None:
    pairs = synthetic.date_strings(400)
    forms = ("%d %B %Y", "%B %d, %Y", "%A, %d %B %Y", "%d %b %Y", "%d.%m.%Y", "%m/%d/%Y", "%d-%b-%y")
    used = set()
    for text, iso in pairs.texts:
        for form in forms:
            try:
                read = datetime.datetime.strptime(text, form).date()
            except ValueError:
                continue
            used.add(form)
            if form == "%d-%b-%y":
                assert iso.startswith("19")
                read = read.replace(year=read.year % 100 + 1900)
            assert read.isoformat() == iso
            break
        else:
            pytest.fail(f"no form reads {text}")
    assert used == set(forms)
    assert pairs.vocabulary == synthetic.date_strings(1, seed=9).vocabulary
    assert pairs.tensors[1].shape == (400, 12)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (synthetic.moons, {"noise": -1}, "noise >= 0"),
        (synthetic.circles, {"factor": 2}, r"factor in \[0, 1\]"),
        (synthetic.spirals, {"classes": 0}, "classes >= 1"),
        (synthetic.shapes, {"size": 4}, "size >= 8"),
        (synthetic.shapes, {"channels": 2}, "1 or 3 channels"),
        (synthetic.shapes, {"number": (3, 1)}, "fewest, most"),
        (synthetic.moving_shapes, {"frames": 0}, "frames >= 1"),
        (synthetic.digit_strips, {"digits": (3, 2)}, "fewest, most"),
        (synthetic.copy_task, {"symbols": 99}, "at most 52"),
        (synthetic.copy_task, {"length": 0}, "length >= 1"),
        (synthetic.date_strings, {"years": (2000, 1999)}, "first, last"),
    ],
)
def test_bad_arguments(make: Callable[..., Any], options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make(5, **options)


def test_other_errors() -> None:
    with pytest.raises(ShapeError, match=r"\(classes, features\)"):
        synthetic.blobs(5, centers=[1.0, 2.0])
    with pytest.raises(ArgumentError, match="at least one pair"):
        synthetic.SequencePairs([])
    with pytest.raises(ArgumentError, match="characters of 'ab', got 'c'"):
        synthetic.SequencePairs([("ab", "ab")]).encode("ac")
