"""What the tape needs to know of a Tensor: an array, and where on the tape it came from.

`TensorBase` carries the data; operators and methods come with its one subclass, `tensor.Tensor`, which is
built from the primitives of `ops/`, which in turn are built on this module.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array, GradientError, is_floating, namespace, register_tensor_type

# type of an array -> element type -> whether it can carry a gradient. In two steps, because element types
# of different libraries do not like to be compared.
_FLOATING: dict[type, dict[Any, bool]] = {}

# The class that results are wrapped in: set once, when `Tensor` is defined.
_tensor_class: list[type[TensorBase]] = []


class TensorBase:
    """One raw array and its place on the tape.

    Attributes:
        data: the raw array.
        grad: the gradient that `backward()` accumulated, a Tensor, or None.
        edge: where it came from: `(node, index)` for output `index` of a recorded operation, None for
            a leaf.
    """

    __slots__ = ("__weakref__", "_requires_grad", "data", "edge", "grad", "hooks")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register_tensor_type(cls)
        if not _tensor_class:
            _tensor_class.append(cls)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded, so that a gradient can reach it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if self.edge is not None:
            if not flag:
                raise GradientError(
                    "cannot stop requiring a gradient: it is the result of a recorded operation",
                    subject="a Tensor",
                    hint="Use detach()",
                )
            return
        if flag and not carries_gradient(self.data):
            raise GradientError(
                f"only real floating-point Tensors can require a gradient, this one is {self.data.dtype}",
                hint="Convert it first: t.to(dtype='float32')",
            )
        self._requires_grad = bool(flag)

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        return tensor_namespace_of(self.data)


# Set by `namespace.py`, which needs the operations that need this module.
_namespace_hook: list[Any] = []


def tensor_namespace_of(array: Array) -> Any:
    """The differentiable namespace of the library that `array` belongs to."""
    return _namespace_hook[0](namespace(array))


def carries_gradient(array: Array) -> bool:
    """Whether a gradient can be taken with respect to the elements: real floating-point numbers."""
    try:
        return _FLOATING[type(array)][array.dtype]
    except KeyError:
        answer = is_floating(array)
        _FLOATING.setdefault(type(array), {})[array.dtype] = answer
        return answer


def new_tensor(data: Array, edge: Any = None) -> Any:
    """A Tensor around `data`: the result of a recorded operation if it has an edge, else a constant."""
    cls = _tensor_class[0]
    tensor = cls.__new__(cls)
    tensor.data = data
    tensor.grad = None
    tensor.edge = edge
    tensor.hooks = None
    tensor._requires_grad = edge is not None
    return tensor
