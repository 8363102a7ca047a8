"""Positions for attention as modules. Formulas stand with the functions in `functional.attention`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, ShapeError, device_of, namespace
from xpnn.functional.arguments import raw_array, whole
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["ALiBi", "LearnedPositions", "RotaryPositions", "SinusoidalPositions"]


class SinusoidalPositions(Module):
    """Adds sines and cosines of the positions; see `functional.sinusoidal_positions`.

    Args:
        embed_dim: features of each step.
        base: the longest wave is 2 pi times as long.
        batch_first: whether the input is (N, T, embed_dim) in place of (T, N, embed_dim).

    Shapes: (T, N, embed_dim), or (T, embed_dim), to the same.

    >>> from xpnn.autograd import xp
    >>> SinusoidalPositions(4)(xp.zeros((2, 4))).numpy().round(2).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, embed_dim: int, base: float = 10000.0, batch_first: bool = False) -> None:
        self.embed_dim = embed_dim
        self.base = base
        self.batch_first = batch_first

    def forward(self, input: Any, start: int = 0) -> Tensor:
        """The input with its positions.

        Args:
            start: the position of the first step, where earlier ones came before.
        """
        x, steps = _steps(input, self.embed_dim, self.batch_first, "SinusoidalPositions")
        rows = F.sinusoidal_positions(_range(x, start, steps), self.embed_dim, self.base)
        return x + _beside(rows, x, self.batch_first)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.embed_dim}, base={self.base}, batch_first={self.batch_first}"


class LearnedPositions(Module):
    """Adds a trained vector for each position.

    Args:
        max_length: positions that there are.
        embed_dim: features of each step.
        batch_first: whether the input is (N, T, embed_dim) in place of (T, N, embed_dim).
        device, dtype: as in `Linear`.

    Attributes:
        weight: (max_length, embed_dim), from N(0, 0.02^2) at the start, as in GPT-2.

    Shapes: (T, N, embed_dim), or (T, embed_dim), to the same.

    Raises: ShapeError for more steps than there are positions.

    >>> from xpnn.autograd import xp
    >>> LearnedPositions(16, 4)(xp.zeros((3, 2, 4))).shape
    (3, 2, 4)
    """

    def __init__(
        self,
        max_length: int,
        embed_dim: int,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.max_length = max_length
        self.embed_dim = embed_dim
        self.batch_first = batch_first
        self.weight = Parameter(full((max_length, embed_dim), 0.0, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        init.normal_(self.weight, std=0.02)

    def forward(self, input: Any, start: int = 0) -> Tensor:
        """The input with its positions; `start` is that of the first step."""
        x, steps = _steps(input, self.embed_dim, self.batch_first, "LearnedPositions")
        if not 0 <= whole(start, "start", "LearnedPositions") <= self.max_length - steps:
            raise ShapeError(
                f"expects positions below {self.max_length}, got {steps} steps from {start} on",
                subject="LearnedPositions",
                hint=f"Did you mean max_length={start + steps}?",
            )
        return x + _beside(self.weight[start : start + steps, :], x, self.batch_first)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.max_length}, {self.embed_dim}, batch_first={self.batch_first}"


class RotaryPositions(Module):
    """Turns queries or keys by their positions; see `functional.rotary_positions`.

    Args:
        base: the longest wave is 2 pi times as long.
        interleaved: whether a pair are neighbouring features.

    Shapes: (..., T, E) with an even E, to the same.

    >>> from xpnn.autograd import xp
    >>> RotaryPositions()(xp.ones((1, 2, 3, 4))).shape
    (1, 2, 3, 4)
    """

    def __init__(self, base: float = 10000.0, interleaved: bool = False) -> None:
        self.base = base
        self.interleaved = interleaved

    def forward(self, input: Any, start: int = 0) -> Tensor:
        """The input, turned; `start` is the position of the first step."""
        positions = None if start == 0 else _range(input, start, input.shape[-2])
        return F.rotary_positions(input, positions, self.base, self.interleaved)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"base={self.base}, interleaved={self.interleaved}"


class ALiBi(Module):
    """What is added to the scores of each head for distances; see `functional.alibi_biases`.

    Args:
        num_heads: heads of the attention.

    Shapes: queries (..., L, E) and keys (..., S, E) to a mask (num_heads, L, S), in which the last query
    stands at the last key, as behind keys that are kept from earlier steps.

    >>> from xpnn.autograd import xp
    >>> ALiBi(2)(xp.ones((1, 2, 1, 4)), xp.ones((1, 2, 3, 4))).tolist()[0]
    [[-0.125, -0.0625, -0.0]]
    """

    def __init__(self, num_heads: int) -> None:
        if whole(num_heads, "num_heads", "ALiBi") < 1:
            raise ArgumentError(f"expects num_heads of at least 1, got {num_heads}", subject="ALiBi")
        self.num_heads = num_heads

    def forward(self, query: Any, key: Any) -> Any:
        """The mask, see the class."""
        queries, keys = query.shape[-2], key.shape[-2]
        return F.alibi_biases(
            Tensor(_range(query, keys - queries, queries)), Tensor(_range(query, 0, keys)), self.num_heads
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.num_heads}"


def _steps(x: Any, size: int, batch_first: bool, subject: str) -> tuple[Any, int]:
    """The input, checked, and its number of steps."""
    if x.ndim not in (2, 3) or x.shape[-1] != size:
        raise ShapeError(
            f"expects (T, N, {size}), or (T, {size}), got shape {tuple(x.shape)}",
            subject=subject,
            hint=f"Did you mean embed_dim={x.shape[-1]}?" if x.ndim else "",
        )
    return x, x.shape[1] if batch_first and x.ndim == 3 else x.shape[0]


def _range(x: Any, start: int, count: int) -> Any:
    """Positions from `start` on, of the library, device and element type of x."""
    raw = raw_array(x)
    xp, device = namespace(raw), device_of(raw)
    return xp.astype(xp.arange(start, start + count, device=device), raw.dtype)


def _beside(rows: Any, x: Any, batch_first: bool) -> Any:
    """Rows (T, E) so that they broadcast to x."""
    return rows if x.ndim == 2 or batch_first else rows[:, None, :]
