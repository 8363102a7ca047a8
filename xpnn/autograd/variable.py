"""`Variable`, PyTorch's name of old for a Tensor that is recorded."""

from __future__ import annotations

from typing import Any

from xpnn.autograd.tensor import Tensor
from xpnn.backend import is_array, is_tensor


class _VariableType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, Tensor)


class Variable(metaclass=_VariableType):
    """A Tensor of a Tensor's elements; every Tensor is a Variable.

    Args:
        data: a Tensor, which is given back if it requires what is asked for, an array or numbers.
        requires_grad: whether gradients are wanted. volatile: is accepted, and had no gradient recorded.

    >>> x = Variable([1.0, 2.0], requires_grad=True)
    >>> isinstance(x, Variable), type(x).__name__
    (True, 'Tensor')
    """

    def __new__(cls, data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
        """The Tensor."""
        if is_tensor(data) and not requires_grad:
            return data
        source = data.detach() if is_tensor(data) else data
        return Tensor(source if is_array(source) else Tensor(source), requires_grad and not volatile)
