"""Local response norm: each channel divided by a root of the energy of the channels around it."""

from __future__ import annotations

from math import prod

from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT, ShapeError, namespace
from xpnn.functional.arguments import check_floating, number, shape_of, tuple_of
from xpnn.functional.pool.average import pool_average
from xpnn.functional.shape.padding import pad

__all__ = ["local_response_norm"]


@half_in_float32
def local_response_norm(
    input: ArrayT, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> ArrayT:
    """Divide by the energy of neighbouring channels: `y[c] = x[c] / (k + alpha / size sum x[c']^2)^beta`.

    The sum is over the `size` channels from `c - size // 2` to `c + (size - 1) // 2`; channels that there are
    not count as zeros.

    Args:
        input: (N, C, ...) floats, with space behind the channels.
        size: how many channels there are in the sum.
        alpha, beta, k: as above.

    Raises: ShapeError for an input of fewer than three axes; ArgumentError for a size below 1.

    See: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks",
    2012.

    >>> import numpy as np
    >>> local_response_norm(np.ones((1, 2, 1)), 2, alpha=2.0, beta=1.0).round(2).tolist()
    [[[0.5], [0.33]]]
    """
    subject = "local_response_norm"
    (size,) = tuple_of(size, 1, "size", subject, minimum=1)
    window = (size // 2, (size - 1) // 2)
    return divided_by_energy(input, window, size, alpha, beta, k, subject)


def divided_by_energy(
    x: Array,
    window: tuple[int, int],
    divisor: int,
    alpha: float,
    beta: float,
    k: float,
    subject: str,
) -> Array:
    """`x / (k + alpha / divisor sum x^2)^beta`, the sum over `window` channels before and after."""
    if len(shape_of(x, subject, "input")) < 3:
        raise ShapeError(
            f"expects an input of three axes or more (N, C, ...), got {x.ndim} in the shape {shape_of(x)}",
            subject=subject,
        )
    check_floating(x, subject)
    alpha, beta, k = (
        number(value, name, subject) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    xp = namespace(x)
    if 0 in x.shape:
        return x * 1.0
    planes = xp.reshape(x * x, (x.shape[0], 1, x.shape[1], prod(x.shape[2:])))
    cells = window[0] + window[1] + 1
    padded = pad(planes, (0, 0, *window))
    total = pool_average(subject, 2, padded, (cells, 1), 1, 0, False, True, divisor)
    return x / (k + alpha * xp.reshape(total, tuple(x.shape))) ** beta
