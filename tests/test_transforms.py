"""Transforms: against loops and Pillow, one by one and in batches, reproducible."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from xpnn.data import (
    CenterCrop,
    Compose,
    Digits,
    OneHot,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    Rescale,
    Resize,
    Standardize,
    TensorDataset,
    ToFloat,
    Transform,
    TransformDataset,
)
from xpnn.data.seeding import transforms_seeded

BATCH = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 7), dtype=np.uint8)
DETERMINISTIC = [
    ToFloat(),
    Rescale(-1, 2),
    Standardize([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]),
    Pad((1, 2, 3, 0), fill=7),
    CenterCrop((4, 11)),
    Resize(4),
    Resize((12, 3)),
    Compose([ToFloat(), CenterCrop(5), lambda image: image * 2]),
]
RANDOM = [RandomCrop(5), RandomCrop((9, 7), padding=2, fill=9), RandomHorizontalFlip()]


@pytest.mark.parametrize("transform", DETERMINISTIC, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_a_batch_is_its_samples_one_by_one(transform: Transform, dtype: type) -> None:
    batch = BATCH.astype(dtype)
    before = batch.copy()
    together = transform.batch(batch)
    assert together.dtype == transform(batch[0]).dtype
    np.testing.assert_allclose(together, np.stack([transform(image) for image in batch]), rtol=1e-6)
    np.testing.assert_array_equal(transform.batch(batch), together)
    np.testing.assert_array_equal(batch, before)
    if not isinstance(transform, Compose):
        np.testing.assert_array_equal(transform(batch), together)


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_random_transforms_follow_their_generator(transform: Transform) -> None:
    before = BATCH.copy()

    def run(seed: int) -> list:
        return transform(BATCH, np.random.default_rng(seed)).tolist()

    assert run(1) == run(1) != run(2)
    with transforms_seeded(3, 1, 4):
        first = transform(BATCH).tolist()
    with transforms_seeded(3, 1, 4):
        assert transform(BATCH).tolist() == first
    with transforms_seeded(3, 1, 5):
        assert transform(BATCH).tolist() != first
    xpnn.manual_seed(0)
    unseeded = transform(BATCH).tolist()
    xpnn.manual_seed(0)
    assert transform(BATCH).tolist() == unseeded
    np.testing.assert_array_equal(BATCH, before)


def test_elementwise_transforms() -> None:
    x = np.array([0, 128, 255], dtype=np.uint8)
    np.testing.assert_array_equal(ToFloat()(x), np.float32([0, 128, 255]) / np.float32(255))
    assert ToFloat()(x).dtype == np.float32
    np.testing.assert_array_equal(ToFloat()(np.array([2.5])), np.float32([2.5]))
    np.testing.assert_allclose(Rescale(-1, 1)(x), [-1, 2 * 128 / 255 - 1, 1], atol=1e-6)
    np.testing.assert_allclose(Rescale(0, 10, source=(-1, 1))(np.array([-1.0, 0.0, 1.0])), [0, 5, 10])
    assert Rescale()(np.zeros(1)).dtype == np.float64
    np.testing.assert_allclose(Standardize([1, 2], [3, 4])(np.full((2, 1, 1), 10.0)).ravel(), [9 / 3, 8 / 4])


def test_one_hot() -> None:
    labels = np.array([2, 0, 1])
    np.testing.assert_array_equal(OneHot(4)(labels), [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    assert OneHot(4)(2).tolist() == [0, 0, 1, 0]
    dataset = TensorDataset(np.zeros((3, 1)), labels, target_transform=OneHot(3))
    assert dataset.gather([0, 1])[1].shape == (2, 3)


def test_standardize_fits_a_dataset() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal([5.0, -3.0], [2.0, 0.1], size=(300, 8, 2)).swapaxes(1, 2)
    for data in (x, TensorDataset(x, np.zeros(300)), list(x)):
        fitted = Standardize.fit(data, batch_size=128)
        np.testing.assert_allclose(fitted.mean, x.mean(axis=(0, 2)))
        np.testing.assert_allclose(fitted.std, x.std(axis=(0, 2)))
    standardized = fitted.batch(x)
    np.testing.assert_allclose(standardized.mean(axis=(0, 2)), 0, atol=1e-12)
    digits = TransformDataset(Digits(), transform=Rescale(-1, 1))
    np.testing.assert_allclose(Standardize.fit(digits).mean, [Digits().data.mean() * 2 - 1], rtol=1e-5)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad_against_indexing(mode: str) -> None:
    image = np.arange(12).reshape(1, 3, 4)
    padded = Pad((1, 2, 2, 1), fill=-1, padding_mode=mode)(image)
    assert padded.shape == (1, 6, 7)

    def source(i: int, size: int) -> int | None:
        if 0 <= i < size:
            return i
        inside = {
            "edge": min(max(i, 0), size - 1),
            "reflect": -i if i < 0 else 2 * size - 2 - i,
            "symmetric": -i - 1 if i < 0 else 2 * size - 1 - i,
        }
        return inside.get(mode)

    for row in range(6):
        for column in range(7):
            y, x = source(row - 2, 3), source(column - 1, 4)
            expected = -1 if y is None or x is None else image[0, y, x]
            assert padded[0, row, column] == expected


@pytest.mark.parametrize(("size", "top", "left"), [(3, 3, 2), ((9, 1), 0, 3), (4, 2, 2)])
def test_center_crop_takes_the_middle(size: int | tuple[int, int], top: int, left: int) -> None:
    h, w = (size, size) if isinstance(size, int) else size
    expected = BATCH[:, :, top : top + h, left : left + w]  # half-way cases round to even, as in Python
    np.testing.assert_array_equal(CenterCrop(size)(BATCH), expected)


def test_center_crop_pads_what_is_too_small() -> None:
    cropped = CenterCrop((3, 4))(np.ones((1, 1, 2)))
    np.testing.assert_array_equal(cropped[0], [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])


def test_random_crops_are_windows_and_reach_every_place() -> None:
    images = np.arange(20, dtype=np.int64).reshape(1, 1, 4, 5).repeat(2000, axis=0)
    crops = RandomCrop((3, 2))(images, np.random.default_rng(0))
    windows = {images[0, 0, y : y + 3, x : x + 2].tobytes(): 0 for y in range(2) for x in range(4)}
    for crop in crops:
        windows[np.ascontiguousarray(crop[0]).tobytes()] += 1  # a KeyError: not a window
    assert len(windows) == 8
    assert min(windows.values()) > 250 - 5 * 15  # each 250 times, standard deviation 15


def test_random_crop_pads() -> None:
    crops = RandomCrop(9, padding=4, fill=5)(np.ones((50, 2, 1, 1)), np.random.default_rng(0))
    assert np.all(crops.sum(axis=(2, 3)) == 80 * 5 + 1)


def test_random_flip_flips_whole_images_half_of_the_time() -> None:
    images = np.arange(6.0).reshape(1, 2, 1, 3).repeat(1000, axis=0)
    flipped = RandomHorizontalFlip()(images, np.random.default_rng(0))
    turned = [np.array_equal(image, images[0, :, :, ::-1]) for image in flipped]
    kept = [np.array_equal(image, images[0]) for image in flipped]
    assert sum(turned) + sum(kept) == 1000
    assert 420 < sum(turned) < 580  # five standard deviations
    np.testing.assert_array_equal(RandomHorizontalFlip(0.0)(images), images)
    np.testing.assert_array_equal(RandomHorizontalFlip(1.0)(images), images[..., ::-1])


@pytest.mark.parametrize("size", [(4, 3), (18, 21), (9, 2), (5, 14)])
def test_resize_agrees_with_pillow(size: tuple[int, int]) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for image in BATCH:
        resized = Resize(size)(image[:1])
        oracle = pillow.fromarray(image[0]).resize(size[::-1], pillow.Resampling.BILINEAR)
        assert resized.dtype == np.uint8
        difference = np.abs(resized[0].astype(int) - np.asarray(oracle).astype(int))
        assert difference.max() <= 1  # Pillow rounds between its two passes, too
    floats = pillow.fromarray(BATCH[0, 0].astype(np.float32)).resize(size[::-1], pillow.Resampling.BILINEAR)
    np.testing.assert_allclose(Resize(size)(BATCH[0, :1].astype(np.float32))[0], floats, rtol=1e-5)


def test_resize_keeps_proportions_and_constants() -> None:
    assert Resize(14)(np.zeros((3, 9, 7))).shape == (3, 18, 14)
    assert Resize(3)(np.zeros((3, 7, 9))).shape == (3, 3, 3 * 9 // 7)
    np.testing.assert_allclose(Resize((13, 2))(np.full((1, 5, 5), 0.7)), 0.7)
    assert Resize(7)(BATCH).base is BATCH.base


def test_one_axis_less_is_named() -> None:
    dataset = TensorDataset(np.zeros((5, 8, 8)), transform=RandomHorizontalFlip())
    with pytest.raises(
        ShapeError, match=r"RandomHorizontalFlip expects images \(C, H, W\).*images\[:, None\]"
    ):
        dataset.gather([0, 1])


def test_transform_errors() -> None:
    with pytest.raises(ShapeError, match="at least 9 x 9, got 8 x 8 after padding"):
        RandomCrop(9)(np.zeros((1, 8, 8)))
    with pytest.raises(ShapeError, match="expects 3 channels"):
        Standardize([0, 0, 0], [1, 1, 1])(np.zeros((1, 8, 8)))
    with pytest.raises(IndexOutOfRangeError, match="labels below 3, got 3"):
        OneHot(3)(np.array([0, 3]))
    with pytest.raises(IndexOutOfRangeError, match="got -1"):
        OneHot(3)(np.array([0, -1]))
    with pytest.raises(DTypeError, match="integer labels, got float64"):
        OneHot(3)(np.array([0.0]))
    with pytest.raises(NotImplementedError, match="must define batch"):
        Transform()(np.zeros(3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Standardize(0.0, 0.0), "positive std"),
        (lambda: Standardize.fit(np.zeros((0, 1))), "at least one sample"),
        (lambda: Rescale(source=(1, 1)), "source range"),
        (lambda: Pad((1, 2, 3)), "1, 2 or 4 whole numbers"),
        (lambda: Pad(1, padding_mode="wrap"), "one of"),
        (lambda: CenterCrop(0), r"CenterCrop expects a size \(height, width\)"),
        (lambda: RandomCrop((1, 2, 3)), "RandomCrop expects a size"),
        (lambda: RandomHorizontalFlip(1.5), "probability p"),
    ],
)
def test_wrong_options(build, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build()
