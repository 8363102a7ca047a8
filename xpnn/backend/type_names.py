"""The element types under PyTorch's names: `xpnn.float32`, `xpnn.long`, `xpnn.bool` ..."""

from __future__ import annotations

from xpnn.backend.dtypes import DType

__all__ = [
    *("bfloat16", "bool", "cdouble", "cfloat", "complex64", "complex128", "double", "float", "float16"),
    *("float32", "float64", "half", "int", "int8", "int16", "int32", "int64", "long", "short"),
    *("uint8", "uint16", "uint32", "uint64"),
]

bool = DType("bool")
uint8, uint16, uint32, uint64 = map(DType, ("uint8", "uint16", "uint32", "uint64"))
int8, int16, int32, int64 = map(DType, ("int8", "int16", "int32", "int64"))
float16, bfloat16 = DType("float16"), DType("bfloat16")
float32, float64 = DType("float32"), DType("float64")
complex64, complex128 = DType("complex64"), DType("complex128")
short, int, long = int16, int32, int64
half, float, double = float16, float32, float64
cfloat, cdouble = complex64, complex128
