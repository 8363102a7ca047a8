"""The Tensor: an array with a place on the tape.

A Tensor is an Array API array (attributes, operators, `__array_namespace__`), and has PyTorch's common
methods (in `methods.py`). Where the two disagree, the standard wins: `x.size` is a number, `x.T` needs
two dimensions.

Tensors are values. What looks like writing in place (`x[i] = v`, `x += v`) makes a new array and rebinds
`x` to it, on every backend alike, so that nothing that the tape saved can change under it. Views of `x` see
it, as in PyTorch, and what is written into them reaches `x` (see `views.py`); so it is with `x.detach()`.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from xpnn.autograd import functions, gradients, ops
from xpnn.autograd.core import TensorBase, as_array, new_tensor, share, tensor_class
from xpnn.autograd.functions import promotion
from xpnn.autograd.functions.comparison import compare
from xpnn.autograd.functions.creation import NewLike, zeros
from xpnn.autograd.functions.random import RandomMethods
from xpnn.autograd.handle import RemovableHandle
from xpnn.autograd.methods import Conversions, NamedOperators
from xpnn.autograd.mode import switches
from xpnn.autograd.node import hook_keys, hooks_at
from xpnn.autograd.numeric_methods import NumericMethods
from xpnn.autograd.printing import html_of, text_of
from xpnn.autograd.shape_methods import ShapeMethods
from xpnn.autograd.size import Size
from xpnn.backend import (
    REFUSALS,
    Array,
    DTypeError,
    GradientError,
    RankError,
    ShapeError,
    admit,
    asarray,
    backend_of,
    can_cast,
    concrete,
    default_dtype,
    device_of,
    dtype_name,
    explain_refusal,
    get_backend,
    idioms,
    is_array,
    item,
    move,
    namespace,
    python_scalar,
    refusing,
    size_of,
    to_numpy,
)
from xpnn.backend.layouts import check_memory_format

# Exact types: `np.float64` is a subclass of `float`, and yet widens float32 arrays.
_NUMBERS = frozenset((int, float, bool, complex))


def tensor(obj: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new Tensor on the current backend from numbers, nested lists, or an array of any library.

    Args:
        obj: is copied. Floats become float32; an array keeps its element type.
        dtype: the element type, e.g. `"float64"`. device: default is the current backend's.

    Raises: GradientError for a Tensor that requires a gradient: `clone()` copies it on the tape.

    >>> tensor([1.0, 2.0])
    tensor([1., 2.])
    """
    if isinstance(obj, TensorBase):
        obj = obj.off_tape("tensor()")
    return Tensor(asarray(obj, dtype, device, copy=True), requires_grad)


