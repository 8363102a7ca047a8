"""The layers of einops as Modules; needs the package einops: `pip install 'xpnn[einops]'`.

    from xpnn.einops import EinMix, Rearrange, Reduce

The functions of einops (`rearrange`, `reduce`, `repeat`, `einsum`, `pack` ...) take Tensors as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.functions.linalg import einsum
from xpnn.backend import optional_import
from xpnn.nn import Module, Parameter, init
from xpnn.nn.parameter import full

__all__ = ["EinMix", "Rearrange", "Reduce"]

_layers: Any = optional_import("einops.layers", extra="einops")
_EinmixMixin: Any = optional_import("einops.layers._einmix", extra="einops")._EinmixMixin


class _Pattern(Module):
    """Copies and pickles keep what every Module has; einops would keep the pattern alone."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def forward(self, input: Tensor) -> Tensor:
        """The input in the order of axes that the pattern names."""
        return self._apply_recipe(input)


class Rearrange(_Pattern, _layers.RearrangeMixin):
    """Split, merge and permute axes, as `einops.rearrange`.

    Args:
        pattern: the axes before and after, `"b c h w -> b (c h w)"`.
        axes_lengths: the sizes of axes that the input's shape leaves open.

    Raises: einops.EinopsError for a pattern that cannot be, or a shape that it does not fit.

    >>> from xpnn.autograd import xp
    >>> Rearrange("b (h w) -> b h w", h=2)(xp.zeros((3, 8))).shape
    (3, 2, 4)
    """

    __repr__ = _layers.RearrangeMixin.__repr__

    def __init__(self, pattern: str, **axes_lengths: Any) -> None:
        _layers.RearrangeMixin.__init__(self, pattern, **axes_lengths)


class Reduce(_Pattern, _layers.ReduceMixin):
    """Reduce axes, as `einops.reduce`.

    Args:
        pattern: the axes before and after, `"b c h w -> b c"`.
        reduction: "min", "max", "sum", "mean", "prod", "any" or "all".
        axes_lengths: the sizes of axes that the input's shape leaves open.

    Raises: einops.EinopsError for a pattern that cannot be, or a shape that it does not fit.

    >>> from xpnn.autograd import xp
    >>> Reduce("b c (h 2) (w 2) -> b c h w", "max")(xp.zeros((1, 3, 4, 6))).shape
    (1, 3, 2, 3)
    """

    __repr__ = _layers.ReduceMixin.__repr__

    def __init__(self, pattern: str, reduction: str, **axes_lengths: Any) -> None:
        _layers.ReduceMixin.__init__(self, pattern, reduction, **axes_lengths)


class EinMix(Module, _EinmixMixin):
    """Multiply by a trained weight along named axes, and shift: a linear layer by an einsum.

    Args:
        pattern: the axes before and after, `"b t c -> b t h d"`.
        weight_shape: the axes of the weight, `"c h d"`; those that the result lacks are summed over.
        bias_shape: the axes of the result that the bias has; None is no bias.
        axes_lengths: the sizes of the weight's axes.

    Attributes:
        weight: at the start from U(-k, k) with k = (3 / n)^1/2, n the number of weights in a sum.
        bias: from U(-k, k) with k = n^-1/2, or None.

    Raises: einops.EinopsError for axes that do not fit together.

    >>> from xpnn.autograd import xp
    >>> EinMix("b t c -> b t h d", "c h d", "h d", c=4, h=2, d=3)(xp.zeros((5, 6, 4))).shape
    (5, 6, 2, 3)
    """

    __repr__ = _EinmixMixin.__repr__

    def __init__(
        self, pattern: str, weight_shape: str, bias_shape: str | None = None, **axes_lengths: Any
    ) -> None:
        _EinmixMixin.__init__(self, pattern, weight_shape, bias_shape, **axes_lengths)

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.uniform_(self.weight, -self._bounds[0], self._bounds[0])
        if self.bias is not None:
            init.uniform_(self.bias, -self._bounds[1], self._bounds[1])

    def forward(self, input: Tensor) -> Tensor:
        """The input's axes as they stand on the left of the pattern, to those on its right."""
        if self.pre_rearrange is not None:
            input = self.pre_rearrange(input)
        output = einsum(self.einsum_pattern, input, self.weight)
        if self.bias is not None:
            output = output + self.bias
        return output if self.post_rearrange is None else self.post_rearrange(output)

    def _create_parameters(
        self,
        weight_shape: Sequence[int],
        weight_bound: float,
        bias_shape: Sequence[int] | None,
        bias_bound: float,
    ) -> None:
        self._bounds = (weight_bound, bias_bound)
        self.weight = Parameter(full(tuple(weight_shape), 0.0, None, None))
        self.bias = None if bias_shape is None else Parameter(full(tuple(bias_shape), 0.0, None, None))
        self.reset_parameters()

    def _create_rearrange_layers(
        self,
        pre_reshape_pattern: str | None,
        pre_reshape_lengths: dict[str, int] | None,
        post_reshape_pattern: str | None,
        post_reshape_lengths: dict[str, int] | None,
    ) -> None:
        self.pre_rearrange = self.post_rearrange = None
        if pre_reshape_pattern is not None:
            self.pre_rearrange = Rearrange(pre_reshape_pattern, **(pre_reshape_lengths or {}))
        if post_reshape_pattern is not None:
            self.post_rearrange = Rearrange(post_reshape_pattern, **(post_reshape_lengths or {}))
