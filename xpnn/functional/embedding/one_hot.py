"""One-hot vectors: 1 at the place of a class, 0 elsewhere."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, Array, concrete, idioms, refusing, size_of, to_numpy
from xpnn.functional.arguments import as_indices, check_indices, check_integer, raw_array, whole

__all__ = ["one_hot"]


@refusing
def one_hot(input: Array, num_classes: int = -1) -> Any:
    """Make vectors of class numbers: y[..., k] = 1 where input[...] = k, else 0, as integers. No gradient.

    Args:
        input: integers in [0, num_classes), any shape.
        num_classes: how many; -1 takes the largest number there is, and 1 more, which reads the values.

    Returns: (*input.shape, num_classes), of the library's integer type for indices (int64).

    Raises: IndexOutOfRangeError for a number outside of the classes; ArgumentError for num_classes = 0, or -1
    where there is no number, or none that can be read (under `jax.jit`); DTypeError if they are no integers.

    >>> import numpy as np
    >>> one_hot(np.asarray([0, 2]), 3).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    check_integer(input, "one_hot", "input")
    count = whole(num_classes, "num_classes", "one_hot")
    if count < -1:
        raise ArgumentError(f"expects num_classes of at least 1, or -1, got {count}", subject="one_hot")
    indices = as_indices(input)
    if size_of(indices.shape) == 0 and count < 1:
        raise ArgumentError("cannot find the number of classes of no elements", subject="one_hot")
    if count == 0:
        raise ArgumentError("expects num_classes of at least 1, or -1, got 0", subject="one_hot")
    if count == -1:
        if not concrete(indices):
            raise ArgumentError("expects num_classes where values cannot be read", subject="one_hot")
        count = max(int(to_numpy(indices).max()) + 1, 1)
    check_indices(indices, count, "one_hot", "input", "num_classes is too small, or the input negative")
    y = idioms.one_hot(indices, count, indices.dtype)
    return y if raw_array(input) is input else Tensor(y)