@tensor_class
class Tensor(NumericMethods, ShapeMethods, NamedOperators, Conversions, NewLike, RandomMethods):
    """One array of any backend, and its place on the tape.

    Args:
        data: a raw array, which is wrapped and not copied, unless its byte order is not this machine's. A
            Tensor shares its elements. Lists of real numbers are of the default element type, whole numbers
            among them too (`tensor()` keeps these), anything else is converted by `asarray`. One or several
            whole numbers, or a `Size` such as `x.shape`, are the sizes of a Tensor of zeros.
        requires_grad: record what is computed from it, so that a gradient can be asked for.

    Raises: GradientError for data on a tape: a Tensor or a `torch.Tensor` that requires a gradient.

    Attributes:
        array: the raw array, of the backend's own type. May be assigned, with an array of the same shape.
        grad: the Tensor that `backward()` adds gradients to, or None.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    grad: Tensor | None

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's operators defer to the reflected ones here
    __array_priority__ = 1000

    def __init__(self, data: Any = (), *more: Any, requires_grad: bool = False) -> None:
        if more and type(more[-1]) is bool:
            *more, requires_grad = more  # type: ignore[assignment]
        if more or type(data) is Size or type(python_scalar(data)) is int:
            data = zeros(data, *more).array
        self.array = as_array(admit(data, "Tensor()")) if is_array(data) else _of_numbers(data)
        self.grad = self.edge = self.hooks = self.aliases = None
        self._requires_grad = False
        if isinstance(data, TensorBase):
            share(data, self)
        if requires_grad is not False:
            self.requires_grad = requires_grad

    @property
    def data(self) -> Tensor:
        """The same elements, off the tape: writing into it in place (`t.data += 1`) changes this Tensor.

        What was recorded before keeps the values that it was recorded with. May be assigned, with a Tensor,
        whose elements this Tensor shares from then on, or a raw array. The raw array is `array`.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> x.data *= 10
        >>> x
        tensor([10., 20.], requires_grad=True)
        """
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if not is_array(value):
            raise DTypeError(
                f"expects a Tensor or an array, got {type(value).__name__}",
                subject="Tensor.data",
                hint="Convert it with xpnn.asarray(...)",
            )
        if isinstance(value, TensorBase):
            array = value.array
            if self.aliases is None or self.aliases is not value.aliases:
                self._leave_aliases()
                share(value, self)
        else:
            array = as_array(admit(value, "Tensor.data"))
            self._leave_aliases()
        self.array = array

    def _leave_aliases(self) -> None:
        if self.aliases is not None:
            self.aliases[:] = [alias for alias in self.aliases if alias() is not self]
            self.aliases = None

    @property
    def T(self) -> Tensor:  # noqa: N802 - the standard's name
        """The transpose of a matrix. Raises: RankError, an AttributeError, for what is none."""
        if self.ndim != 2:
            raise RankError(
                f"is for matrices, got shape {self.shape}", subject="Tensor.T", hint="Use .mT or .permute()"
            )
        return ops.matrix_transpose(self)

    @property
    def mT(self) -> Tensor:  # noqa: N802 - the standard's name
        """The transpose of the last two axes. Raises: RankError, an AttributeError, if there are less."""
        if self.ndim < 2:
            raise RankError(f"needs two axes, got shape {self.shape}", subject="Tensor.mT")
        return ops.matrix_transpose(self)

    # -- the place on the tape

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded operation."""
        return self.edge is None

    @property
    def grad_fn(self) -> Any:
        """The node that recorded the operation it is the result of; None for a leaf."""
        return None if self.edge is None else self.edge[0]

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad`; returns itself."""
        self.requires_grad = requires_grad
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this Tensor to the `.grad` of each leaf (see `xpnn.autograd.backward`)."""
        gradients.backward(self, gradient, retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """The same elements, off the tape: writing into it in place changes this Tensor, and the reverse."""
        other = new_tensor(self.array)
        share(self, other)
        return other

    def detach_(self) -> Tensor:
        """Take this Tensor itself off the tape; what was computed from it stays. Returns itself."""
        self.edge, self._requires_grad = None, False
        return self

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call `hook(gradient)` when the gradient of this Tensor is known; a result replaces it.

        Returns: a handle, whose `remove()` takes the hook away.
        """
        if not self.requires_grad:
            raise GradientError("has no gradient to hook on to", subject="a Tensor without requires_grad")
        hooks, key = self._hook_table(), next(hook_keys)
        hooks[key] = hook
        for kept, last in [*hooks.items()]:
            if getattr(last, "runs_last", False):  # what is kept or sent is what all hooks have made of it
                hooks[kept] = hooks.pop(kept)
        return RemovableHandle(hooks, key)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook(tensor)` when `backward` has added a gradient to the `.grad` of this leaf.

        So can each parameter be updated, and its gradient dropped, without an optimizer over all of them.

        Returns: a handle, whose `remove()` takes the hook away.
        """
        if self.edge is not None:
            raise GradientError(
                "expects a leaf: nothing is added to the .grad of a result",
                subject="register_post_accumulate_grad_hook",
                hint="Use register_hook",
            )
        return self.register_hook(gradients.AfterAccumulation(hook))

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this intermediate result."""
        node, index = self.edge or (None, 0)
        found = [hooks for at, hooks in (node and node.hooks) or () if at == index]
        return any(retained(hooks) is self for hooks in found)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result in `.grad`, as leaves do."""
        if self.edge is None:
            return
        hooks = self._hook_table()
        if any(isinstance(hook, _Keep) and hook.tensor() is self for hook in hooks.values()):
            return
        self.register_hook(_Keep(self))

    def _hook_table(self) -> dict[int, Callable]:
        if self.edge is None:
            if self.hooks is None:
                self.hooks = {}
            return self.hooks
        return hooks_at(*self.edge)

    # -- operators

    def __add__(self, other: Any) -> Tensor:
        return _binary(promotion.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(promotion.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary(promotion.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(promotion.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary(promotion.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(promotion.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(promotion.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(promotion.divide, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _binary(functions.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _binary(functions.floor_divide, other, self)

    def __mod__(self, other: Any) -> Tensor:
        return _binary(functions.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _binary(functions.remainder, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _binary(functions.pow, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(functions.pow, other, self)

    @refusing
    def __matmul__(self, other: Any) -> Tensor:
        return _binary(ops.matmul, self, other)

    @refusing
    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary(ops.matmul, other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return ops.positive(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return self.__array_namespace__().bitwise_invert(self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare(self, other, operator.eq)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare(self, other, operator.ne)

    def __lt__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.lt)

    def __le__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.le)

    def __gt__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.gt)

    def __ge__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.ge)

    def __and__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.and_)

    def __or__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.or_)

    def __xor__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.xor)

    def __lshift__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.lshift)

    def __rshift__(self, other: Any) -> Tensor:
        return _compare(self, other, operator.rshift)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__
    __hash__ = object.__hash__

    # -- what looks like writing in place

    def __iadd__(self, other: Any) -> Tensor:
        return self._rebind(self + other, "+=")

    def __isub__(self, other: Any) -> Tensor:
        return self._rebind(self - other, "-=")

    def __imul__(self, other: Any) -> Tensor:
        return self._rebind(self * other, "*=")

    def __itruediv__(self, other: Any) -> Tensor:
        return self._rebind(self / other, "/=")

    def __ipow__(self, other: Any) -> Tensor:
        return self._rebind(self**other, "**=")

    def __ifloordiv__(self, other: Any) -> Tensor:
        return self._rebind(self // other, "//=")

    def __imod__(self, other: Any) -> Tensor:
        return self._rebind(self % other, "%=")

    def __imatmul__(self, other: Any) -> Tensor:
        return self._rebind(self @ other, "@=")

    def __iand__(self, other: Any) -> Tensor:
        return self._rebind(self & other, "&=")

    def __ior__(self, other: Any) -> Tensor:
        return self._rebind(self | other, "|=")

    def __ixor__(self, other: Any) -> Tensor:
        return self._rebind(self ^ other, "^=")

    def __ilshift__(self, other: Any) -> Tensor:
        return self._rebind(self << other, "<<=")

    def __irshift__(self, other: Any) -> Tensor:
        return self._rebind(self >> other, ">>=")

    def __setitem__(self, index: Any, value: Any) -> None:
        value = python_scalar(value)
        if not isinstance(value, int | float) and not is_array(value):
            value = asarray(value, self.dtype)
        self._rebind(ops.setitem(self, value, index=index), "[...] =")

    def _rebind(self, result: Tensor, operation: str) -> Tensor:
        """Become `result`: this handle now names the new array and its place on the tape."""
        result = self._fitting(result, operation)
        if self.edge is None and self._requires_grad and switches.grad:
            raise GradientError(
                f"a leaf that requires a gradient cannot be changed by `{operation}` while recording",
                hint="Do it inside of a `with xpnn.no_grad():` block",
            )
        self.store(result.array)
        if result.edge is not None:
            self._keep_at(result.edge)
            self.edge, self._requires_grad = result.edge, True
        return self

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """Itself: the memory layout is the backend's affair."""
        check_memory_format(memory_format, self.shape, "contiguous")
        return self

    def memory_layout(self) -> Any:
        """An array without memory that lies as this Tensor does: its elements in a row."""
        return idioms.blank(self.shape)

    def _fitting(self, result: Tensor, operation: str) -> Tensor:
        """The result of what looks like writing in place, in the element type that stays.

        That has to be of the result's kind, or of one that holds it: booleans, integers, floating, complex.
        """
        if result.dtype != self.dtype and can_cast(result.dtype, self.dtype):
            result = ops.astype(result, self.dtype)
        if result.shape != self.shape or result.dtype != self.dtype:
            raise ShapeError(
                f"`{operation}` cannot change {self.shape} {dtype_name(self.dtype)} "
                f"to {result.shape} {dtype_name(result.dtype)}",
                hint="Write x = x + ... instead",
            )
        return result

    def _keep_at(self, edge: Any) -> None:
        """Let `retain_grad` keep the gradient of what this Tensor becomes, as PyTorch does."""
        node, index = self.edge or (None, 0)
        for at, hooks in (node and node.hooks) or ():
            for key, hook in [*hooks.items()]:
                if at == index and isinstance(hook, _Keep) and hook.tensor() is self:
                    del hooks[key]
                    self.edge = edge
                    self._hook_table()[key] = hook

    # -- leaving the tape

    @refusing
    def item(self) -> Any:
        """The value of a Tensor of one element, as a Python number."""
        return item(self.array)

    def numpy(self, *, force: bool = False) -> Any:
        """The values as a NumPy array on the host.

        Args:
            force: take the values of a Tensor on the tape too.

        Raises: GradientError while on the tape, unless forced.
        """
        if not isinstance(force, bool):
            raise DTypeError(f"expects force as True or False, got {force!r:.60}", subject="numpy()")
        return to_numpy(self.array if force else self.off_tape("numpy()"))

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return to_numpy(self.array).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        values = to_numpy(self.off_tape("conversion to NumPy"))
        if dtype is not None and dtype != values.dtype:
            if copy is False:
                raise ShapeError(
                    f"cannot give {dtype_name(self.dtype)} as {dtype} without a copy", subject="a Tensor"
                )
            return values.astype(dtype)
        return values.copy() if copy else values

    def __bool__(self) -> bool:
        return bool(self._only("bool()", "Use .any() or .all()"))

    def __int__(self) -> int:
        return int(self._only("int()"))

    def __float__(self) -> float:
        return float(self._only("float()"))

    def __complex__(self) -> complex:
        return complex(self._only("complex()"))

    def __index__(self) -> int:
        return self._only("an index").__index__()

    def _only(self, what: str, hint: str = "Index one, or use .tolist()") -> Array:
        """The single element, without axes."""
        if not self.array.shape:
            return self.array
        if self.size != 1:
            raise ShapeError(
                f"expects a Tensor of one element, got the shape {self.shape}", subject=what, hint=hint
            )
        return namespace(self.array).reshape(self.array, ())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d Tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d Tensor")
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index=index)

    def __contains__(self, value: Any) -> bool:
        found = self == value
        if not isinstance(found, TensorBase):
            raise DTypeError(f"expects a number or an array, got {value!r:.80}", subject="`in` on a Tensor")
        return bool(namespace(self.array).any(found.array))

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        asked = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        options = {name: value for name, value in asked.items() if value is not None}
        return self.off_tape("DLPack export").__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec) if self.shape else format(self.item(), spec)

    def __repr__(self) -> str:
        return f"tensor({text_of(self.array, len('tensor('), self._notes())})"

    def _repr_html_(self) -> str:
        """What notebooks show: shape, element type and place above the values."""
        place = [f"shape {tuple(self.shape)}", dtype_name(self.dtype), str(backend_of(self.array))]
        place += [str(self.device)] if concrete(self.array) else []
        return html_of(", ".join(place), repr(self))

    def _notes(self) -> list[str]:
        """What `repr` says of it beside its values."""
        notes, empty, kind = [], size_of(self.shape) == 0, dtype_name(self.dtype)
        if backend_of(self.array) is not get_backend():
            notes.append(f"backend='{backend_of(self.array)}'")
        if concrete(self.array) and "cpu" not in str(self.device).lower():
            notes.append(f"device='{self.device}'")
        if empty and self.ndim != 1:
            notes.append(f"size={self.shape}")
        if kind not in (("float32",) if empty else ("float32", "complex64", "int64", "bool")):
            notes.append(f"dtype=xpnn.{kind}")
        if self.edge is not None:
            notes.append(f"grad_fn=<{self.edge[0].primitive.name}>")
        elif self._requires_grad:
            notes.append("requires_grad=True")
        return notes

    def __reduce__(self) -> tuple[Any, ...]:
        if self.edge is not None:
            raise GradientError("only leaf Tensors can be copied or pickled", hint="Call detach() first")
        return _rebuild, (type(self), self.array, self._requires_grad, self.grad), vars(self) or None


