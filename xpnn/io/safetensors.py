"""The safetensors format: named arrays in one file, which is data and cannot run code.

A file is the length of the header (8 bytes, little-endian), the header (JSON: for each array its element
type, shape and the range of its bytes), and the bytes, little-endian and in C order, without gaps.

Files that are written here carry a digest of all that they hold, in the header's metadata. Those of other
programs, and of older versions, have none: within their bytes no damage can be noticed.

See: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import reprlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from xpnn.backend import (
    ArgumentError,
    Array,
    CheckpointError,
    DTypeError,
    MissingFileError,
    asarray,
    dtype_name,
    path_of,
    to_numpy,
)
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
_MOST_AXES = 64  # NumPy's limit
_LARGEST = 2**63  # bytes of an array, and the bound of its sizes
_METADATA = "__metadata__"
_DIGEST = "xpnn_digest"  # the metadata's name for the digest, which begins with
_DIGEST_BEGINS = "xpnn-sha256:"


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: NumPy arrays by name.
        metadata: strings by name.
        digest: of the arrays: their names, element types, shapes and bytes.
        verified: whether the file has a digest, which was found to be right.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]
    digest: str
    verified: bool


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

    Raises: DTypeError for an element type that the format does not have, and for metadata that are no
    strings; ArgumentError for a name that the format does not allow; see also `atomic_write`.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> save_file({"weight": np.eye(2, dtype=np.float32)}, path)
    >>> load_file(path)["weight"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    arrays = host_arrays(tensors)
    write_file(arrays, filename, metadata or {}, digest_of(arrays))


def write_file(
    arrays: Mapping[str, np.ndarray], filename: Any, metadata: Mapping[str, str], digest: str
) -> None:
    """`save_file` for what `host_arrays` has made, and whose digest is known."""
    header, order = _header_of(arrays, metadata, digest)
    with atomic_write(filename) as file:
        _write(file, header, [arrays[name] for name in order])


def write_to(
    file: BinaryIO, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], digest: str
) -> None:
    """`write_file` into a file that is open already."""
    header, order = _header_of(arrays, metadata, digest)
    _write(file, header, [arrays[name] for name in order])


def _write(file: BinaryIO, header: bytes, arrays: list[np.ndarray]) -> None:
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for array in arrays:
        file.write(_bytes_of(array).data)


def _header_of(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], digest: str
) -> tuple[bytes, list[str]]:
    """The header of a file, and the names of the arrays in the order in which they follow it."""
    if not isinstance(metadata, Mapping):
        raise DTypeError(f"expects metadata by name, got {type(metadata).__name__}", subject="save_file")
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise DTypeError(
                f"expects strings as metadata, got {value!r:.80} for {name!r:.80}",
                subject="save_file",
                hint="Give numbers as str(number), or anything else as json.dumps(...)",
            )
    metadata = {name: value for name, value in metadata.items() if name != _DIGEST}
    # Wide types first: so each array starts at a multiple of its element's size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {_METADATA: {**metadata, _DIGEST: _whole_digest(digest, metadata)}}
    stop = 0
    for name in order:
        array = arrays[name]
        start, stop = stop, stop + array.nbytes
        header[name] = {
            "dtype": _FORMAT_NAMES[dtype_name(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"cannot write {error.object[error.start]!a}, which is no character of Unicode",
            subject="save_file",
        ) from None
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ArgumentError(
            f"expects names and metadata of at most {_LONGEST_HEADER:,} bytes, got {len(text):,}",
            subject="save_file",
        )
    return text, order


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
    contents = read_file(filename)
    return contents.arrays, contents.metadata


def read_file(filename: str | os.PathLike[str]) -> Contents:
    """All that a file holds; see `read_safetensors`."""
    filename = path_of(filename, "filename", "the reader of safetensors")
    if not os.path.isfile(filename):
        kind, what = (
            (CheckpointError, "is no file")
            if os.path.exists(filename)
            else (MissingFileError, "does not exist")
        )
        raise kind(what + _neighbours(filename), subject=f"'{os.fspath(filename)}'")
    try:
        with open(filename, "rb") as file:
            return _read(file, filename)
    except OSError as error:
        raise CheckpointError(
            f"cannot be read: {error.strerror or error}", subject=f"'{os.fspath(filename)}'"
        ) from error


def read_bytes(data: bytes, name: str) -> Contents:
    """`read_file` of what a file of that name holds."""
    return _read(io.BytesIO(data), name)


def host_arrays(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays on the host in C order (the format has no strides), checked for what the format allows."""
    if not isinstance(tensors, Mapping):
        raise DTypeError(f"expects arrays by name, got {type(tensors).__name__}", subject="save_file")
    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise DTypeError(f"expects strings as names, got {name!r:.80}", subject="save_file")
        if name == _METADATA:
            raise ArgumentError(
                f"cannot write an array of the name '{_METADATA}', which the format keeps for itself",
                subject="save_file",
                hint="Call it something else",
            )
        array = to_numpy(tensor)
        if dtype_name(array.dtype) not in _FORMAT_NAMES:
            raise DTypeError(
                f"cannot write '{name}': the format has no {array.dtype}",
                subject="save_file",
                hint=f"It has {', '.join(_FORMAT_NAMES)}",
            )
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)  # which makes 0-d arrays 1-d
    return arrays


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """The digest of arrays, whatever their order (see `Contents`)."""
    return _joint_digest(
        {
            name: _array_digest(_FORMAT_NAMES[dtype_name(array.dtype)], array.shape, _bytes_of(array))
            for name, array in arrays.items()
        }
    )


