"""Memory for NumPy's arrays: pages that are kept, scratch arrays that are used again.

The operating system hands out fresh pages zeroed, one fault for each 4 KB: filling a new array takes several
times as long as filling one whose pages are there.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from typing import Any

import numpy as np

# The C library maps blocks above this many bytes afresh and gives them back when freed, unless told
# otherwise. GNU's own numbers of the options, from malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_KEPT_BELOW = 1 << 30

# Bytes of scratch arrays that one thread keeps between calls.
SCRATCH_LIMIT = 64 * 1024 * 1024


class _Scratch(threading.local):
    """Of each thread: name -> a block of bytes, the least recently used first."""

    def __init__(self) -> None:
        self.blocks: dict[str, np.ndarray] = {}
        self.size = 0


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array for intermediate results, not filled, whose memory is used again by the next call.

    Of one `name` a thread has one block, so that two arrays that are in use together need two names, and
    none may be returned from a kernel. What a thread keeps is limited to `SCRATCH_LIMIT`; a larger array is
    made afresh.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    block = _scratch.blocks.pop(name, None)
    if block is None or block.size < size:
        _scratch.size += size - (0 if block is None else block.size)
        block = np.empty(size, dtype=np.uint8)
    _scratch.blocks[name] = block
    while _scratch.size > SCRATCH_LIMIT:
        oldest = next(iter(_scratch.blocks))
        _scratch.size -= _scratch.blocks.pop(oldest).size
    return block[:size].view(dtype).reshape(shape)


def release_scratch() -> None:
    """Give up the scratch arrays of this thread."""
    _scratch.blocks.clear()
    _scratch.size = 0


def keep_pages() -> None:
    """Ask the C library to keep the memory of freed arrays for the next ones.

    Where each step makes and frees the same arrays, the pages of the last step serve the next. It is asked
    of the GNU C library on Linux, once, for the whole process; XPNN_KEEP_PAGES=0 in the environment leaves
    it out. The process then stays as large as it once was, as it does in PyTorch.
    """
    if os.environ.get("XPNN_KEEP_PAGES", "1") == "0" or not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, _KEPT_BELOW)
    mallopt(_TRIM_THRESHOLD, _KEPT_BELOW)


keep_pages()
