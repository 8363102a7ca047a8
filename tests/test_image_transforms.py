"""Transforms of images against Pillow, SciPy and torchvision, on every backend, one by one and in batches."""

from __future__ import annotations

import colorsys
import importlib
import itertools
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError, to_numpy
from xpnn.data import (
    CenterCrop,
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    FiveCrop,
    GaussianBlur,
    Grayscale,
    Identity,
    InterpolationMode,
    Lambda,
    MixUp,
    Normalize,
    OneOf,
    Pad,
    PILToTensor,
    RandAugment,
    RandomAdjustSharpness,
    RandomAffine,
    RandomApply,
    RandomAutocontrast,
    RandomChoice,
    RandomCrop,
    RandomEqualize,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomInvert,
    RandomOrder,
    RandomPosterize,
    RandomResizedCrop,
    RandomRotation,
    RandomSolarize,
    RandomVerticalFlip,
    Rescale,
    Resize,
    Standardize,
    ToFloat,
    ToPILImage,
    ToTensor,
    Transform,
    TrivialAugmentWide,
)
from xpnn.data.transforms import colour, filtering, geometry

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 3, 12, 15), dtype=np.uint8)
FLOATS = RNG.random((4, 3, 12, 15)).astype(np.float32)
GREY = BYTES[:, :1]

SURE = [
    *(Resize(7), Resize((20, 9), "bicubic"), Resize((5, 20), "nearest"), Resize(8, max_size=9)),
    *(CenterCrop((14, 6)), Pad((1, 2, 3, 0), fill=(1, 2, 3)), Pad(2, padding_mode="reflect")),
    *(Pad((-1, 2)), Pad(1, padding_mode="symmetric"), Pad(3, padding_mode="edge")),
    *(Grayscale(), Grayscale(3), GaussianBlur((3, 5), 1.5), RandomAdjustSharpness(2.0, p=1)),
    *(
        RandomInvert(1),
        RandomPosterize(3, 1),
        RandomSolarize(0.5, 1),
        RandomAutocontrast(1),
        RandomEqualize(1),
    ),
    *(RandomHorizontalFlip(1), RandomVerticalFlip(1), RandomRotation((20, 20), "bilinear", fill=9)),
    *(RandomRotation((90, 90), expand=True), RandomGrayscale(1), Identity(), ToFloat(), Rescale(-1, 1)),
    *(
        Standardize([1, 2, 3], [4, 5, 6]),
        Compose([ToFloat(), Normalize([0.5] * 3, [0.2] * 3), CenterCrop(5)]),
    ),
]
RANDOM = [
    *(RandomCrop(10, padding=2), RandomCrop((14, 20), pad_if_needed=True, fill=7), RandomResizedCrop(8)),
    *(RandomResizedCrop((6, 9), interpolation="nearest"), RandomHorizontalFlip(), RandomVerticalFlip()),
    *(RandomRotation(40), RandomRotation(40, "bilinear", center=(3, 4), fill=(1, 2, 3))),
    RandomAffine(30, (0.1, 0.2), (0.8, 1.2), (-10, 10, -5, 5), "bilinear"),
    *(GaussianBlur(3), ColorJitter(0.4, 0.4, 0.4, 0.2), RandomGrayscale(0.5), RandomErasing(0.7)),
    *(RandomErasing(1, value="random"), Cutout((3, 4), 2), RandAugment(3), TrivialAugmentWide()),
    RandomApply([RandomVerticalFlip(), ColorJitter(0.5)], 0.5),
    *(RandomChoice([RandomRotation(90), Identity()]), OneOf([RandomInvert(), Pad(0)], p=[0.7, 0.3])),
    RandomOrder([ColorJitter(0.5), RandomHorizontalFlip()]),
]


def name_of(transform: Any) -> str:
    return type(transform).__name__


def apart(mine: Any, theirs: Any) -> float:
    mine, theirs = np.asarray(mine), np.asarray(theirs)
    assert mine.shape == theirs.shape
    return np.abs(mine.astype(np.float64) - theirs.astype(np.float64)).max(initial=0)


# All ways to call one


