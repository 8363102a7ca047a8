"""Which compiled method serves a convolution; NumPy's `kernels/numpy/conv.py` asks before it chooses its own.

winograd        3x3, no strides, enough channels: a quarter of the multiplications
conv_small      images of a few cells: products for each position
conv_direct     products of the images themselves
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import compiled
from xpnn.kernels.numba.compiling import can_run
from xpnn.kernels.numba.conv import direct as conv_direct
from xpnn.kernels.numba.conv import small as conv_small
from xpnn.kernels.numba.conv import winograd
from xpnn.kernels.numpy.conv.layout import Windows
from xpnn.kernels.numpy.conv.methods import faster_methods


def _choose(x: np.ndarray, y: np.ndarray, windows: Windows) -> Any:
    """The module for a convolution of x (N, H, W, C) to y (N, OH, OW, O), if there is one."""
    if not compiled.compiled_enabled() or x.dtype != np.float32:
        return None
    for method in (winograd, conv_small, conv_direct):
        if method.suits(x, y, windows) and can_run(method.FUNCTIONS, x.dtype):
            return method
    return None


faster_methods.append(_choose)
