"""Half precision: float16 and bfloat16 in, the same out, float32 in between.

A sum of 70,000 ones is infinite in float16, and 257 is no number of bfloat16. What adds up is called through
`in_float32`, therefore, and is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import ops
from xpnn.backend import is_half, namespace
from xpnn.functional.arguments import raw_array


def in_float32(function: Callable[..., Any], x: Any, *arrays: Any, **options: Any) -> Any:
    """`function(x, *arrays, **options)`, computed in float32 if `x` is of half precision.

    The result, or the first of several, is rounded to the element type of `x`; further results, such as
    statistics, stay in float32. Gradients pass.

    >>> import numpy as np
    >>> in_float32(np.sum, np.full(3, 30000, np.float16) - np.float16(10000))
    np.float16(6e+04)
    """
    if not is_half(x):
        return function(x, *arrays, **options)
    result = function(*map(_widened, (x, *arrays)), **options)
    if type(result) is tuple:
        return ops.astype(result[0], x.dtype), *result[1:]
    return ops.astype(result, x.dtype)


def _widened(array: Any) -> Any:
    if array is None or not is_half(array):
        return array
    return ops.astype(array, namespace(raw_array(array)).float32)
