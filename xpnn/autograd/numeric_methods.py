"""The methods of `Tensor` that compute: PyTorch's functions, and those that look like writing in place."""

from __future__ import annotations

from xpnn.autograd import functions
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.calling import in_place


class NumericMethods(TensorBase):
    """Arithmetic, comparisons, reductions and sorting as methods; each is the function of the same name."""

    __slots__ = ()

    abs = functions.abs
    abs_ = in_place(functions.abs)
    absolute = functions.absolute
    absolute_ = in_place(functions.absolute)
    add = functions.add
    add_ = in_place(functions.add)
    exp = functions.exp
    exp_ = in_place(functions.exp)
    mul = functions.mul
    mul_ = in_place(functions.mul)