def json_of(text: str | bytes) -> Any:
    """The value of a JSON text. Raises: ValueError if it is none, nested too deeply, or has a name twice."""
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _read(file: BinaryIO, filename: Any) -> Contents:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    header, data_at = _read_header(file, size, filename)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _damaged(filename, "its metadata are not strings by name")
    entries = {name: _entry(name, fields, filename) for name, fields in header.items()}
    _check_layout(entries, data_at, size, filename)
    arrays, digests = {}, {}
    for name, entry in entries.items():
        stored = _read_array(file, data_at, name, entry, filename)
        digests[name] = _array_digest(entry.dtype, entry.shape, stored.reshape(-1).view(np.uint8))
        arrays[name] = _native(stored, entry.dtype)
    digest, expected = _joint_digest(digests), metadata.pop(_DIGEST, None)
    misnamed = any(text.startswith(_DIGEST_BEGINS) for text in metadata.values())
    if misnamed or (expected is not None and expected != _whole_digest(digest, metadata)):
        raise _damaged(filename, "its contents do not have the digest that was written with them")
    return Contents(arrays, metadata, digest, expected is not None)


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """As they are in the file: little-endian."""
    if array.dtype.kind in "biufc":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.reshape(-1).view(np.uint8)  # bytes: not all element types offer Python's buffer protocol


def _array_digest(code: str, shape: tuple[int, ...], stored: np.ndarray) -> str:
    digest = hashlib.sha256(f"{code} {list(shape)}\n".encode())
    digest.update(stored.data)
    return digest.hexdigest()


def _joint_digest(digests: Mapping[str, str]) -> str:
    return _json_digest(sorted(digests.items()))


def _whole_digest(arrays: str, metadata: Mapping[str, str]) -> str:
    return _json_digest([arrays, sorted(metadata.items())])


def _json_digest(value: Any) -> str:
    return _DIGEST_BEGINS + hashlib.sha256(json.dumps(value).encode()).hexdigest()


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
        header = json_of(file.read(length))
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
    """One line of the header, checked before anything is allocated for it."""
    try:
        dtype, shape, (start, stop) = fields["dtype"], fields["shape"], fields["data_offsets"]
        sound = isinstance(dtype, str) and isinstance(shape, list) and len(shape) <= _MOST_AXES
        sound = sound and all(type(n) is int and 0 <= n < _LARGEST for n in (*shape, start, stop))
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise _damaged(filename, f"its header describes '{name}' as {reprlib.repr(fields)}")
    if dtype not in _NUMPY_NAMES:
        raise CheckpointError(
            f"holds '{name}' in the element type {dtype!r:.80}, which is not supported",
            subject=f"'{os.fspath(filename)}'",
            hint=f"Convert it to one of {', '.join(_NUMPY_NAMES)}",
        )
    item = _stored_dtype(dtype).itemsize
    if math.prod(n for n in shape if n) * item >= _LARGEST:  # NumPy's bound, also for arrays of no elements
        raise _damaged(filename, f"its header describes '{name}' as of shape {shape}")
    if stop - start != math.prod(shape) * item:
        raise _damaged(
            filename,
            f"'{name}' of shape {tuple(shape)} needs {math.prod(shape) * item} bytes and has {stop - start}",
        )
    return _Entry(dtype, tuple(shape), start, stop)


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


def _read_array(file: BinaryIO, data_at: int, name: str, entry: _Entry, filename: Any) -> np.ndarray:
    try:
        stored = np.empty(entry.shape, dtype=_stored_dtype(entry.dtype))
    except MemoryError:
        raise CheckpointError(
            f"holds '{name}' of {entry.stop - entry.start:,} bytes, for which there is no memory",
            subject=f"'{os.fspath(filename)}'",
        ) from None
    file.seek(data_at + entry.start)
    rest = memoryview(stored.reshape(-1).view(np.uint8))
    while rest:
        count = file.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise _cut_short(filename, file.tell(), f"{len(rest)} more")
        rest = rest[count:]
    return stored


def _native(stored: np.ndarray, code: str) -> np.ndarray:
    """As NumPy computes with it."""
    if code == "BF16":  # the upper half of a float32
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
