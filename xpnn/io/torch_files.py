"""PyTorch's own files (.pth, .pt), read without running anything that stands in them.

A file of `torch.save` is a zip archive: `NAME/data.pkl` is a pickle of the structure, and `NAME/data/0`, ...
hold the numbers. A pickle says by name which functions are to be called. Of those names a few are known here:
what puts a Tensor together, an OrderedDict, element types. They are given functions of our own; any other
name is refused, so that nothing of a file is ever run.

See: PyTorch, "Serialization semantics" (the format); Python's documentation of `pickle`, "Restricting
globals".
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import CheckpointError, DType, asarray, get_backend
from xpnn.backend import device as device_class

MAGIC = b"PK\x03\x04"  # what a zip archive begins with

_LARGEST_PICKLE = 2**28  # bytes of the structure; those of the largest networks have a few million
_MOST_AXES = 64  # NumPy's limit
_LARGEST_EXPANDED = 2**24  # elements of a Tensor that shows those of its storage several times

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


def read_torch_file(file: BinaryIO, name: Any, place: Any = None) -> Any:
    """What `torch.save` has saved: Tensors in dicts, lists and tuples.

    Args:
        file: is open for reading, and can be sought in.
        name: of the file, for errors.
        place: the device of the Tensors, which are of the current backend; None is the current one.

    Raises: CheckpointError for a file that is damaged, or holds anything else than such a structure, as a
    whole module.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _Archive(archive, name, place).load()
    except CheckpointError:
        raise
    # What unpickling damaged bytes may raise is not bounded by Python's documentation.
    except Exception as error:
        raise _damaged(name, f"{type(error).__name__}: {error}"[:200]) from error


class _Archive:
    """The archive, and its storages as far as they have been read."""

    def __init__(self, archive: zipfile.ZipFile, name: Any, place: Any) -> None:
        self.archive, self.name, self.place = archive, name, place
        self.sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        pickles = [entry for entry in self.sizes if entry.endswith("/data.pkl") or entry == "data.pkl"]
        if len(pickles) != 1 or self.sizes[pickles[0]] > _LARGEST_PICKLE:
            raise CheckpointError("is a zip archive, and none that torch.save wrote", subject=f"'{name}'")
        self.folder = pickles[0].removesuffix("data.pkl")
        self.is_swapped = False
        if f"{self.folder}byteorder" in self.sizes:
            self.is_swapped = self.read("byteorder", 16) != sys.byteorder.encode()
        self.storages: dict[str, np.ndarray] = {}

    def read(self, entry: str, longest: int) -> bytes:
        """An entry's bytes, which are at most so many."""
        path = self.folder + entry
        if self.sizes.get(path, longest + 1) > longest:
            raise _damaged(self.name, f"'{path}' is missing, or longer than it says")
        with self.archive.open(path) as file:
            return file.read(longest)

    def load(self) -> Any:
        """The structure."""
        data = self.read("data.pkl", _LARGEST_PICKLE)
        # The unpickler makes room for the number under which a value is remembered, whatever it is.
        for operation, number, _ in pickletools.genops(data):
            if operation.name.endswith("PUT") and isinstance(number, int) and number > len(data):
                raise _damaged(self.name, f"it numbers {number} values in {len(data)} bytes")
        return _Unpickler(io.BytesIO(data), self).load()

    def storage(self, kind: Any, key: Any, count: Any) -> _Storage:
        """The numbers of one storage, read once."""
        if not (isinstance(kind, str) and isinstance(key, str) and isinstance(count, int) and count >= 0):
            raise _damaged(self.name, "a storage is not described as torch.save does")
        if key not in self.storages:
            stored = np.dtype("u2" if kind == "bfloat16" else kind)
            stored = stored.newbyteorder() if self.is_swapped else stored
            data = self.read(f"data/{key}", count * stored.itemsize)
            if len(data) != count * stored.itemsize:
                raise _damaged(self.name, f"storage {key} has {len(data)} bytes")
            self.storages[key] = np.frombuffer(data, stored)
        return _Storage(self.storages[key], kind)

    def tensor(
        self, storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *rest: Any
    ) -> Tensor:
        """`torch._utils._rebuild_tensor_v2`: elements of a storage by their strides; a copy of them."""
        if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > _MOST_AXES:
            raise _damaged(self.name, "a Tensor is not described as torch.save does")
        if not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
            raise _damaged(self.name, "a Tensor has sizes that are none")
        numbers, last = storage.numbers, offset + sum((n - 1) * step for n, step in zip(size, stride))
        count: int = math.prod([int(n) for n in size])
        if count > max(numbers.size, _LARGEST_EXPANDED) or (count and last >= numbers.size):
            raise _damaged(self.name, "a Tensor is larger than its storage")
        strides = [step * numbers.itemsize for step in stride]
        part = numbers[min(offset, numbers.size) :]
        elements = np.lib.stride_tricks.as_strided(part, tuple(size), strides, writeable=False)
        dtype = None
        if storage.kind == "bfloat16":  # the upper half of a float32
            elements = (elements.astype(np.uint32) << 16).view(np.float32)
            dtype = "bfloat16" if hasattr(get_backend().xp, "bfloat16") else None
        else:
            elements = elements.astype(storage.kind)
        return Tensor(asarray(elements, dtype, self.place), bool(rest and rest[0] is True))

    def parameter(self, tensor: Any, requires_grad: Any = True, *rest: Any) -> Tensor:
        """`torch._utils._rebuild_parameter`: a Tensor that is trained."""
        return Tensor(tensor.array, bool(requires_grad))


class _Storage:
    """Numbers, and the name of their element type."""

    __slots__ = ("kind", "numbers")

    def __init__(self, numbers: np.ndarray, kind: str) -> None:
        self.numbers, self.kind = numbers, kind


class _Function(NamedTuple):
    """What a file may call. It has no attributes that the file could set."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class _Unpickler(pickle.Unpickler):
    """Finds nothing but what is needed, and storages in the archive."""

    def __init__(self, file: Any, archive: _Archive) -> None:
        super().__init__(file)
        self.archive = archive
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "Size"): tuple,
            ("torch", "device"): device_class,
            ("torch._utils", "_rebuild_tensor_v2"): _Function(archive.tensor),
            ("torch._utils", "_rebuild_parameter"): _Function(archive.parameter),
        }
        known |= {("torch", storage): kind for storage, kind in _STORAGES.items()}
        self.known = known

    def find_class(self, module: str, name: str) -> Any:
        """Of the names that a file calls, the known ones. Raises: CheckpointError for any other."""
        if (module, name) in self.known:
            return self.known[module, name]
        if module == "torch" and name in _STORAGES.values():
            return DType(name)
        raise CheckpointError(
            f"holds more than Tensors, dicts and lists: {module}.{name}"[:200],
            subject=f"'{self.archive.name}'",
            hint="Save the state_dict() of a module; a whole one would run code of the file to be loaded",
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, which the pickle names by ("storage", its type, its key, its device, its length)."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise _damaged(self.archive.name, "a storage is not described as torch.save does")
        return self.archive.storage(pid[1], pid[2], pid[4])


def _damaged(name: Any, problem: str) -> CheckpointError:
    return CheckpointError(f"is damaged, or no file of torch.save: {problem}", subject=f"'{name}'")
