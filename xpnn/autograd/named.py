"""PyTorch's names for what operators do: `x.add(y)` for `x + y`, `x.eq(y)`, and `x.add_(y)` for `x += y`.

A name that ends in `_` looks like writing in place. It makes a new array and rebinds the Tensor to it, as the
operators do (see `tensor.py`): what shares no handle with the Tensor never sees the change.
"""

from __future__ import annotations

from typing import Any, Self

from xpnn.autograd import ops

Tensor = Any  # the class that these methods become part of


class NamedOperators:
    """The methods of `Tensor` that are operators under another name."""

    __slots__ = ()

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        """`self + alpha * other`."""
        return self + _scaled(other, alpha)  # type: ignore[operator]

    def sub(self, other: Any, *, alpha: float = 1) -> Tensor:
        """`self - alpha * other`."""
        return self - _scaled(other, alpha)  # type: ignore[operator]

    def mul(self, other: Any) -> Tensor:
        """The product."""
        return self * other  # type: ignore[operator]

    def div(self, other: Any) -> Tensor:
        """The quotient."""
        return self / other  # type: ignore[operator]

    def neg(self) -> Tensor:
        """The number with the other sign."""
        return -self  # type: ignore[operator]

    def maximum(self, other: Any) -> Tensor:
        """The larger of two elements; a tie shares the gradient."""
        return ops.maximum(self, other)

    def minimum(self, other: Any) -> Tensor:
        """The smaller of two elements; a tie shares the gradient."""
        return ops.minimum(self, other)

    # -- comparisons

    def eq(self, other: Any) -> Tensor:
        """Where the elements are equal."""
        return self == other

    def ne(self, other: Any) -> Tensor:
        """Where the elements differ."""
        return self != other

    def lt(self, other: Any) -> Tensor:
        """Where the elements are smaller."""
        return self < other  # type: ignore[operator]

    def le(self, other: Any) -> Tensor:
        """Where the elements are smaller or equal."""
        return self <= other  # type: ignore[operator]

    def gt(self, other: Any) -> Tensor:
        """Where the elements are larger."""
        return self > other  # type: ignore[operator]

    def ge(self, other: Any) -> Tensor:
        """Where the elements are larger or equal."""
        return self >= other  # type: ignore[operator]

    # -- what looks like writing in place

    def add_(self, other: Any, *, alpha: float = 1) -> Self:
        """`self += alpha * other`.

        >>> from xpnn.autograd import tensor
        >>> tensor([1.0, 2.0]).mul_(0.5).add_(tensor([2.0, 4.0]), alpha=0.5)
        tensor([1.5, 3. ])
        """
        return self._rebind(self.add(other, alpha=alpha), "add_")

    def sub_(self, other: Any, *, alpha: float = 1) -> Self:
        """`self -= alpha * other`."""
        return self._rebind(self.sub(other, alpha=alpha), "sub_")

    def mul_(self, other: Any) -> Self:
        """`self *= other`."""
        return self._rebind(self.mul(other), "mul_")

    def div_(self, other: Any) -> Self:
        """`self /= other`."""
        return self._rebind(self.div(other), "div_")

    def clamp_(self, min: Any = None, max: Any = None) -> Self:
        """Move the elements into [min, max]."""
        return self._rebind(ops.clip(self, min, max), "clamp_")

    def copy_(self, source: Any) -> Self:
        """Take over the elements of another Tensor or array, broadcast, in this element type."""
        return self._rebind(ops.setitem(self, source, index=...), "copy_")

    def fill_(self, value: float) -> Self:
        """Set all elements to a number."""
        return self._rebind(ops.setitem(self, value, index=...), "fill_")

    def zero_(self) -> Self:
        """Set all elements to 0."""
        return self._rebind(ops.setitem(self, 0, index=...), "zero_")

    def _rebind(self, result: Tensor, operation: str) -> Any:
        """Become `result` (see `Tensor`)."""
        raise NotImplementedError


def _scaled(value: Any, factor: float) -> Any:
    return value if factor == 1 else value * factor
