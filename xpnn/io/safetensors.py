"""The safetensors format: named arrays in one file, which is data and cannot run code.

A file is the length of the header (8 bytes, little-endian), the header (JSON: for each array its element
type, shape and the range of its bytes), and the bytes, little-endian and in C order, without gaps.

See: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from xpnn.backend import Array, CheckpointError, DTypeError, asarray, dtype_name, to_numpy
from xpnn.io.files import atomic_write

_FORMAT_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "complex64": "C64",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_NUMPY_NAMES = {code: name for name, code in _FORMAT_NAMES.items()}
_LONGEST_HEADER = 100_000_000  # the format's own limit
_METADATA = "__metadata__"


class _Entry(NamedTuple):
    """An array in the file: its element type, shape, and the range of its bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def save_file(
    tensors: Mapping[str, Any], filename: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a file, which replaces an older one only once it is complete.

    Args:
        tensors: raw arrays of any backend, or Tensors, by name; they may be strided or transposed.
        filename: the file, "model.safetensors".
        metadata: strings by name, which are kept beside the arrays.

    Raises: DTypeError for an element type that the format does not have.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> save_file({"weight": np.eye(2, dtype=np.float32)}, path)
    >>> load_file(path)["weight"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    arrays = {name: _host_array(name, tensor) for name, tensor in tensors.items()}
    # Wide types first: so each array starts at a multiple of its element's size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    stop = 0
    for name in order:
        array = arrays[name]
        start, stop = stop, stop + array.nbytes
        header[name] = {
            "dtype": _FORMAT_NAMES[dtype_name(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(filename) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(_little_endian(arrays[name]).data)


def load_file(filename: str | os.PathLike[str], device: Any = None) -> dict[str, Array]:
    """The arrays of a file by name, as raw arrays of the current backend (on `device`).

    BF16 becomes float32, which holds all of its values.

    Raises: CheckpointError if the file is damaged, cut short, or of another format.
    """
    arrays, _ = read_safetensors(filename)
    return {name: asarray(array, device=device) for name, array in arrays.items()}


def read_safetensors(
    filename: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, as NumPy arrays, and its metadata.

    Raises: CheckpointError if the file is damaged, cut short, or of another format.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> save_file({"bias": np.zeros(2, dtype=np.float16)}, path, metadata={"epoch": "3"})
    >>> read_safetensors(path)
    ({'bias': array([0., 0.], dtype=float16)}, {'epoch': '3'})
    """
    if not os.path.isfile(filename):
        raise CheckpointError("does not exist" + _neighbours(filename), subject=f"'{os.fspath(filename)}'")
    with open(filename, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, data_at = _read_header(file, size, filename)
        metadata = header.pop(_METADATA, {})
        entries = {name: _entry(name, fields, filename) for name, fields in header.items()}
        _check_layout(entries, data_at, size, filename)
        return {name: _read_array(file, data_at, entry) for name, entry in entries.items()}, metadata


def _host_array(name: str, tensor: Any) -> np.ndarray:
    """The array on the host in C order (the format has no strides)."""
    array = to_numpy(tensor)
    if dtype_name(array.dtype) not in _FORMAT_NAMES:
        raise DTypeError(
            f"cannot write '{name}': the format has no {array.dtype}",
            subject="save_file",
            hint=f"It has {', '.join(_FORMAT_NAMES)}",
        )
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes 0-d arrays 1-d


def _little_endian(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "biufc":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.reshape(-1).view(np.uint8)  # bytes: not all element types offer Python's buffer protocol


def _read_header(file: BinaryIO, size: int, filename: Any) -> tuple[dict[str, Any], int]:
    """The header, and where the data begins."""
    if size < 8:
        raise _cut_short(filename, size, "at least 8")
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise _damaged(filename, f"it starts with a header length of {length} bytes")
    if 8 + length > size:
        raise _cut_short(filename, size, f"at least {8 + length}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
    except ValueError as error:
        raise _damaged(filename, f"its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise _damaged(filename, "its header is not a JSON object")
    return header, 8 + length


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _entry(name: str, fields: Any, filename: Any) -> _Entry:
    """One line of the header, checked."""
    try:
        dtype, shape, (start, stop) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
        sound = all(isinstance(n, int) and n >= 0 for n in (*shape, start, stop))
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise _damaged(filename, f"its header describes '{name}' as {fields!r:.80}")
    if dtype not in _NUMPY_NAMES:
        raise CheckpointError(
            f"holds '{name}' in the element type {dtype!r}, which is not supported",
            subject=f"'{os.fspath(filename)}'",
            hint=f"Convert it to one of {', '.join(_NUMPY_NAMES)}",
        )
    expected = math.prod(shape) * _stored_dtype(dtype).itemsize
    if stop - start != expected:
        raise _damaged(filename, f"'{name}' of shape {shape} needs {expected} bytes and has {stop - start}")
    return _Entry(dtype, shape, start, stop)


def _check_layout(entries: dict[str, _Entry], data_at: int, size: int, filename: Any) -> None:
    """The arrays lie one after the other from the header to the end of the file."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != at:
            raise _damaged(filename, f"'{name}' starts at byte {entry.start} of the data, expected {at}")
        at = entry.stop
    if size < data_at + at:
        raise _cut_short(filename, size, str(data_at + at))
    if size > data_at + at:
        raise _damaged(filename, f"it has {size} bytes, its header describes {data_at + at}")


def _read_array(file: BinaryIO, data_at: int, entry: _Entry) -> np.ndarray:
    stored = np.empty(entry.shape, dtype=_stored_dtype(entry.dtype))
    file.seek(data_at + entry.start)
    file.readinto(stored.reshape(-1).view(np.uint8))  # type: ignore[attr-defined]
    if entry.dtype == "BF16":  # the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _stored_dtype(code: str) -> np.dtype:
    """How the bytes of a format's element type are read."""
    return np.dtype("<u2") if code == "BF16" else np.dtype(_NUMPY_NAMES[code]).newbyteorder("<")


def _neighbours(filename: Any) -> str:
    """What lies in the folder of a file that is not there."""
    folder = os.path.dirname(filename) or "."
    if not os.path.isdir(folder):
        return f", and neither does the folder '{folder}'"
    others = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    return f"; the folder has {', '.join(others[:8]) or 'no .safetensors file'}"


def _cut_short(filename: Any, found: int, expected: str) -> CheckpointError:
    return CheckpointError(
        f"is cut short: it has {found} bytes, expected {expected}",
        subject=f"'{os.fspath(filename)}'",
        hint="Copy or download it again, or go on from an older checkpoint",
    )


def _damaged(filename: Any, problem: str) -> CheckpointError:
    return CheckpointError(
        f"is damaged or not a safetensors file: {problem}",
        subject=f"'{os.fspath(filename)}'",
        hint="Copy or download it again, or go on from an older checkpoint",
    )
