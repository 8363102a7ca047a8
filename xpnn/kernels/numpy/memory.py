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


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array for intermediate results, not filled, whose memory is used again by the next call.

    Of one `name` a thread has one block, so that two arrays that are in use together need two names, and
    none may be returned from a kernel. What a thread keeps is limited to `SCRATCH_LIMIT`; a larger array is
    made afresh.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    blocks = _scratch.blocks
    block = blocks.pop(name, None)
    if block is None or block.size < size:
        block = np.empty(size, dtype=np.uint8)
        # Counted anew each time: a sum that is kept would be wrong after an exception between two lines.
        kept = size + sum([other.size for other in blocks.values()])
        while kept > SCRATCH_LIMIT and blocks:
            kept -= blocks.pop(next(iter(blocks))).size
        if kept > SCRATCH_LIMIT:
            return block.view(dtype).reshape(shape)
    blocks[name] = block
    return block[:size].view(dtype).reshape(shape)


def release_scratch() -> None:
    """Give up the scratch arrays of this thread."""
    _scratch.blocks.clear()


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