@pytest.mark.parametrize("transform", SURE, ids=repr)
@pytest.mark.parametrize("x", [BYTES, FLOATS, FLOATS.astype(np.float16)], ids=["uint8", "float32", "float16"])
def test_a_batch_is_its_samples(transform: Transform, x: np.ndarray) -> None:
    before = x.copy()
    together = transform.batch(x)
    np.testing.assert_array_equal(transform(x), together)
    for image, whole in zip(x, together):
        alone = transform(image)
        assert alone.dtype == whole.dtype
        np.testing.assert_allclose(alone, whole, rtol=1e-3 if x.dtype == np.float16 else 1e-5, atol=1e-5)
    np.testing.assert_array_equal(x, before)
    if not isinstance(transform, Compose | ToFloat | Rescale | Standardize):
        assert together.dtype == x.dtype
    np.testing.assert_allclose(transform.batch(x[:, :, ::-1][:, :, ::-1]), together)  # not contiguous


def test_every_backend_gives_the_same(backend: Target) -> None:
    transforms = [*SURE, *RANDOM]
    if backend.backend == "jax":
        transforms = transforms[::3]  # which compiles each operation for each shape
    for transform, x in zip(transforms, itertools.cycle((BYTES, FLOATS, FLOATS, BYTES))):
        expected = transform.batch(x, np.random.default_rng(1))
        with backend.active():
            array = backend.array(x)
            result = transform.batch(array, np.random.default_rng(1))
            tensor = transform(xpnn.as_tensor(array), np.random.default_rng(1))
        assert type(result) is type(array), transform
        assert isinstance(tensor, xpnn.Tensor)
        far = np.abs(to_numpy(result).astype(float) - expected.astype(float))
        assert to_numpy(result).dtype == expected.dtype, transform
        # A sum in another order may round to the next whole number.
        assert far.max(initial=0) <= (1 if expected.dtype == np.uint8 else 2e-4), transform
        assert (far > 1e-4).mean() < 0.02, transform
        np.testing.assert_array_equal(to_numpy(tensor), to_numpy(result))


@pytest.mark.parametrize("transform", [*SURE, *RANDOM], ids=repr)
def test_empty_batches_stay_empty(transform: Transform) -> None:
    if isinstance(transform, RandomRotation) and transform.expand:
        return  # no image says how large
    result = transform.batch(FLOATS[:0])
    assert result.shape[0] == 0


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_random_transforms_follow_the_generator(transform: Transform) -> None:
    x = np.concatenate([BYTES] * 8)

    def run(seed: int) -> list:
        return transform(x, np.random.default_rng(seed)).tolist()

    assert run(1) == run(1) != run(2)
    xpnn.manual_seed(3)
    first = transform(x).tolist()
    xpnn.manual_seed(3)
    assert transform(x).tolist() == first
    alone = [transform(BYTES[0], np.random.default_rng(seed)).tolist() for seed in range(20)]
    assert alone[3] == transform(BYTES[0], np.random.default_rng(3)).tolist()
    assert any(one != alone[0] for one in alone)
    same = transform(np.repeat(BYTES[:1], 30, axis=0), np.random.default_rng(0))
    if not isinstance(transform, RandomOrder):
        assert any((image != same[0]).any() for image in same)  # each image draws for itself


@pytest.mark.parametrize("transform", [t for t in [*SURE, *RANDOM] if not isinstance(t, Resize)], ids=repr)
def test_pillow_images_are_transformed_like_arrays(transform: Transform) -> None:
    pillow = pytest.importorskip("PIL.Image")
    if type(transform) in (Compose, ToFloat, Rescale, Standardize):
        return  # floats, which Pillow's images of bytes cannot hold
    image = pillow.fromarray(BYTES[0].transpose(1, 2, 0))
    result = transform(image, np.random.default_rng(5))
    expected = transform(BYTES[0], np.random.default_rng(5))
    assert isinstance(result, pillow.Image)
    pixels = np.asarray(result)
    np.testing.assert_array_equal(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), expected)


