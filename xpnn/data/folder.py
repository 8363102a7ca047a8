"""Images in folders, one folder per class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import DataError, optional_import, path_of
from xpnn.data.dataset import Dataset, Transform

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

# What Pillow is to recognize: plain image formats, none that starts another program.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")


class ImageFolder(Dataset):
    """The images below `root/<class>/`, labelled by the number of their class in alphabetical order.

    Args:
        root: the folder of class folders; images are found at any depth below them, and through links. Hidden
            folders and files, whose names begin with a dot, are left out.
        transform: applied to each image; bring images of different sizes to one with `Resize`.
        target_transform: applied to each label.
        mode: "RGB" gives (3, H, W), "L" (grey) gives (1, H, W).
        as_dict: give samples as dicts with "image" and "label".

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
        as_dict: bool = False,
    ) -> None:
        self.root = path_of(root, "root", "ImageFolder")
        self.classes, self.class_to_idx = self.find_classes(self.root)
        if not self.classes:
            raise DataError(
                f"expects a folder with one folder of images per class, got {self.root}",
                subject="ImageFolder",
                hint="For example root/cat/1.png, root/dog/2.jpg",
            )
        self.samples = [
            (path, label)
            for name, label in self.class_to_idx.items()
            for path in find_images(self.root / name)
        ]
        self.targets = [label for _, label in self.samples]
        empty = [name for name, label in self.class_to_idx.items() if label not in set(self.targets)]
        if empty:
            raise DataError(
                f"finds no images ({', '.join(EXTENSIONS)}) for {', '.join(empty)} in {self.root}",
                subject="ImageFolder",
            )
        self.transform = transform
        self.target_transform = target_transform
        self.mode = mode
        self.as_dict = as_dict

    def find_classes(self, root: Path) -> tuple[list[str], dict[str, int]]:
        """The names of the classes, and the label of each; a subclass may choose among the folders."""
        folders = _contents(root)[0] if root.is_dir() else []
        classes = [path.name for path in folders]
        return classes, {name: label for label, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        """The image and label at `index`."""
        path, number = self.samples[index]
        pixels = read_image(path, self.mode)
        image = pixels if self.transform is None else self.transform(pixels)
        label = number if self.target_transform is None else self.target_transform(number)
        return {"image": image, "label": label} if self.as_dict else (image, label)


def read_image(path: str | Path, mode: str = "RGB") -> np.ndarray:
    """The image of a file as uint8 (C, H, W); three channels for mode "RGB", one for "L".

    Images of 16 bits a pixel are scaled to 8.

    Raises: DataError if the file is missing or no image, or has pixels of another kind;
    MissingDependencyError without Pillow.

    >>> read_image("no/such/file.png")
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.DataError: no/such/file.png cannot be read as an image: it does not exist
    """
    path = path_of(path, "path", "read_image")
    pillow = optional_import("PIL.Image", extra="train")
    if not os.path.isfile(path):
        problem = "it is no file" if os.path.exists(path) else "it does not exist"
        raise DataError(f"cannot be read as an image: {problem}", subject=str(path))
    try:
        with pillow.open(path, formats=_FORMATS) as image:
            pixels = np.asarray(_in_8_bits(image, pillow).convert(mode))
    except Exception as error:  # Pillow reports damaged files in many ways
        raise DataError(
            f"cannot be read as an image: {error}", subject=str(path), hint="Remove or replace the file"
        ) from error
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def find_images(folder: Path) -> list[Path]:
    """The image files at any depth below a folder, sorted.

    Links to folders are followed, to each folder once. Raises: DataError for a link back to a folder above
    it, and for a folder that cannot be read.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:
        here, above = waiting.pop()
        try:
            status = here.stat()
            folders, files = _contents(here)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", subject=f"'{here}'") from error
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            raise DataError(
                "is a link back to a folder above it", subject=f"'{here}'", hint="Remove the link"
            )
        if identity not in seen:
            seen.add(identity)
            found += [path for path in files if path.suffix.lower() in EXTENSIONS]
            waiting += [(path, above | {identity}) for path in folders]
    return sorted(found)


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and files in a folder that are not hidden, sorted.

    A link to nothing counts as a file: that an image is missing is to be noticed.
    """
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    folders = [path for path in paths if path.is_dir()]
    return folders, [path for path in paths if path.is_file() or (path.is_symlink() and not path.exists())]


def _in_8_bits(image: Any, pillow: Any) -> Any:
    """A grey image of 16 bits a pixel scaled to 8; Pillow's own conversion cuts off what is above 255."""
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError("its pixels are floats or integers of 32 bits, whose range is unknown")
    if not image.mode.startswith("I"):
        return image
    return pillow.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
