"""Forward mode: Tensors that carry a tangent, and what functions make of it.

A dual Tensor is one end of the tape, whose tangent is kept beside it; the tangent of a result is found when
it is asked for, by two reverse sweeps (see `gradients.Pushforward`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.autograd.core import TensorBase, carries_gradient, new_tensor
from xpnn.autograd.gradients import Pushforward
from xpnn.autograd.mode import enable_grad, switches
from xpnn.autograd.node import edge_at
from xpnn.autograd.ops.manipulation import reshape
from xpnn.autograd.tape import behind, edge_key, edge_of
from xpnn.backend import DTypeError, GradientError, ShapeError, dtype_name
from xpnn.backend.scope import covering

__all__ = [
    *("UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual"),
    "unpack_dual",
]


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns.

    Attributes:
        primal: the Tensor without its tangent.
        tangent: of the same shape; None where there is none.
    """

    primal: Any
    tangent: Any


class _Level:
    """The dual Tensors of one level: ends of the tape, and their tangents."""

    def __init__(self) -> None:
        self.ends: list[Any] = []
        self.tangents: list[Any] = []
        self.tracked = switches.grad  # whether the tape records around it
        self.recording = enable_grad()


class dual_level:  # noqa: N801 - PyTorch's name
    """A block, or a decorated function, in which Tensors can carry tangents.

    Operations are recorded in it, also where `no_grad` is around it; inside of a `no_grad` block of its own
    nothing is, and tangents end there. Levels do not nest, as PyTorch's do not; `xpnn.func.jvp` does.

    >>> from xpnn.autograd import tensor
    >>> with dual_level():
    ...     x = make_dual(tensor([1.0, 2.0]), tensor([1.0, 0.0]))
    ...     unpack_dual(x * x).tangent
    tensor([2., 0.])
    """

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return covering(function, dual_level)

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        exit_dual_level()


def enter_dual_level() -> int:
    """Begin a level (see `dual_level`), and return its number, 0. Raises: GradientError within another."""
    if switches.dual_level is not None:
        raise GradientError("does not nest", subject="dual_level", hint="xpnn.func.jvp does")
    level = _Level()
    level.recording.__enter__()
    switches.dual_level = level
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level; its Tensors have no tangents any more. Raises: GradientError if there is none."""
    found = _level("exit_dual_level", level)
    switches.dual_level = None
    found.recording.__exit__()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """The Tensor with a tangent.

    Args:
        tensor: of floating-point or complex numbers; it may be the result of recorded operations.
        tangent: of its shape and element type.
        level: the number that `enter_dual_level` gave.

    Raises: GradientError outside of a level, or for a Tensor that has a tangent already; DTypeError and
    ShapeError for other Tensors.
    """
    found = _level("make_dual", level)
    for value in (tensor, tangent):
        if not isinstance(value, TensorBase) or not carries_gradient(value.array):
            kind = dtype_name(value.dtype) if isinstance(value, TensorBase) else type(value).__name__
            raise DTypeError(f"expects floating-point or complex Tensors, got {kind}", subject="make_dual")
    if tuple(tensor.shape) != tuple(tangent.shape):
        raise ShapeError(
            f"expects a tangent of shape {tuple(tensor.shape)}, got {tuple(tangent.shape)}",
            subject="make_dual",
        )
    if tensor.dtype != tangent.dtype:
        raise DTypeError(
            f"expects a tangent of {dtype_name(tensor.dtype)}, got {dtype_name(tangent.dtype)}",
            subject="make_dual",
        )
    if tensor.requires_grad and found.ends and _reached(tensor, found):
        raise GradientError("got a Tensor that has a tangent already", subject="make_dual")
    end = reshape(tensor, tensor.shape) if tensor.requires_grad else tensor.detach().requires_grad_()
    found.ends.append(edge_of(end))
    found.tangents.append(tangent)
    return end


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """A Tensor and its tangent, J v; that is None outside of a level, and where no dual Tensor took part.

    Both can be differentiated in what else they were computed from.

    >>> from xpnn.autograd import tensor
    >>> with dual_level():
    ...     unpack_dual(make_dual(tensor(3.0), tensor(1.0)) ** 2)
    UnpackedDualTensor(primal=tensor(9.), tangent=tensor(6.))
    """
    found = switches.dual_level
    if found is None or not isinstance(tensor, TensorBase) or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    edges = behind([edge_of(tensor)])
    places = [i for i, end in enumerate(found.ends) if edge_key(end) in edges]
    if not places:
        return UnpackedDualTensor(tensor, None)
    ends = [found.ends[i] for i in places]
    own = set(map(edge_key, ends))
    others = any(isinstance(edge, TensorBase) and key not in own for key, edge in edges.items())
    tangents = [found.tangents[i] for i in places]
    keep = found.tracked and (others or any(v.requires_grad for v in tangents))
    (tangent,) = Pushforward([tensor], [edge_at(end) for end in ends])(tangents, keep)
    return UnpackedDualTensor(tensor if keep else new_tensor(tensor.array), tangent)


def _level(subject: str, number: int | None) -> _Level:
    found = switches.dual_level
    if found is None or number not in (None, 0):
        raise GradientError(
            "needs a level to be entered", subject=subject, hint="Use it inside of `with dual_level():`"
        )
    return found


def _reached(tensor: Any, level: _Level) -> bool:
    edges = behind([edge_of(tensor)])
    return any(edge_key(end) in edges for end in level.ends)
