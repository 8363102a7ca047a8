"""Compiled functions over all elements of some arrays, each thread on its own part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xpnn.kernels.numpy.chunks import lying_as
from xpnn.kernels.numpy.parallel import parallel


def by_element(
    function: Callable[..., None], passes: float, out: np.ndarray, *inputs: np.ndarray
) -> np.ndarray:
    """Call `function(*inputs, out)` on 1-D arrays in the order of memory of `out`; returns `out`.

    Args:
        passes: how much is to be done for an element, to tell when threads are worth it.
        out: of `np.empty_like`, so that it has no gaps.
    """
    flat = [lying_as(x, out).ravel(order="K") for x in inputs]
    result = out.ravel(order="K")
    parallel(lambda part: function(*(x[part] for x in flat), result[part]), out.size, passes * out.size)
    return out
