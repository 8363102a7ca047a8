"""The images that a run trains and tests on, and how they become the network's input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import DataError
from xpnn.cli.settings import Settings
from xpnn.data import (
    MNIST,
    Compose,
    Digits,
    FashionMNIST,
    ImageFolder,
    Rescale,
    Resize,
    Standardize,
    Subset,
    ToFloat,
    TransformDataset,
    random_split,
    read_image,
)

_DOWNLOADS = Path("data")
_TEST_FOLDERS = ("test", "val", "validation")
_TEST_SHARE = 0.2
_MEASURED = 2000  # at most so many images are read for the mean and standard deviation


@dataclass(frozen=True)
class Images:
    """A training and a test set of images (C, H, W), and the names of their classes."""

    train: Any
    test: Any
    classes: tuple[str, ...]


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

    def transform(self, *augmentation: Any) -> Compose:
        """The transform of an image or batch; `augmentation` comes first."""
        return Compose([*augmentation, ToFloat(), Standardize(self.mean, self.std)])

    def read(self, path: str, invert: bool = False) -> np.ndarray:
        """The input (C, size, size) of an image file; `invert` swaps black and white."""
        image = ToFloat()(self.resize(read_image(path, mode_of(self.channels))))
        return self.transform()(Rescale(1, 0)(image) if invert else image)

    @property
    def resize(self) -> Resize:
        """The transform to the size."""
        return Resize((self.size, self.size))

    def to_config(self) -> dict[str, Any]:
        """JSON-ready; `Preprocessing(**config)` goes back."""
        return asdict(self)


def load_images(settings: Settings, download: bool = False) -> Images:
    """Open the data set of a run, with all images of one size.

    Args:
        settings: whose `data` is "digits", "mnist", "fashion-mnist", or a folder with a folder of images for
            each class, or with such folders in `train/` and `test/` (or `val/`). Where there is no such
            division, a random fifth is the test set; `seed` decides which.
        download: fetch original files that `settings.folder` lacks; without a folder, they are fetched to
            ./data anyway.

    Raises: DataError.
    """
    data, size, channels = settings.data, settings.size, settings.channels
    if data == "digits":
        images = Images(Digits(train=True), Digits(train=False), Digits.classes)
    elif data in _ORIGINALS:
        kind = _ORIGINALS[data]
        root, fetch = settings.folder or _DOWNLOADS, download or settings.folder is None
        train, test = (kind(root, train=part, download=fetch) for part in (True, False))
        images = Images(train, test, tuple(kind.classes))
    else:
        return _from_folder(Path(data), size, channels, settings.seed)
    if images.train.data.shape[1:] == (channels, size, size):
        return images
    fitted = [_fitted(part, size, channels) for part in (images.train, images.test)]
    return Images(fitted[0], fitted[1], images.classes)


def mode_of(channels: int) -> str:
    """Pillow's name of grey or coloured images."""
    return "L" if channels == 1 else "RGB"


_ORIGINALS = {"mnist": MNIST, "fashion-mnist": FashionMNIST}


def _fitted(dataset: Any, size: int, channels: int) -> TransformDataset:
    """Grey images brought to another size and number of channels."""

    def repeat(image: np.ndarray) -> np.ndarray:
        return np.repeat(image, channels, axis=0)

    return TransformDataset(dataset, Compose([Resize((size, size)), repeat]))


def _from_folder(root: Path, size: int, channels: int, seed: int) -> Images:
    if not root.is_dir():
        raise DataError(
            f"there is no data set or folder '{root}'",
            hint=f"Data sets: digits, {', '.join(_ORIGINALS)}. A folder holds a folder of images per class",
        )
    options: dict[str, Any] = {"transform": Resize((size, size)), "mode": mode_of(channels)}
    test_folder = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    if test_folder is None or not (root / "train").is_dir():
        whole = ImageFolder(root, **options)
        train, test = random_split(whole, [1 - _TEST_SHARE, _TEST_SHARE], generator=seed)
        return Images(train, test, tuple(whole.classes))
    pictures, tests = ImageFolder(root / "train", **options), ImageFolder(test_folder, **options)
    if pictures.classes != tests.classes:
        raise DataError(
            f"has the classes {', '.join(tests.classes)}, the training set {', '.join(pictures.classes)}",
            subject=str(test_folder),
        )
    return Images(pictures, tests, tuple(pictures.classes))
