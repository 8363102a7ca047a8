"""Images in folders, one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import DataError, optional_import
from xpnn.data.dataset import Dataset, Transform

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class ImageFolder(Dataset):
    """The images below `root/<class>/`, labelled by the number of their class in alphabetical order.

    Args:
        root: the folder of class folders; images are found at any depth below them.
        transform: applied to each image; bring images of different sizes to one with `Resize`.
        target_transform: applied to each label.
        mode: "RGB" gives (3, H, W), "L" (grey) gives (1, H, W).

    Samples are (image, label): uint8 (C, H, W) and int. `classes`, `class_to_idx`, `samples` (pairs of path
    and label) and `targets` describe them.

    Raises: DataError for a folder that is missing or lacks images, naming the classes without any, and for an
    image that cannot be read; MissingDependencyError without Pillow.

    >>> ImageFolder("no/such/folder")
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.DataError: ImageFolder expects a folder with one folder of images per class, got ...
    """

    def __init__(
        self,
        root: str | Path,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        mode: str = "RGB",
    ) -> None:
        self.root = Path(root)
        folders = sorted(path for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []
        if not folders:
            raise DataError(
                f"expects a folder with one folder of images per class, got {self.root}",
                subject="ImageFolder",
                hint="For example root/cat/1.png, root/dog/2.jpg",
            )
        self.classes = [folder.name for folder in folders]
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        self.samples = [
            (path, label)
            for label, folder in enumerate(folders)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in _EXTENSIONS
        ]
        self.targets = [label for _, label in self.samples]
        empty = [name for label, name in enumerate(self.classes) if label not in set(self.targets)]
        if empty:
            raise DataError(
                f"finds no images ({', '.join(_EXTENSIONS)}) for {', '.join(empty)} in {self.root}",
                subject="ImageFolder",
            )
        self.transform = transform
        self.target_transform = target_transform
        self.mode = mode

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The image and label at `index`."""
        path, label = self.samples[index]
        image = read_image(path, self.mode)
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )


def read_image(path: str | Path, mode: str = "RGB") -> np.ndarray:
    """The image of a file as uint8 (C, H, W); three channels for mode "RGB", one for "L".

    Raises: DataError if the file is missing or no image; MissingDependencyError without Pillow.

    >>> read_image("no/such/file.png")
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.DataError: no/such/file.png cannot be read as an image: ...
    """
    pillow = optional_import("PIL.Image", extra="train")
    try:
        with pillow.open(path) as image:
            pixels = np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reports damaged files in all three ways
        raise DataError(
            f"cannot be read as an image: {error}", subject=str(path), hint="Remove or replace the file"
        ) from error
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