def test_dicts_keep_their_other_entries_and_masks_follow() -> None:
    grid = np.arange(12 * 15, dtype=np.float32).reshape(1, 12, 15)
    sample = {"image": grid, "mask": grid[0], "label": 3}
    for transform in (
        *(RandomCrop(8, padding=2), RandomHorizontalFlip(), RandomVerticalFlip(), RandomRotation(90)),
        *(RandomAffine(20, (0.2, 0.2)), Resize((6, 5), "nearest"), CenterCrop(7), Pad(3)),
        RandomResizedCrop(9, interpolation="nearest"),
        Compose([RandomCrop(8), RandomApply([RandomHorizontalFlip(1)]), RandomChoice([Identity(), Pad(1)])]),
    ):
        for seed in range(6):
            moved = transform(sample, np.random.default_rng(seed))
            assert list(moved) == ["image", "mask", "label"]
            assert moved["label"] == 3
            np.testing.assert_array_equal(moved["image"][0], moved["mask"])
    classes = np.where(grid > 90, 2, 1).astype(np.uint8)
    turned = RandomRotation((30, 30), "bilinear", fill=0.5)({"image": grid, "mask": classes})
    assert set(np.unique(turned["mask"])) == {0, 1, 2}  # no class between two others
    toned = ColorJitter(0.5)({"image": FLOATS[0], "mask": classes})
    assert toned["mask"] is classes
    with pytest.raises(ArgumentError, match="entry 'image'"):
        Pad(1)({"picture": grid})


def test_augmentation_keeps_its_bits_in_workers() -> None:
    dataset = xpnn.data.TransformDataset(
        xpnn.data.TensorDataset(BYTES, np.arange(4)), transform=Compose([RandAugment(), RandomErasing()])
    )
    runs = []
    for workers in (0, 2):
        loader = xpnn.data.DataLoader(dataset, batch_size=2, num_workers=workers, seed=3, shuffle=True)
        runs.append([[part.tolist() for part in batch] for _ in range(2) for batch in loader])
    assert runs[0] == runs[1]


# Against Pillow, SciPy and Python


@pytest.mark.parametrize("mode", list(InterpolationMode)[1:], ids=lambda mode: mode.value)
@pytest.mark.parametrize("size", [(6, 7), (24, 31), (12, 4)])
def test_resize_is_pillows(mode: InterpolationMode, size: tuple[int, int]) -> None:
    pillow = pytest.importorskip("PIL.Image")
    number = {"nearest-exact": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}[
        mode.value
    ]
    image = pillow.fromarray(BYTES[0].transpose(1, 2, 0))
    expected = np.asarray(image.resize(size[::-1], number)).transpose(2, 0, 1)
    for given in (mode, mode.value):
        assert apart(Resize(size, given)(BYTES[0]), expected) <= 1
    assert apart(np.asarray(Resize(size, mode)(image)).transpose(2, 0, 1), expected) == 0
    if number:
        floats = pillow.fromarray(FLOATS[0, 0]).resize(size[::-1], number)
        np.testing.assert_allclose(Resize(size, number)(FLOATS[0, :1])[0], floats, atol=2e-5)


def test_resize_keeps_proportions() -> None:
    for size, most, expected in (
        (8, None, (8, 10)),
        (8, 9, (7, 9)),
        (None, 10, (8, 10)),
        ([8], None, (8, 10)),
    ):
        assert Resize(size, max_size=most)(FLOATS[0]).shape == (3, *expected)
        assert Resize(size, max_size=most)(FLOATS[0].swapaxes(1, 2)).shape == (3, *expected[::-1])


@pytest.mark.parametrize("degrees", [25, -77.3, 180])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_affine_is_scipys(degrees: float, interpolation: str) -> None:
    """`affine_transform` takes the same map, on (y, x) from the corner."""
    ndimage = pytest.importorskip("scipy.ndimage")
    image = FLOATS[:1].astype(np.float64)
    options = {"scale": 1.3, "shear": (10, -20), "shift": (1.5, -2)}
    ((a, b, tx), (c, d, ty)) = geometry.inverse_maps(1, 12, 15, degrees, **options)[0]
    middle = np.array([5.5, 7.0])
    matrix = np.array([[d, c], [b, a]])
    offset = middle + np.array([ty, tx]) - matrix @ middle
    mine = geometry.warped(
        image,
        geometry.inverse_maps(1, 12, 15, degrees, **options),
        interpolation,
        np.full((1, 1, 1, 1), 0.25),
    )
    order = 0 if interpolation == "nearest" else 1
    for channel in range(3):
        expected = ndimage.affine_transform(
            image[0, channel], matrix, offset, order=order, mode="grid-constant", cval=0.25
        )
        far = np.abs(mine[0, channel] - expected) > 1e-5
        assert far.mean() < 0.02  # halves may be rounded either way


