"""The UCI digits: 1,797 real images that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xpnn.data.dataset import TensorDataset, Transform

_FILE = Path(__file__).with_name("digits.npz")
_LARGEST = 16  # a pixel counts the dark cells of a 4 x 4 block of the scanned bitmap
_FOLD = 5  # every fifth image of each class is held out


class Digits(TensorDataset):
    """Optical Recognition of Handwritten Digits: 8 x 8 images of 13 writers, ten classes.

    Args:
        train: True gives the 1,442 images to train on, False the 355 that are held out: every fifth
            image of each class, always the same ones.
        transform, target_transform: as in `TensorDataset`.

    Samples are (image, label): float32 (1, 8, 8) in [0, 1], and int64. `data`, `targets` and `classes` hold
    the arrays and names. No file is read beside the package's own, nothing is downloaded.

    The images are the test part of the UCI set "Optical Recognition of Handwritten Digits" by E. Alpaydin
    and C. Kaynak (1998), https://doi.org/10.24432/C50P49, under CC BY 4.0.

    >>> digits = Digits(train=False)
    >>> image, label = digits[0]
    >>> len(digits), image.shape, str(image.dtype), int(label)
    (355, (1, 8, 8), 'float32', 5)
    """

    classes = tuple("0123456789")

    def __init__(
        self,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        images, labels = load_digits()
        chosen = _held_out(labels) != train
        super().__init__(
            images[chosen], labels[chosen], transform=transform, target_transform=target_transform
        )
        self.train = train
        self.data, self.targets = self.tensors


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 images and labels in their original order; see `Digits` for their source.

    Returns: images (1797, 1, 8, 8) float32 in [0, 1], labels (1797,) int64.

    >>> images, labels = load_digits()
    >>> images.shape, labels[:10].tolist()
    ((1797, 1, 8, 8), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    with np.load(_FILE) as archive:
        images: Any = archive["images"]
        labels = archive["labels"]
    return np.divide(images[:, None], _LARGEST, dtype=np.float32), labels.astype(np.int64)


def _held_out(labels: np.ndarray) -> np.ndarray:
    """A mask of every fifth label of each class."""
    mask = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[_FOLD - 1 :: _FOLD]] = True
    return mask