def _of_numbers(data: Any) -> Array:
    """The raw array of what is none: real numbers of Python's become the default element type."""
    array = asarray(data)
    xp = namespace(array)
    if not isinstance(data, list | tuple | range | float | bool) or xp.isdtype(
        array.dtype, "complex floating"
    ):
        return array
    return xp.astype(array, default_dtype(xp), copy=False)


class _Keep:
    """The hook of `retain_grad`; the node that holds it must not keep the Tensor alive, nor be kept by it."""

    runs_last = True

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)

    def __call__(self, gradient: Tensor) -> None:
        tensor = self.tensor()
        if tensor is not None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient


def retained(hooks: dict[int, Callable]) -> Tensor | None:
    """The Tensor whose gradient `retain_grad` keeps, given the hooks on a result; None if there is none."""
    for hook in hooks.values():
        tensor = hook.tensor() if isinstance(hook, _Keep) else None
        if tensor is not None:
            return tensor
    return None


def _rebuild(kind: type[Tensor], data: Array, requires_grad: bool, gradient: Tensor | None) -> Tensor:
    copy = kind.__new__(kind)
    Tensor.__init__(copy, data, requires_grad)
    copy.grad = gradient
    return copy


def _binary(operation: Callable, left: Any, right: Any) -> Any:
    """Apply a binary primitive; NumPy scalars count as Python's, so that they never widen float32."""
    other = right if isinstance(left, Tensor) else left
    if type(other) not in _NUMBERS and not isinstance(other, TensorBase):
        scalar = python_scalar(other)
        if scalar is other and not is_array(other):
            return NotImplemented
        if left is other:
            left = scalar
        else:
            right = scalar
        other = scalar
    return operation(left, right)


def _compare(left: Tensor, right: Any, operation: Callable) -> Any:
    """Apply an operator whose result carries no gradient. Lists of numbers are compared as arrays."""
    array = left.array
    if isinstance(right, TensorBase):
        right = right.array
    elif type(right) not in _NUMBERS:
        right = python_scalar(right)
        if isinstance(right, list | tuple):
            right = _beside(array, right)
        if type(right) not in _NUMBERS and not is_array(right):
            return NotImplemented
    try:
        return compare(operation, array, right)
    except REFUSALS as error:
        explain_refusal(error, operation.__name__, (left, right))
        raise


def _beside(array: Array, values: Sequence[Any]) -> Any:
    """Nested lists of numbers as an array to be compared with `array`; None if they are something else."""
    try:
        host = to_numpy(values)
    except DTypeError:
        return None
    whole = namespace(array).isdtype(array.dtype, ("integral", "bool"))
    if whole or any(map(is_array, values)):
        return move(host, backend_of(array), device_of(array))
    return namespace(array).asarray(values, dtype=array.dtype, device=device_of(array))
