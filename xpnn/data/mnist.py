"""MNIST and Fashion-MNIST, read from their original files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from xpnn.backend import DataError, path_of
from xpnn.data.dataset import TensorDataset, Transform
from xpnn.data.download import download_file, has_checksum
from xpnn.data.idx import read_idx


class MNIST(TensorDataset):
    """The MNIST handwritten digits: 60,000 images of 28 x 28 to train on, 10,000 to test.

    Args:
        root: the folder with the original IDX files, gzipped or not; `root/MNIST/raw` is looked at, too.
        train: the training or the test set.
        transform, target_transform: as in `TensorDataset`; `ToFloat()` makes floats of the images.
        download: fetch the files that are missing, or whose checksums are not the originals', into
            `root/MNIST/raw`; a download that was broken off goes on.

    Samples are (image, label): uint8 (1, 28, 28) and int64. `data`, `targets` and `classes` hold the
    arrays and names.

    Raises: DataError for files that are missing, damaged or do not belong together, or that no mirror has;
    MissingDependencyError if a download needs pooch.

    See: LeCun, Bottou, Bengio & Haffner (1998), "Gradient-based learning applied to document recognition".

    >>> MNIST("no/such/folder")
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.DataError: MNIST finds no train-images-idx3-ubyte(.gz) in ...
    """

    classes: Sequence[str] = tuple("0123456789")
    mirrors: ClassVar[Sequence[str]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    }

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        self.root = path_of(root, "root", type(self).__name__)
        self.train = train
        part = "train" if train else "t10k"
        image_file, label_file = (
            self._find(f"{part}-{name}", download) for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        images, labels = read_idx(image_file), read_idx(label_file)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not images.size:
            raise DataError(
                f"expects some images (n, h, w) and as many labels (n,), got {images.shape} in {image_file} "
                f"and {labels.shape} in {label_file}",
                subject=type(self).__name__,
                hint="The files belong to different sets; download them again",
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(self.classes):
            raise DataError(
                f"expects labels below {len(self.classes)}, got {labels.min()} to {labels.max()}",
                subject=str(label_file),
                hint="The file is damaged or of another set; download it again",
            )
        super().__init__(
            images[:, None], labels.astype(np.int64), transform=transform, target_transform=target_transform
        )
        self.data, self.targets = self.tensors

    def _find(self, name: str, download: bool) -> Path:
        """The file of that name, unpacked or gzipped, or else downloaded."""
        folders = (self.root, self.root / type(self).__name__ / "raw")
        packed = f"{name}.gz"
        for path in (folder / file for folder in folders for file in (name, packed)):
            damaged = download and path.name == packed and not has_checksum(path, self.checksums[packed])
            if path.is_file() and not damaged:
                return path
        if download:
            return download_file(packed, self.checksums[packed], self.mirrors, folders[1])
        raise DataError(
            f"finds no {name}(.gz) in {folders[0]} or {folders[1]}",
            subject=type(self).__name__,
            hint="Point root at the folder with the original files, or pass download=True "
            "(--download on the command line)",
        )


class FashionMNIST(MNIST):
    """Fashion-MNIST: ten kinds of clothes, in the same sizes, numbers and files as MNIST.

    See: Xiao, Rasul & Vollgraf (2017), "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms".

    >>> FashionMNIST.classes[7]
    'Sneaker'
    """

    classes = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }
