"""PyTorch's functions that copy what others give as views; and those that never were views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd.functions import complex_numbers, joining, shape
from xpnn.autograd.functions.calling import front

__all__ = [
    *("alias_copy", "detach_copy", "diagonal_copy", "expand_copy", "narrow_copy", "permute_copy"),
    *("select_copy", "split_copy", "split_with_sizes_copy", "squeeze_copy", "t_copy", "transpose_copy"),
    *("unbind_copy", "unfold_copy", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes"),
    *("unsqueeze_copy", "view_as_complex_copy", "view_as_real_copy", "view_copy"),
]


def _copying(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """The function whose results share nothing with its input, which its gradient goes back to."""

    def copy(input: Any, *args: Any, **options: Any) -> Any:
        found = function(input, *args, **options)
        return tuple([part.clone() for part in found]) if isinstance(found, tuple) else found.clone()

    copy.__name__ = copy.__qualname__ = name or f"{function.__name__}_copy"
    copy.__doc__ = f"`{function.__name__}` whose result is a copy, where that shares elements with its input."
    return front(copy)


@front
def alias_copy(input: Any) -> Any:
    """A copy, which the gradient goes through."""
    return input.clone()


@front
def detach_copy(input: Any) -> Any:
    """A copy off the tape."""
    return input.detach().clone()


diagonal_copy = _copying(shape.diagonal)
expand_copy = _copying(shape.expand)
narrow_copy = _copying(shape.narrow)
permute_copy = _copying(shape.permute)
select_copy = _copying(shape.select)
split_copy = _copying(joining.split)
split_with_sizes_copy = _copying(joining.split_with_sizes)
squeeze_copy = _copying(shape.squeeze)
t_copy = _copying(shape.t)
transpose_copy = _copying(shape.transpose)
unbind_copy = _copying(joining.unbind)
unfold_copy = _copying(shape.unfold)
unsafe_chunk = _copying(joining.chunk, "unsafe_chunk")
unsafe_split = _copying(joining.split, "unsafe_split")
unsafe_split_with_sizes = _copying(joining.split_with_sizes, "unsafe_split_with_sizes")
unsqueeze_copy = _copying(shape.unsqueeze)
view_as_complex_copy = _copying(complex_numbers.view_as_complex)
view_as_real_copy = _copying(complex_numbers.view_as_real)
view_copy = _copying(shape.view)
