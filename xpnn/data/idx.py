"""The IDX file format of the original MNIST: a header of sizes, then the values."""

from __future__ import annotations

import gzip
import math
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from xpnn.backend import DataError, path_of

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_AXES = 64  # NumPy's limit
_CHUNK = 1 << 20  # bytes that are read at once
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an IDX file, gzipped or not, in the machine's byte order.

    The file is two zero bytes, a byte for the type, a byte for the number of axes, each size as a
    big-endian 32-bit integer, then the values, big-endian, the last axis running fastest.

    No more is read, or unpacked, than the header promises.

    Raises: DataError for a file that is missing, cut short, too long or no IDX file, with its name and sizes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path).tolist()
    [7, 8, 9]
    """
    path = path_of(path, "path", "read_idx")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError("cannot be read: it is a folder, a device or a pipe", subject=str(path))
        with path.open("rb") as file:
            if file.peek(2)[:2] != _GZIP_MAGIC:
                return _read(file, path)
            with gzip.open(file) as unpacked:
                return _read(cast(BinaryIO, unpacked), path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"expects a whole gzip file, got {path.stat().st_size} bytes that do not unpack ({error})",
            subject=str(path),
            hint="The file is cut short or damaged; download it again",
        ) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", subject=str(path)) from error


def _read(file: BinaryIO, path: Path) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 0 < start[3] <= _MOST_AXES:
        raise DataError(
            "expects an IDX file, which begins with 00 00, a type (08 to 0e) and a number of axes, "
            f"got {start.hex(' ') or 'no bytes at all'}",
            subject=str(path),
            hint="Is it another file, or an error page that was saved under this name? Download it again",
        )
    dtype, sizes = np.dtype(_TYPES[start[2]]), file.read(4 * start[3])
    header = 4 + 4 * start[3]
    if 4 + len(sizes) < header:
        raise _wrong_length(path, f"{header} bytes of header", 4 + len(sizes))
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    promised = math.prod(shape) * dtype.itemsize
    values = bytearray()
    while len(values) <= promised and (chunk := file.read(min(_CHUNK, promised + 1 - len(values)))):
        values += chunk
    if len(values) != promised:
        raise _wrong_length(
            path, f"{header + promised} bytes for an array of shape {shape}", header + len(values)
        )
    try:
        return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:  # sizes beside a zero that NumPy cannot count
        raise DataError(f"describes an array that there cannot be: {error}", subject=str(path)) from error


def _wrong_length(path: Path, expected: str, found: int) -> DataError:
    return DataError(
        f"expects {expected}, got {found}",
        subject=str(path),
        hint="The file is cut short or damaged, or goes on after its values; download it again",
    )