def test_the_affine_map_is_the_product_of_its_parts() -> None:
    """Forward: shear x, shear y, scale, turn (clockwise as y points down), shift, around the centre."""
    angle, (sx, sy) = np.radians(33), np.tan(np.radians([12, -7]))
    forward = np.eye(3)
    for part in (
        [[1, 0, -3], [0, 1, -4], [0, 0, 1]],
        [[1, -sx, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [-sy, 1, 0], [0, 0, 1]],
        [[1.4, 0, 0], [0, 1.4, 0], [0, 0, 1]],
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]],
        [[1, 0, 3 + 2], [0, 1, 4 - 1], [0, 0, 1]],
    ):
        forward = np.array(part) @ forward
    to_corner = np.array([[1, 0, 7.5], [0, 1, 6.0], [0, 0, 1]])
    inverse = np.linalg.inv(to_corner) @ np.linalg.inv(forward) @ to_corner
    mine = geometry.inverse_maps(1, 12, 15, 33, (2, -1), 1.4, (12, -7), center=(3, 4))[0]
    np.testing.assert_allclose(mine, inverse[:2], atol=1e-12)


def test_quarter_turns_and_expansion() -> None:
    np.testing.assert_array_equal(RandomRotation((90, 90), expand=True)(BYTES), np.rot90(BYTES, axes=(2, 3)))
    np.testing.assert_array_equal(RandomRotation((180, 180))(BYTES), BYTES[:, :, ::-1, ::-1])
    large = RandomRotation((45, 45), "bilinear", expand=True)(FLOATS)
    assert large.shape[2:] == (20, 21)
    assert abs(large.sum() - FLOATS.sum()) < 0.01 * FLOATS.sum()


def test_blur_is_scipys() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = FLOATS.astype(np.float64)
    mine = GaussianBlur((5, 3), 1.2)(x)
    expected = ndimage.gaussian_filter(x, (0, 0, 1.2, 1.2), radius=(0, 0, 1, 2), mode="mirror")
    np.testing.assert_allclose(mine, expected, rtol=1e-6)
    each = GaussianBlur(5, (0.2, 3.0))(np.repeat(x[:1], 3, 0), np.random.default_rng(0))
    sigma = np.random.default_rng(0).uniform(0.2, 3.0, size=3)
    for image, width in zip(each, sigma):
        wanted = ndimage.gaussian_filter(x[0], (0, width, width), radius=(0, 2, 2), mode="mirror")
        np.testing.assert_allclose(image, wanted, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.8])
def test_tones_are_pillows(factor: float) -> None:
    enhance, pillow = (pytest.importorskip(f"PIL.{name}") for name in ("ImageEnhance", "Image"))
    image = pillow.fromarray(BYTES[0].transpose(1, 2, 0))
    for change, tool in (
        (colour.adjust_brightness, enhance.Brightness),
        (colour.adjust_contrast, enhance.Contrast),
        (colour.adjust_saturation, enhance.Color),
        (filtering.adjust_sharpness, enhance.Sharpness),
    ):
        expected = np.asarray(tool(image).enhance(factor)).transpose(2, 0, 1)
        mine = change(BYTES[:1], np.array([factor]))[0]
        assert mine.dtype == np.uint8
        assert apart(mine, expected) <= 2, tool.__name__  # greys are rounded at other places


def test_operations_are_pillows() -> None:
    assert not colour.posterize(BYTES, 0).any()
    ops, pillow = (pytest.importorskip(f"PIL.{name}") for name in ("ImageOps", "Image"))
    image = pillow.fromarray(BYTES[0].transpose(1, 2, 0))
    for mine, theirs, most in (
        (colour.invert, ops.invert, 0),
        (colour.equalize, ops.equalize, 0),
        (colour.autocontrast, ops.autocontrast, 1),
        (lambda x: colour.posterize(x, 3), lambda x: ops.posterize(x, 3), 0),
        (lambda x: colour.solarize(x, 77), lambda x: ops.solarize(x, 77), 0),
    ):
        assert apart(mine(BYTES[:1])[0], np.asarray(theirs(image)).transpose(2, 0, 1)) <= most
    assert apart(Grayscale()(BYTES[0])[0], np.asarray(image.convert("L"))) <= 1


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.3])
def test_hue_is_pythons(turn: float) -> None:
    x = np.concatenate([FLOATS.reshape(4, 3, -1)[0].T, [[0.2] * 3, [1, 0, 0], [0, 1, 1]]]).astype(np.float32)
    mine = colour.adjust_hue(x.T.reshape(1, 3, 1, -1), np.array([turn])).reshape(3, -1).T
    for pixel, result in zip(x.tolist(), mine):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        np.testing.assert_allclose(result, colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=1e-5)


