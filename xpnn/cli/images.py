"""The images that a run trains and tests on, and how they become the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, DataError, expect_state, is_number, nearest
from xpnn.cli.plugins import plugin_datasets
from xpnn.cli.settings import Settings, is_channels, is_size
from xpnn.cli.split import stratified
from xpnn.data import (
    MNIST,
    Compose,
    CutMix,
    Dataset,
    Digits,
    FashionMNIST,
    ImageFolder,
    MixUp,
    Rescale,
    Resize,
    Standardize,
    Subset,
    ToFloat,
    TransformDataset,
    read_image,
    transforms,
)
from xpnn.data.dataset import gather
from xpnn.data.folder import find_images
from xpnn.data.seeding import transform_generator

_DOWNLOADS = Path("data")
# Of `xpnn train` and `xpnn eval`.
_RESULTS = ("last.safetensors", "previous.safetensors", "model.safetensors", "confusion.png")
_TEST_FOLDERS = ("test", "val", "validation")
_LARGEST = 1e6  # mean or standard deviation
_MEASURED = 2000  # at most so many images are read for the mean and standard deviation


@dataclass(frozen=True)
class Images:
    """A training and a test set of images (C, H, W).

    Attributes:
        classes: their names.
        untested: those of which there is no test image.
        size: what an image is like, for people. notes: what was left out.
    """

    train: Any
    test: Any
    classes: tuple[str, ...]
    untested: tuple[str, ...] = ()
    size: str = ""
    notes: tuple[str, ...] = ()

    unit = "images"

    def fit(self, settings: Settings) -> Preprocessing:
        """Measure the training images."""
        return Preprocessing.fit(self.train, settings.size, settings.channels)

    def datasets(self, preprocessing: Preprocessing, settings: Settings) -> tuple[Any, Any]:
        """The training set, with its augmentation, and the test set, as the network takes them."""
        train: Any = TransformDataset(self.train, preprocessing.transform(*augmentation_of(settings)))
        if mixes := mixes_of(settings, len(self.classes)):
            train = Mixed(train, mixes)
        return train, TransformDataset(self.test, preprocessing.transform())

    def held_out(self, seed: int) -> Images:
        """The training images alone, divided again: a search leaves the test images unseen."""
        labels = labels_of(self.train)
        train, test = stratified(labels, seed)
        if not len(test):
            raise DataError(
                f"there are {len(labels)} training images, too few to test a search on some of them"
            )
        return replace(self, train=Subset(self.train, train), test=Subset(self.train, test), untested=())


@dataclass(frozen=True)
class Preprocessing:
    """What turns an image into the network's input, kept in the checkpoint.

    Attributes:
        size: the side of the square that images are brought to.
        channels: 1 for grey, 3 for colour.
        mean, std: of the training images with values in [0, 1], per channel.
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, images: Any, size: int, channels: int) -> Preprocessing:
        """Measure mean and standard deviation on a training set."""
        some = Subset(images, range(0, len(images), -(-len(images) // _MEASURED)))
        measured = Standardize.fit(TransformDataset(some, ToFloat()))
        std = np.maximum(measured.std, 1e-3)  # images of one colour
        return cls(size, channels, tuple(measured.mean.tolist()), tuple(std.tolist()))

    @classmethod
    def from_config(cls, config: Any) -> Preprocessing:
        """What `to_config` made. Raises: CheckpointError for what it cannot have made."""

        def numbers(value: Any) -> bool:
            sound = isinstance(value, list) and all(is_number(n) and abs(n) <= _LARGEST for n in value)
            return sound and len(value) == config["channels"]

        expect_state(
            config,
            "xpnn train",
            size=is_size,
            channels=is_channels,
            mean=numbers,
            std=lambda value: numbers(value) and min(value) >= 1 / _LARGEST,
        )
        return cls(config["size"], config["channels"], tuple(config["mean"]), tuple(config["std"]))

    def transform(self, *augmentation: Any) -> Compose:
        """The transform of an image or batch; `augmentation` comes first."""
        return Compose([*augmentation, ToFloat(), Standardize(self.mean, self.std)])

    def read(self, path: str, invert: bool = False) -> np.ndarray:
        """The input (C, size, size) of an image file; `invert` swaps black and white."""
        image = ToFloat()(self.resize(read_image(path, mode_of(self.channels))))
        return self.transform()(Rescale(1, 0)(image) if invert else image)

    @property
    def in_channels(self) -> int:
        """What the network is built for."""
        return self.channels

    @property
    def image_size(self) -> int:
        """What the network is built for."""
        return self.size

    @property
    def resize(self) -> Resize:
        """The transform to the size."""
        return Resize((self.size, self.size))

    def to_config(self) -> dict[str, Any]:
        """JSON-ready; `from_config` goes back."""
        return asdict(self)


def load_images(settings: Settings, download: bool = False) -> Images:
    """Open the data set of a run, with all images of one size.

    Args:
        settings: whose `data` is "digits", "mnist", "fashion-mnist", or a folder with a folder of images for
            each class, or with such folders in `train/` and `test/` (or `val/`). Where there is no such
            division, a random fifth of each class is the test set; `seed` decides which. Folders without
            images, and those that a run has left its results in, are no classes.
        download: fetch original files that `settings.folder` lacks; without a folder, they are fetched to
            ./data anyway.

    Raises: DataError; ArgumentError for a `settings.folder` that the data do not come from.
    """
    images = _load(settings, download)
    return replace(images, size=f"{settings.channels} x {settings.size} x {settings.size}")


def _load(settings: Settings, download: bool) -> Images:
    data, size, channels = settings.data, settings.size, settings.channels
    if settings.folder is not None and data not in _ORIGINALS:
        raise ArgumentError(
            f"is where the original files of {' or '.join(_ORIGINALS)} are; the data are '{data}'",
            subject="--data",
            hint="Leave it out",
        )
    if data == "digits":
        images = Images(Digits(train=True), Digits(train=False), Digits.classes)
    elif data in _ORIGINALS:
        kind = _ORIGINALS[data]
        root, fetch = settings.folder or _DOWNLOADS, download or settings.folder is None
        train, test = (kind(root, train=part, download=fetch) for part in (True, False))
        images = Images(train, test, tuple(kind.classes))
    elif data in plugin_datasets():
        train, test = (plugin_datasets()[data](train=part) for part in (True, False))
        images = Images(train, test, tuple(train.classes))
    else:
        return _from_folder(Path(data), size, channels, settings.seed)
    if np.shape(images.train[0][0]) == (channels, size, size):
        return images
    fitted = [_fitted(part, size, channels) for part in (images.train, images.test)]
    return Images(fitted[0], fitted[1], images.classes)


def augmentation_of(settings: Settings) -> list[Any]:
    """The transforms of images of `--augment`, in the order of their names there.

    Crops move the image by a sixteenth of its size at most, on a ground of zeros; the others are as usual for
    photographs, and mild.
    """
    size = settings.size
    kinds: dict[str, Callable[[], Any]] = {
        "crop": lambda: transforms.RandomCrop(size, padding=max(size // 16, 1)),
        "resized-crop": lambda: transforms.RandomResizedCrop(size, scale=(0.5, 1.0)),
        "flip": transforms.RandomHorizontalFlip,
        "vertical-flip": transforms.RandomVerticalFlip,
        "rotate": lambda: transforms.RandomRotation(15, interpolation="bilinear"),
        "affine": lambda: transforms.RandomAffine(
            10, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=5, interpolation="bilinear"
        ),
        "colour": lambda: transforms.ColorJitter(0.3, 0.3, 0.3 * (settings.channels == 3)),
        "grey": lambda: transforms.RandomGrayscale(0.2),
        "blur": lambda: transforms.GaussianBlur(3, (0.1, 1.0)),
        "sharpness": lambda: transforms.RandomAdjustSharpness(2.0),
        "erase": lambda: transforms.RandomErasing(0.5, scale=(0.02, 0.2)),
        "cutout": lambda: transforms.Cutout(max(size // 4, 1)),
        "randaugment": lambda: transforms.RandAugment(2, 6),
        "trivialaugment": transforms.TrivialAugmentWide,
    }
    return [kinds[name]() for name in settings.augment.split("+") if name in kinds]


def mixes_of(settings: Settings, classes: int) -> list[Any]:
    """The transforms of whole batches of `--augment`, which mix images and labels."""
    kinds: dict[str, Callable[..., Any]] = {
        "mixup": partial(MixUp, alpha=0.2),
        "cutmix": partial(CutMix, alpha=1.0),
    }
    return [kinds[name](num_classes=classes) for name in settings.augment.split("+") if name in kinds]


class Mixed(Dataset):
    """Batches whose images and labels are mixed, by one of some ways drawn for each batch.

    Args:
        dataset: of images and labels.
        mixes: the ways; they make rows (N, classes) of the labels.
    """

    batched = True

    def __init__(self, dataset: Any, mixes: Sequence[Any]) -> None:
        self.dataset = dataset
        self.mixes = mixes

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, indices: Sequence[int]) -> Any:
        """The mixed batch of the samples at `indices`."""
        rng = transform_generator()
        mix = self.mixes[int(rng.integers(len(self.mixes)))]
        return mix(*gather(self.dataset, indices), rng=rng)


def labels_of(dataset: Any) -> np.ndarray:
    """The labels (N,) of all samples, without reading images where that can be avoided."""
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    if isinstance(dataset, TransformDataset):
        return labels_of(dataset.dataset)
    if hasattr(dataset, "targets"):
        return np.asarray(dataset.targets)
    return np.array([int(dataset[index][1]) for index in range(len(dataset))])


def file_of(images: Any, index: int) -> str | None:
    """The file that an image of a data set came from; None where it is in no file of its own."""
    while hasattr(images, "dataset"):
        index = images.indices[index] if hasattr(images, "indices") else index
        images = images.dataset
    samples = getattr(images, "samples", None)
    return None if samples is None else str(samples[index][0])


def mode_of(channels: int) -> str:
    """Pillow's name of grey or coloured images."""
    return "L" if channels == 1 else "RGB"


_ORIGINALS = {"mnist": MNIST, "fashion-mnist": FashionMNIST}


def _fitted(dataset: Any, size: int, channels: int) -> TransformDataset:
    """Images brought to another size and number of channels."""
    return TransformDataset(dataset, Compose([Resize((size, size)), _Channels(channels)]))


@dataclass(frozen=True)
class _Channels:
    """Grey images in several equal channels, and coloured ones in grey."""

    channels: int

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if image.shape[0] == self.channels:
            return image
        if self.channels == 1:
            return np.rint(image.mean(axis=0, keepdims=True)).astype(image.dtype)
        return np.repeat(image, self.channels, axis=0)


class _Pictures(ImageFolder):
    """Images in folders; a folder without any, or with the results of a run, is no class."""

    def find_classes(self, root: Path) -> tuple[list[str], dict[str, int]]:
        """The names of the classes, and the label of each."""
        names = super().find_classes(root)[0]
        folders = {name: {path.parent for path in find_images(root / name)} for name in names}
        self.without_images = [name for name in names if not folders[name]]
        classes = [name for name in names if not all(map(_has_results, folders[name]))]
        return classes, {name: label for label, name in enumerate(classes)}

    def notes(self) -> tuple[str, ...]:
        """What a user may have meant to be a class."""
        return tuple(f"{self.root / name} holds no images and is no class" for name in self.without_images)


def is_folder(data: str) -> bool:
    """Whether data are images in a folder, and not one of the known data sets."""
    return data not in dataset_names()


def dataset_names() -> tuple[str, ...]:
    """The data sets that have a name."""
    return ("digits", *_ORIGINALS, *plugin_datasets())


def _from_folder(root: Path, size: int, channels: int, seed: int) -> Images:
    if not root.is_dir():
        close = nearest(str(root), dataset_names())
        raise DataError(
            f"there is no data set, folder or table '{root}'",
            hint=(f"Did you mean {close}? " if close else "")
            + f"Data sets: {', '.join(dataset_names())}. A folder holds a folder of images per class. "
            "A table is a file whose name ends in .csv or .tsv",
        )
    options: dict[str, Any] = {"transform": Resize((size, size)), "mode": mode_of(channels)}
    test_folder = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    if test_folder is None or not (root / "train").is_dir():
        whole = _Pictures(root, **options)
        train, test = stratified(np.array(whole.targets), seed)
        if not len(test):
            raise DataError(f"has {len(whole)} images, too few to test on some of them", subject=f"'{root}'")
        tested = {whole.targets[index] for index in test}
        untested = [name for label, name in enumerate(whole.classes) if label not in tested]
        return Images(
            Subset(whole, train),
            Subset(whole, test),
            tuple(whole.classes),
            tuple(untested),
            notes=whole.notes(),
        )
    pictures, tests = _Pictures(root / "train", **options), _Pictures(test_folder, **options)
    if pictures.classes != tests.classes:
        raise DataError(
            f"has the classes {', '.join(tests.classes)}, the training set {', '.join(pictures.classes)}",
            subject=str(test_folder),
            hint="Give both the same folders, each with images",
        )
    return Images(pictures, tests, tuple(pictures.classes), notes=pictures.notes() + tests.notes())


def _has_results(folder: Path) -> bool:
    return any((folder / name).exists() for name in _RESULTS)
