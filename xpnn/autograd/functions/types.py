"""Questions about types, and PyTorch's older names of Tensors: `FloatTensor(2, 3)`, `x.type(LongTensor)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.autograd.functions import promotion
from xpnn.autograd.functions.creation import place_of, sizes_of
from xpnn.autograd.size import Size
from xpnn.backend import DType, DTypeError, asarray, is_array, python_scalar

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor

__all__ = [
    *("BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor"),
    *("HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Size", "is_complex", "is_floating_point"),
    *("is_tensor", "result_type"),
]


class TensorType(DType):
    """One of PyTorch's older names: makes Tensors of an element type, and stands for it.

    Called with whole numbers or a `Size` it gives zeros of these sizes, with a list or an array a copy of it.
    It is taken wherever an element type is, and `isinstance(t, FloatTensor)` asks for one.

    >>> LongTensor([1, 2])
    tensor([1, 2])
    >>> isinstance(LongTensor(2, 3), LongTensor), LongTensor == "int64"
    (True, True)
    """

    __slots__ = ()

    def __call__(self, *data: Any, device: Any = None) -> Tensor:
        place = place_of(device)
        if len(data) == 1 and isinstance(data[0], Size):
            return new_tensor(place.backend.xp.zeros(tuple(data[0]), **place.options(self)))
        if all(isinstance(size, int) and not isinstance(size, bool) for size in data):
            shape = sizes_of(data, {}, "a Tensor") if data else (0,)
            return new_tensor(place.backend.xp.zeros(shape, **place.options(self)))
        if len(data) != 1:
            raise DTypeError(f"expects sizes, or a list or array, got {data!r:.80}", subject="a Tensor")
        values = data[0].off_tape("a Tensor") if isinstance(data[0], TensorBase) else data[0]
        return new_tensor(asarray(values, self.name, place.device, copy=True))

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, TensorBase) and self == instance.dtype


FloatTensor, DoubleTensor, HalfTensor = map(TensorType, ("float32", "float64", "float16"))
BFloat16Tensor, BoolTensor, ByteTensor = map(TensorType, ("bfloat16", "bool", "uint8"))
CharTensor, ShortTensor, IntTensor, LongTensor = map(TensorType, ("int8", "int16", "int32", "int64"))


def is_tensor(obj: Any) -> bool:
    """Whether it is a Tensor; a raw array is none.

    >>> is_tensor(LongTensor(2)), is_tensor([1.0])
    (True, False)
    """
    return isinstance(obj, TensorBase)


def is_floating_point(input: Any) -> bool:
    """Whether the elements are real floating-point numbers.

    >>> is_floating_point(LongTensor(2))
    False
    """
    return DType(input.dtype).is_floating_point


def is_complex(input: Any) -> bool:
    """Whether the elements are complex numbers.

    >>> is_complex(LongTensor(2))
    False
    """
    return DType(input.dtype).is_complex


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The element type of an operation on two Tensors or numbers.

    Tensors with axes come first, then those without, then numbers: a later one only counts if it is of a
    higher kind (bool, integer, floating, complex).

    >>> result_type(IntTensor(2), 1.5), result_type(HalfTensor(2), 3)
    (xpnn.float32, xpnn.float16)
    """
    values = [python_scalar(value) for value in (tensor1, tensor2)]
    for value in values:
        if not is_array(value) and type(value) not in promotion.NUMBERS:
            raise DTypeError(f"expects Tensors or numbers, got {type(value).__name__}", subject="result_type")
    return DType(promotion.result_name(*values))
