"""Positions for attention, which does not know the order of steps by itself."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    alike,
    check_flags,
    check_floating,
    check_rank,
    check_same_dtype,
    number,
    raw_array,
    shape_of,
    whole,
)

__all__ = ["alibi_biases", "rotary_positions", "sinusoidal_positions"]


@half_in_float32
def sinusoidal_positions(positions: ArrayT, dim: int, base: float = 10000.0) -> ArrayT:
    """Sines and cosines of each position, in `dim` features: what is added to an embedding.

        y_{t,2i} = sin(p_t base^(-2i / dim))        y_{t,2i+1} = cos(p_t base^(-2i / dim))

    Backward: gp_t = sum_i w_i (gy_{t,2i} y_{t,2i+1} - gy_{t,2i+1} y_{t,2i}), with w_i = base^(-2i / dim).

    Args:
        positions: (T,), floating: 0, 1, 2 ... for the steps of a sequence.
        dim: the number of features.
        base: the longest wave is 2 pi times as long.

    Returns: (T, dim).

    Raises: ArgumentError for a dim below 1 or a base that is not above 0; ShapeError for other than one axis.

    See: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin (2017), "Attention is all you
    need".

    >>> import numpy as np
    >>> sinusoidal_positions(np.asarray([0.0, 1.0]), 4).round(2).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]
    """
    subject = "sinusoidal_positions"
    check_floating(positions, subject, "positions")
    check_rank(positions, 1, subject, "T", "positions")
    dim = whole(dim, "dim", subject)
    if dim < 1:
        raise ArgumentError(f"expects dim of at least 1, got {dim}", subject=subject)
    angles = _angles(positions, dim, base, subject)
    xp = namespace(angles)
    pairs = xp.stack([xp.sin(angles), xp.cos(angles)], axis=-1)
    return xp.reshape(pairs, (positions.shape[0], 2 * angles.shape[1]))[:, :dim]


@half_in_float32
def rotary_positions(
    input: ArrayT,
    positions: Array | Tensor | None = None,
    base: float = 10000.0,
    interleaved: bool = False,
) -> ArrayT:
    """Turn pairs of features by angles that grow with the position, so that products know distances alone.

        (y_a, y_b) = (x_a cos - x_b sin, x_b cos + x_a sin), of the angle p_t base^(-2i / E)

    for the i-th pair of features. The product of a query at p and a key at q, both turned, depends on p - q
    and on nothing else of p and q. Backward: gx is gy turned by the negative angles.

    Args:
        input: (..., T, E), floating, queries or keys of a head; E is even.
        positions: (T,), in the input's element type; None is 0, 1, 2 ... Behind keys that are kept from
            earlier steps, pass the positions from there on.
        base: the longest wave is 2 pi times as long.
        interleaved: whether a pair are features 2i and 2i + 1, as in the paper, in place of i and i + E / 2,
            as in most language models since.

    Returns: as the input.

    Raises: ShapeError for an odd E, or for other than T positions; ArgumentError for a base not above 0.

    See: Su, Lu, Pan, Murtadha, Wen & Liu (2021), "RoFormer: enhanced transformer with rotary position
    embedding".

    >>> import numpy as np
    >>> rotary_positions(np.asarray([[1.0, 0.0], [1.0, 0.0]])).round(2).tolist()
    [[1.0, 0.0], [0.54, 0.84]]
    """
    subject = "rotary_positions"
    check_floating(input, subject)
    check_flags(subject, interleaved=interleaved)
    if input.ndim < 2:
        raise ShapeError(
            f"expects input of 2 axes or more (..., T, E), got shape {shape_of(input)}", subject=subject
        )
    if input.shape[-1] % 2:
        raise ShapeError(
            f"expects an input (..., T, E) with an even E, got shape {shape_of(input)}", subject=subject
        )
    raw, steps, size = raw_array(input), input.shape[-2], input.shape[-1]
    if positions is None:
        positions = namespace(raw).arange(steps, dtype=raw.dtype, device=device_of(raw))
    check_floating(positions, subject, "positions")
    check_same_dtype(subject, input, positions=positions)
    if tuple(positions.shape) != (steps,):
        raise ShapeError(
            f"expects {steps} positions, one for each step of the input, got shape {shape_of(positions)}",
            subject=subject,
        )
    angles = _angles(positions, size, base, subject)
    xp = namespace(angles)
    x, cos, sin = alike(input, xp.cos(angles), xp.sin(angles))
    xp = namespace(x)
    if interleaved:
        pairs = xp.reshape(x, (*x.shape[:-1], size // 2, 2))
        a, b = pairs[..., 0], pairs[..., 1]
        return xp.reshape(xp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1), x.shape)
    a, b = x[..., : size // 2], x[..., size // 2 :]
    return xp.concat([a * cos - b * sin, b * cos + a * sin], axis=-1)


@half_in_float32
def alibi_biases(queries: ArrayT, keys: Array | Tensor, num_heads: int) -> ArrayT:
    """What each head subtracts from the scores for each step between query and key: an `attn_mask` to add.

        B_hij = -m_h |p_i - q_j|        m_h = 2^(-8 h / H) for h = 1 ... H

    where H is a power of two; otherwise the slopes of the power below come first, then every other one of
    the power above. Backward: the sign of p_i - q_j.

    Args:
        queries: (L,), floating, the positions of the queries. keys: (S,), those of the keys.
        num_heads: H.

    Returns: (H, L, S).

    Raises: ArgumentError for no heads; ShapeError for other than one axis.

    See: Press, Smith & Lewis (2022), "Train short, test long: attention with linear biases enables input
    length extrapolation".

    >>> import numpy as np
    >>> alibi_biases(np.asarray([2.0]), np.asarray([0.0, 1.0, 2.0]), 2).tolist()
    [[[-0.125, -0.0625, -0.0]], [[-0.0078125, -0.00390625, -0.0]]]
    """
    subject = "alibi_biases"
    for name, x in {"queries": queries, "keys": keys}.items():
        check_floating(x, subject, name)
        check_rank(x, 1, subject, "steps", name)
    check_same_dtype(subject, queries, keys=keys)
    num_heads = whole(num_heads, "num_heads", subject)
    if num_heads < 1:
        raise ArgumentError(f"expects num_heads of at least 1, got {num_heads}", subject=subject)
    p, q = alike(queries, keys)
    raw = raw_array(p)
    slopes = namespace(raw).asarray(_slopes(num_heads), dtype=raw.dtype, device=device_of(raw))
    distances, slopes = alike(namespace(p, q).abs(p[:, None] - q[None, :]), slopes)
    return -slopes[:, None, None] * distances[None, ...]


def _slopes(heads: int) -> list[float]:
    power = 2 ** (heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    between = [2.0 ** (-8.0 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
    return slopes + between[: heads - power]


def _angles(positions: Any, size: int, base: float, subject: str) -> Any:
    """(T, half of the size, rounded up): the angle of each pair of features at each position."""
    base = number(base, "base", subject)
    if not 0 < base < math.inf:
        raise ArgumentError(f"expects a base above 0, got {base}", subject=subject)
    raw = raw_array(positions)
    waves = [base ** (-i / size) for i in range(0, size, 2)]
    p, w = alike(positions, namespace(raw).asarray(waves, dtype=raw.dtype, device=device_of(raw)))
    return p[:, None] * w[None, :]