# Against torchvision, where it can be imported


@pytest.fixture(scope="module")
def torchvision() -> Any:
    """`torchvision.transforms.v2.functional`; operators that its build lacks here are declared, not used."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(9):
        try:
            return importlib.import_module("torchvision.transforms.v2.functional")
        except RuntimeError as error:
            lacking = re.search(r"torchvision::(\w+) does not exist", str(error))
            if lacking is None:
                pytest.skip(str(error))
            library.define(f"{lacking[1]}(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
        except ImportError as error:
            pytest.skip(str(error))
    return None


@pytest.mark.parametrize("x", [BYTES, FLOATS], ids=["uint8", "float32"])
def test_functions_are_torchvisions(torchvision: Any, x: np.ndarray) -> None:
    torch = importlib.import_module("torch")
    mode = importlib.import_module("torchvision.transforms.v2").InterpolationMode
    theirs, n = torch.from_numpy(x), len(x)
    far = {"uint8": 1.0, "float32": 1e-4}[x.dtype.name]

    def close(mine: Any, expected: Any, share: float = 0.0) -> None:
        assert mine.dtype == expected.numpy().dtype
        different = np.abs(mine.astype(float) - expected.numpy().astype(float)) > far
        assert different.mean() <= share

    for factor in (0.3, 1.7):
        for name, change in (
            ("brightness", colour.adjust_brightness),
            ("contrast", colour.adjust_contrast),
            ("saturation", colour.adjust_saturation),
            ("sharpness", filtering.adjust_sharpness),
        ):
            close(change(x, np.full(n, factor)), getattr(torchvision, f"adjust_{name}")(theirs, factor))
    close(colour.adjust_hue(x, np.full(n, 0.2)), torchvision.adjust_hue(theirs, 0.2))
    close(colour.equalize(x), torchvision.equalize(theirs))
    close(colour.autocontrast(x), torchvision.autocontrast(theirs))
    close(colour.posterize(x, 2), torchvision.posterize(theirs, 2))
    close(Grayscale(3)(x), torchvision.rgb_to_grayscale(theirs, 3))
    for name in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        for size, antialias in ((5, True), ((20, 9), True), ((6, 30), False)):
            expected = torchvision.resize(theirs, size, mode(name), antialias=antialias)
            close(Resize(size, name, antialias=antialias)(x), expected, 0.001)
    close(GaussianBlur((5, 3), 0.7)(x), torchvision.gaussian_blur(theirs, [5, 3], [0.7, 0.7]))
    for padding_mode in ("constant", "edge", "reflect", "symmetric"):
        close(Pad((1, 2, 3, 4), 5, padding_mode)(x), torchvision.pad(theirs, [1, 2, 3, 4], 5, padding_mode))
    close(Pad((-1, 2, -3, 4), 5)(x), torchvision.pad(theirs, [-1, 2, -3, 4], 5))
    close(CenterCrop((20, 9))(x), torchvision.center_crop(theirs, [20, 9]))
    for angle, expand, center in ((27, False, None), (-115.5, True, None), (10, False, [3, 4])):
        for name in ("nearest", "bilinear"):
            rotation = RandomRotation((angle, angle), name, expand, center)
            expected = torchvision.rotate(theirs, angle, mode(name), expand, center)
            close(rotation(x), expected, 0.02)  # pixels half way between two others
            affine = RandomAffine((angle, angle), None, (1.2, 1.2), (5, 5, -8, -8), name, center=center)
            close(
                affine(x),
                torchvision.affine(theirs, angle, [0, 0], 1.2, [5, -8], mode(name), center=center),
                0.02,
            )


# What each does


def test_to_tensor_and_back() -> None:
    pillow = pytest.importorskip("PIL.Image")
    rows = BYTES[0].transpose(1, 2, 0)
    image = pillow.fromarray(rows)
    for given in (image, rows, BYTES[0], xpnn.as_tensor(BYTES[0])):
        tensor = ToTensor()(given)
        assert isinstance(tensor, xpnn.Tensor)
        np.testing.assert_array_equal(tensor.numpy(), BYTES[0].astype(np.float32) / np.float32(255))
    assert ToTensor()(np.zeros((5, 6), np.uint8)).shape == (1, 5, 6)
    assert ToTensor()(np.zeros((5, 6, 1))).numpy().dtype == np.float64  # only bytes are scaled
    assert ToTensor()(pillow.fromarray(BYTES[0, 0]).convert("1")).numpy().max() == 1.0
    assert ToTensor()(pillow.fromarray(np.full((4, 4), 40000, np.uint16))).numpy().max() == 40000
    assert PILToTensor()(image).numpy().dtype == np.uint8
    for given in (rows, BYTES[0], ToTensor()(image), xpnn.as_tensor(BYTES[0])):
        picture = ToPILImage()(given)
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), rows)
    assert ToPILImage()(np.zeros((4, 7))).mode == "L"
    assert ToPILImage("F")(np.full((4, 7), 2.5)).getpixel((0, 0)) == 2.5
    assert ToPILImage("HSV")(rows).mode == "HSV"
    assert ToPILImage()(BYTES[0, :2]).mode == "LA"
    labelled = ToTensor()({"image": image, "label": 2})
    assert labelled["image"].shape == (3, 12, 15)
    with pytest.raises(ShapeError, match="channels, first or last"):
        ToTensor()(np.zeros((9, 9, 9)))
    with pytest.raises(ShapeError, match="2 or 3 axes"):
        ToTensor()(np.zeros(9))
    with pytest.raises(ShapeError, match="1 to 4 channels"):
        ToPILImage()(xpnn.zeros((7, 9, 9)))
    with pytest.raises(ArgumentError, match=r"mode of 3 channel\(s\).*'L'"):
        ToPILImage("L")(rows)
    with pytest.raises(ShapeError, match="one image at a time"):
        ToPILImage().batch(BYTES)


def test_random_resized_crops_are_parts_of_the_range() -> None:
    """Of an image whose values are its places, the corners of a crop tell what was cut out."""
    height, width = 40, 50
    y, x = np.mgrid[:height, :width]
    places = np.stack([y, x]).astype(np.float64)[None].repeat(400, axis=0)
    crops = RandomResizedCrop(10, scale=(0.2, 0.5), ratio=(0.5, 2.0))(places, np.random.default_rng(0))
    step = (crops[:, 0, 8, 5] - crops[:, 0, 1, 5]) / 7, (crops[:, 1, 5, 8] - crops[:, 1, 5, 1]) / 7
    h, w = (np.round(10 * side) for side in step)
    share, ratio = h * w / (height * width), w / h
    assert 0.18 < share.min() < 0.22
    assert 0.46 < share.max() < 0.52
    assert 0.47 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.15
    assert abs(np.log(ratio).mean()) < 0.1
    whole = RandomResizedCrop(40, scale=(9, 9))(np.ones((1, 40, 44)))  # never fits: the middle, all of it
    np.testing.assert_allclose(whole, 1)


def test_erasing() -> None:
    images = np.ones((600, 2, 20, 30), np.float32)
    erased = RandomErasing(0.6, scale=(0.1, 0.2), ratio=(0.5, 1.5), value=(3, 5))(
        images, np.random.default_rng(0)
    )
    gone = (erased != 1).all(axis=1)
    share = gone.mean(axis=(1, 2))
    assert 0.53 < (share > 0).mean() < 0.67
    assert share[share > 0].min() > 0.08
    assert share.max() < 0.22
    for image, mask in zip(erased, gone):
        ys, xs = np.nonzero(mask)
        if len(ys):
            box = image[:, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            assert (box == np.array([3, 5]).reshape(2, 1, 1)).all()
    noise = RandomErasing(1, scale=(0.5, 0.5), ratio=(1, 1), value="random")(np.full((50, 1, 20, 20), 9.0))
    values = noise[noise != 9]
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05
    holes = 1 - Cutout((4, 6))(np.ones((500, 1, 20, 30)), np.random.default_rng(0))
    assert holes.sum(axis=(1, 2, 3)).max() == 24
    assert holes.any(axis=(0, 1)).all()  # also the corners


@pytest.mark.parametrize("mix", [MixUp, CutMix])
def test_mixing(mix: Any, backend: Target) -> None:
    x = FLOATS
    labels = np.array([0, 2, 1, 2])
    with backend.active():
        given = backend.array(x), backend.array(labels)
        images, rows = mix(alpha=0.8, num_classes=3)(*given, rng=np.random.default_rng(2))
        tensors = mix(num_classes=3)([xpnn.as_tensor(part) for part in given])
    assert type(images) is type(given[0])
    assert all(isinstance(part, xpnn.Tensor) for part in tensors)
    images, rows = to_numpy(images), to_numpy(rows)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
    share = rows[0, 0]
    shifted = np.roll(np.eye(3)[labels], 1, axis=0)
    np.testing.assert_allclose(rows, share * np.eye(3)[labels] + (1 - share) * shifted, atol=1e-6)
    if mix is MixUp:
        np.testing.assert_allclose(images, share * x + (1 - share) * np.roll(x, 1, axis=0), atol=1e-6)
    else:
        taken = (images == np.roll(x, 1, axis=0)).all(axis=1)
        assert ((images == x).all(axis=1) ^ taken).all()
        np.testing.assert_allclose(taken[0].mean(), 1 - share, atol=1e-6)
        assert (taken == taken[0]).all()


def test_mixing_takes_what_loaders_give() -> None:
    soft = np.eye(3, dtype=np.float32)[[0, 1]]
    batch = {"image": FLOATS[:2], "label": soft, "name": ["a", "b"]}
    mixed = MixUp()(batch)
    assert mixed["name"] == ["a", "b"]
    assert mixed["label"].shape == (2, 3)
    _, weight, label = MixUp(labels_getter=lambda batch: batch[2])((FLOATS[:2], np.ones(2), soft))
    assert weight.tolist() == [1, 1]
    assert label.shape == (2, 3)
    shares = [MixUp(alpha=0.3)(FLOATS[:2], soft)[1][0, 0] for _ in range(400)]
    assert abs(np.mean(shares) - 0.5) < 0.1
    assert abs(np.var(shares) - 0.25 / (2 * 0.3 + 1)) < 0.03  # of the Beta distribution
    loader = xpnn.data.DataLoader(
        xpnn.data.TensorDataset(FLOATS, [0, 1, 2, 0]), batch_size=2,
        collate_fn=lambda samples: CutMix(num_classes=3)(*xpnn.data.default_collate(samples)),
    )  # fmt: skip
    assert [tuple(part.shape) for part in next(iter(loader))] == [(2, 3, 12, 15), (2, 3)]
    for call, error, message in (
        (lambda: MixUp()(FLOATS, np.arange(4)), ArgumentError, "num_classes"),
        (lambda: MixUp(num_classes=3)(FLOATS, np.arange(4)), IndexOutOfRangeError, "below 3, got 3"),
        (lambda: MixUp(num_classes=3)(BYTES, np.zeros(4, int)), DTypeError, "images in floats"),
        (lambda: CutMix(num_classes=3)(FLOATS, np.zeros(3, int)), ShapeError, "labels"),
        (lambda: CutMix(num_classes=3)(FLOATS, np.zeros(4)), DTypeError, "whole numbers"),
        (lambda: MixUp()(FLOATS, np.zeros((4, 2), int)), DTypeError, "in floats"),
        (lambda: MixUp()(FLOATS), ArgumentError, r"\(images, labels\)"),
        (lambda: MixUp(alpha=0), ArgumentError, "alpha > 0"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_choices_are_as_likely_as_they_should_be() -> None:
    x = np.zeros((3000, 1, 1, 1))
    rng = np.random.default_rng(0)
    add = [lambda x, k=k: x + k for k in (1, 10, 100)]
    chosen = RandomChoice(add, p=[1, 2, 1])(x, rng).ravel()
    assert [abs((chosen == k).mean() - p) < 0.05 for k, p in ((1, 0.25), (10, 0.5), (100, 0.25))] == [
        True
    ] * 3
    applied = RandomApply(add, 0.3)(x, rng).ravel()
    assert set(applied.tolist()) == {0, 111}
    assert abs((applied == 111).mean() - 0.3) < 0.05
    singles = [RandomApply(add, 0.3)(x[0], rng).item() for _ in range(1000)]
    assert abs(np.mean(np.array(singles) == 111) - 0.3) < 0.06
    orders = {RandomOrder([lambda x: x + 1, lambda x: x * 2])(x[:1], rng).item() for _ in range(30)}
    assert orders == {1, 2}
    assert Lambda(lambda x: x + 1, str)(3) == 3
    assert [part.shape for part in FiveCrop(5)(FLOATS)] == [(4, 3, 5, 5)] * 5
    with pytest.raises(ShapeError, match="one shape and element type"):
        RandomChoice([Pad(1), Pad(2)])(FLOATS, np.random.default_rng(0))


def test_policies_draw_every_operation() -> None:
    x = np.repeat(BYTES[:1], 3000, axis=0)
    for policy in (RandAugment(1, magnitude=20), TrivialAugmentWide()):
        changed = policy(x, np.random.default_rng(0))
        assert changed.dtype == np.uint8
        kinds = {image.tobytes() for image in changed}
        if isinstance(policy, RandAugment):
            assert len(kinds) == 22  # nine with two signs, five without; autocontrast changes nothing
        same = (changed == x).all(axis=(1, 2, 3)).mean()
        assert 1 / 14 - 0.02 < same < 3 / 14
    assert (RandAugment(0)(x[:3]) == x[:3]).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Resize((1, 2, 3)), "size"),
        (lambda: Resize(None), "neither"),
        (lambda: Resize(5, max_size=5), "max_size above"),
        (lambda: Resize((5, 5), max_size=9), "max_size above"),
        (lambda: Resize(5, "best"), "nearest-exact.*got 'best'"),
        (lambda: Pad(0.5), "whole numbers"),
        (lambda: RandomRotation(-1), "degrees >= 0"),
        (lambda: RandomRotation((3, 1)), "range"),
        (lambda: RandomRotation(1, "bicubic"), "nearest, bilinear"),
        (lambda: RandomAffine(0, (2, 0)), "translate"),
        (lambda: RandomAffine(0, scale=(0, 1)), "scale"),
        (lambda: RandomAffine(0, shear=(1, 2, 3)), "shear"),
        (lambda: RandomResizedCrop(4, scale=(1, 0.5)), "scale"),
        (lambda: GaussianBlur(4), "odd"),
        (lambda: GaussianBlur(3, 0), "sigma > 0"),
        (lambda: ColorJitter(-1), "brightness >= 0"),
        (lambda: ColorJitter(hue=0.7), "hue"),
        (lambda: Grayscale(2), "1 or 3"),
        (lambda: RandomErasing(scale=(0, 2)), "scale"),
        (lambda: RandomErasing(value="noise"), "random"),
        (lambda: Cutout(0), "at least 1"),
        (lambda: RandAugment(magnitude=31), "magnitude"),
        (lambda: TrivialAugmentWide(1), ">= 2"),
        (lambda: RandomChoice([]), "at least one"),
        (lambda: RandomChoice([Pad(1)], p=[1, 2]), "one for each"),
        (lambda: RandomPosterize(9), "bits"),
        (lambda: RandomApply([Pad(1)], p=2), "probability"),
        (lambda: RandomAdjustSharpness(-1), "sharpness_factor"),
    ],
)
def test_wrong_options(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build()


def test_wrong_images() -> None:
    for call, error, message in (
        (lambda: Normalize(0.5, 0.5)(BYTES), DTypeError, "ToTensor"),
        (lambda: ColorJitter(1)(np.zeros((2, 4, 4))), ShapeError, "1 or 3 channels"),
        (lambda: Pad(12, padding_mode="reflect")(FLOATS), ShapeError, "at most 11"),
        (lambda: Pad(-9)(FLOATS), ShapeError, "cannot crop"),
        (lambda: Pad(1, fill=(1, 2))(FLOATS), ArgumentError, "one for each of 3 channels"),
        (lambda: RandomCrop(13)(FLOATS), ShapeError, "at least 13 x 13"),
        (lambda: FiveCrop(13)(FLOATS), ShapeError, "at least 13 x 13"),
        (lambda: RandomSolarize(300, 1)(BYTES), ArgumentError, "at most 255"),
        (lambda: RandomEqualize(1)(BYTES.astype(np.int32)), ArgumentError, "uint8"),
        (lambda: Compose([Pad(1), 3]), DTypeError, "list of transforms"),
        (lambda: Lambda(3), DTypeError, "function"),
    ):
        with pytest.raises(error, match=message):
            call()
