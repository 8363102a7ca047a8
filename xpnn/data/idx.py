"""The IDX file format of the original MNIST: a header of sizes, then the values."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from xpnn.backend import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an IDX file, gzipped or not, in the machine's byte order.

    The file is two zero bytes, a byte for the type, a byte for the number of axes, each size as a
    big-endian 32-bit integer, then the values, big-endian, the last axis running fastest.

    Raises: DataError for a file that is missing, cut short, too long or no IDX file, with its name and sizes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path).tolist()
    [7, 8, 9]
    """
    content = _read(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or not content[3]:
        raise DataError(
            "expects an IDX file, which begins with 00 00, a type (08 to 0e) and a number of axes, "
            f"got {content[:4].hex(' ') or 'no bytes at all'}",
            subject=str(path),
            hint="Is it another file, or an error page that was saved under this name? Download it again",
        )
    dtype, header = np.dtype(_TYPES[content[2]]), 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:header].ljust(header - 4, b"\0"), ">u4").tolist())
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"expects {expected} bytes for an array of shape {shape}, got {len(content)}",
            subject=str(path),
            hint="The file is cut short or damaged; download it again",
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", subject=str(path)) from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"expects a whole gzip file, got {len(content)} bytes that do not unpack ({error})",
            subject=str(path),
            hint="The file is cut short or damaged; download it again",
        ) from error
