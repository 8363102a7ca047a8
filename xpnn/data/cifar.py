"""CIFAR-10 and CIFAR-100, read from their original files."""

from __future__ import annotations

import codecs
import hashlib
import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xpnn.backend import DataError, path_of
from xpnn.data.dataset import TensorDataset, Transform
from xpnn.data.download import download_file

__all__ = ["CIFAR10", "CIFAR100"]

_SIZE = (3, 32, 32)
_MOST_BYTES = 1 << 30  # of a batch file; the original ones have 30 to 160 million


class CIFAR10(TensorDataset):
    """CIFAR-10: 60,000 colour images of 32 x 32 in ten classes, 50,000 of them to train on.

    Args:
        root: the folder with `cifar-10-batches-py` or `cifar-10-python.tar.gz`, the original files.
        train: the training or the test set.
        transform, target_transform: as in `TensorDataset`; `ToFloat()` makes floats of the images.
        download: fetch the archive if it is missing, and compare its checksum.

    Samples are (image, label): uint8 (3, 32, 32) and int64. `data`, `targets`, `classes` and `class_to_idx`
    hold the arrays and names. The files' checksums are compared whenever they are read; only NumPy's arrays,
    numbers, texts, lists and dicts are unpickled, so that a forged file can run nothing.

    Raises: DataError for files that are missing, damaged or of another set, or that no mirror has.

    See: Krizhevsky (2009), "Learning multiple layers of features from tiny images".

    >>> CIFAR10("no/such/folder")
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.DataError: CIFAR10 finds no cifar-10-batches-py or cifar-10-python.tar.gz in ...
    """

    base_folder: ClassVar[str] = "cifar-10-batches-py"
    filename: ClassVar[str] = "cifar-10-python.tar.gz"
    checksum: ClassVar[str] = "md5:c58f30108f718f92721af3b95e74349a"
    mirrors: ClassVar[Sequence[str]] = ("https://www.cs.toronto.edu/~kriz/",)
    train_list: ClassVar[dict[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    }
    test_list: ClassVar[dict[str, str]] = {"test_batch": "40351d587109b95175f43aff81a1287e"}
    meta: ClassVar[tuple[str, str, str]] = ("batches.meta", "label_names", "5ff9c542aee3614f3951f8cda6e48888")
    labels_key: ClassVar[str] = "labels"

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
        files = _Files(self, download)
        name, key, digest = self.meta
        self.classes = [str(label) for label in files.read(name, digest)[key]]
        self.class_to_idx = {label: number for number, label in enumerate(self.classes)}
        images, labels = [], []
        for name, digest in (self.train_list if train else self.test_list).items():
            batch = files.read(name, digest)
            part, targets = batch.get("data"), batch.get(self.labels_key)
            if (
                not isinstance(part, np.ndarray) or part.dtype != np.uint8 or not isinstance(targets, list)
                or part.shape != (len(targets), 3 * 32 * 32)
            ):  # fmt: skip
                raise DataError(
                    f"expects uint8 data (n, 3072) and as many {self.labels_key} in {name}",
                    subject=type(self).__name__,
                )
            images.append(part.reshape(-1, *_SIZE))
            labels += targets
        numbers = np.array(labels, dtype=np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self.classes):
            raise DataError(f"expects labels below {len(self.classes)}", subject=type(self).__name__)
        super().__init__(
            np.concatenate(images), numbers, transform=transform, target_transform=target_transform
        )
        self.data, self.targets = self.tensors


class CIFAR100(CIFAR10):
    """CIFAR-100: as many images of the same size in a hundred classes.

    Arguments, samples and attributes are CIFAR-10's; the files are `cifar-100-python` and
    `cifar-100-python.tar.gz`.

    See: Krizhevsky (2009), "Learning multiple layers of features from tiny images".

    >>> CIFAR100.filename
    'cifar-100-python.tar.gz'
    """

    base_folder = "cifar-100-python"
    filename = "cifar-100-python.tar.gz"
    checksum = "md5:eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar[dict[str, str]] = {"train": "16019d7e3df5f24257cddd939b257f8d"}
    test_list: ClassVar[dict[str, str]] = {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
    meta = ("meta", "fine_label_names", "7973b15100ade9c7d40fb424638fde48")
    labels_key = "fine_labels"


class _Files:
    """The files of a set, in a folder or in the archive that they come in."""

    def __init__(self, dataset: CIFAR10, download: bool) -> None:
        self.subject = type(dataset).__name__
        self.folder = dataset.root / dataset.base_folder
        archive = dataset.root / dataset.filename
        self.archive: Path | None = None
        if self.folder.is_dir():
            return
        if not archive.is_file():
            if not download:
                raise DataError(
                    f"finds no {dataset.base_folder} or {dataset.filename} in {dataset.root}",
                    subject=self.subject,
                    hint="Point root at the folder that holds one of them, or pass download=True",
                )
            archive = download_file(dataset.filename, dataset.checksum, dataset.mirrors, dataset.root)
        self.archive = archive

    def read(self, name: str, digest: str) -> dict[str, Any]:
        """What a file holds. Raises: DataError if it is missing or another one than the original."""
        content = self._content(name)
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != digest:
            raise DataError(
                f"expects the original {name} with the MD5 checksum {digest}, got {found}",
                subject=self.subject,
                hint=f"Remove {self.archive or self.folder} and download it again",
            )
        try:
            values = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        except Exception as error:  # a pickle can break in many ways
            raise DataError(f"cannot read {name}: {error}", subject=self.subject) from error
        return values

    def _content(self, name: str) -> bytes:
        try:
            if self.archive is None:
                return (self.folder / name).read_bytes()
            with tarfile.open(self.archive) as archive:
                member = archive.getmember(f"{self.folder.name}/{name}")
                file = archive.extractfile(member) if member.size < _MOST_BYTES else None
                if file is None:
                    raise DataError(f"has no file {name} of a likely size", subject=str(self.archive))
                return file.read()
        except (OSError, KeyError, EOFError, tarfile.TarError) as error:
            raise DataError(
                f"cannot read {name} from {self.archive or self.folder}: {error}",
                subject=self.subject,
                hint="Remove what is there and download it again",
            ) from error


class _Unpickler(pickle.Unpickler):
    """One that makes NumPy arrays, and nothing else that has a name."""

    def find_class(self, module: str, name: str) -> Any:
        """The few things that arrays are pickled by."""
        known = {
            ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # type: ignore[index]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,
        }
        found = known.get((module.rpartition(".")[2], name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not what such a file holds")
        return found
