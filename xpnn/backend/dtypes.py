"""Element types by name, of no library: `xpnn.float32` is right on every backend.

A `DType` is equal to its name, and to the element type of that name of any library. So it can be given
wherever a name can, and `t.dtype == xpnn.float32` holds whatever library `t` is of.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from xpnn.backend.errors import DTypeError

_NAMES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)
# What is not to be computed from the number of bits: largest number, smallest normal, step at 1, digits.
_BFLOAT16 = (3.3895313892515355e38, 2.0**-126, 2.0**-7, 0.01)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def dtype_name(dtype: Any) -> str:
    """The standard's name of an element type of any library.

    >>> dtype_name(np.float32), dtype_name("float64"), dtype_name(DType("float32"))
    ('float32', 'float64', 'float32')
    """
    if isinstance(dtype, DType):
        return dtype.name
    if isinstance(dtype, str):
        return dtype
    try:
        return _names_of[type(dtype)][dtype]
    except (KeyError, TypeError):  # one that is new here, or cannot be hashed
        return _find_name(dtype)


def _find_name(dtype: Any) -> str:
    if dtype is None:  # which NumPy takes for float64
        raise DTypeError("expected a dtype, got None", hint="For example 'float32'")
    found = dtype.name if isinstance(dtype, np.dtype) else str(dtype).rpartition(".")[2].strip("'> ")
    if found not in _NAMES:
        try:
            found = np.dtype(dtype).name
        except (TypeError, ValueError):
            raise DTypeError(f"expected a dtype, got {dtype!r:.60}", hint="For example 'float32'") from None
    if isinstance(dtype, Hashable):
        _names_of.setdefault(type(dtype), {})[dtype] = found
    return found


class DType:
    """An element type, such as `xpnn.float32`.

    There is one object of each name. Its hash is that of its name. It is no string: the standard's functions
    take strings for kinds of element types. What NumPy's element type has beside this (`kind`, `type`, `char`
    ...) is found here, too.

    Attributes:
        name: its name, as a string.
        itemsize: the bytes of an element.
        is_floating_point: whether it is of real floating-point numbers.
        is_complex: whether it is of complex numbers.

    >>> float32 = DType("float32")
    >>> float32 == np.dtype("float32"), float32 == "float32", float32 == np.int32
    (True, True, False)
    >>> float32, float32.kind
    (xpnn.float32, 'f')
    """

    __slots__ = ("is_complex", "is_floating_point", "itemsize", "name")

    name: str
    itemsize: int
    is_floating_point: bool
    is_complex: bool

    def __new__(cls, dtype: Any) -> DType:
        """The element type of that name, or of a library."""
        name = dtype_name(dtype)
        if (cls, name) in _made:
            return _made[cls, name]
        if name not in _NAMES:
            raise DTypeError(f"expects one of {', '.join(_NAMES)}, got {name!r:.60}", subject="DType")
        made = super().__new__(cls)
        made.name, made.is_floating_point = name, "float" in name
        made.is_complex = name.startswith("complex")
        made.itemsize = 1 if name == "bool" else int(name.lstrip(_LETTERS)) // 8
        return _made.setdefault((cls, name), made)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.name == "bfloat16":
            raise AttributeError(f"{self} has no attribute {name!r}")
        return getattr(np.dtype(self.name), name)

    @property
    def dtype(self) -> np.dtype:
        """NumPy's element type of that name: where NumPy is given this one, it asks for it."""
        try:
            return np.dtype(self.name)
        except TypeError as error:  # bfloat16, unless a library has told NumPy of it
            raise AttributeError(f"NumPy has no {self}") from error

    @property
    def is_signed(self) -> bool:
        """Whether it has negative numbers."""
        return not self.name.startswith(("bool", "uint"))

    def to_real(self) -> DType:
        """The type of the real part of its numbers."""
        return DType({"complex64": "float32", "complex128": "float64"}.get(self.name, self.name))

    def to_complex(self) -> DType:
        """The type of the complex numbers whose real part is of this type."""
        return DType({"float64": "complex128", "complex128": "complex128"}.get(self.name, "complex64"))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, DType):
            return self.name == other.name
        try:
            return self.name == dtype_name(other)
        except DTypeError:
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return f"xpnn.{self.name}"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return DType, (self.name,)


def shown_dtype(dtype: Any) -> Any:
    """A library's element type as Tensors show it: the `DType` of its name; one that has none, as it is.

    >>> shown_dtype(np.dtype("float32")), shown_dtype(np.dtype(">f4"))
    (xpnn.float32, dtype('>f4'))
    """
    shown = shown_dtypes.setdefault(type(dtype), {})
    if dtype not in shown:
        native = getattr(dtype, "isnative", True)  # of the byte order of this machine
        shown[dtype] = DType(dtype) if native and dtype_name(dtype) in _NAMES else dtype
    return shown[dtype]


def get_default_dtype() -> DType:
    """The element type that Python's floats become, and that new Tensors and parameters have."""
    return _default[0]


def set_default_dtype(d: Any) -> None:
    """Make new Tensors and parameters of this floating-point type, in the whole process.

    Raises: DTypeError for what is no floating-point type.

    >>> set_default_dtype("float64")
    >>> get_default_dtype()
    xpnn.float64
    >>> set_default_dtype("float32")
    """
    dtype = DType(d)
    if not dtype.is_floating_point:
        raise DTypeError(f"expects a floating-point dtype, got {dtype}", subject="set_default_dtype")
    _default[:] = [dtype]


def promote_types(type1: Any, type2: Any) -> DType:
    """The smallest type that holds the numbers of both; of an integer and a floating type the latter.

    >>> promote_types("int64", "float16"), promote_types("uint8", "int8")
    (xpnn.float16, xpnn.int16)
    """
    one, other = DType(type1), DType(type2)
    if one == other:
        return one
    for fractions, whole in ((one, other), (other, one)):
        if _rank(fractions) > 1 >= _rank(whole):
            return fractions
    if one.is_complex or other.is_complex:
        wide = promote_types(one.to_real(), other.to_real())
        return wide.to_complex()
    if "bfloat16" in (one.name, other.name):  # which NumPy lacks
        other = other if one.name == "bfloat16" else one
        return DType("float32") if other.name == "float16" else other
    return DType(np.promote_types(one.name, other.name))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a conversion stays within, or goes up, the kinds bool, integer, floating, complex.

    As in PyTorch the size does not count.

    >>> can_cast("float64", "float32"), can_cast("float32", "int64")
    (True, False)
    """
    return _rank(DType(from_)) <= _rank(DType(to))


class finfo:  # noqa: N801 - PyTorch's name
    """The limits of a floating-point type; of a complex one, those of its parts.

    Attributes:
        bits: the size of a number. eps: the step from 1 to the next number.
        max, min: the largest number, and the one of the other sign.
        tiny, smallest_normal: the smallest number that has all digits.
        resolution: 10 to the power of minus the decimal digits. dtype: the name of the type.

    >>> finfo("float32").eps == 2.0**-23
    True
    """

    def __init__(self, type: Any = None) -> None:
        dtype = get_default_dtype() if type is None else DType(type).to_real()
        if not dtype.is_floating_point:
            raise DTypeError(f"expects a floating dtype, got {dtype}", subject="finfo", hint="Use iinfo")
        self.dtype, self.bits = dtype.name, 8 * dtype.itemsize
        if dtype.name == "bfloat16":
            self.max, self.tiny, self.eps, self.resolution = _BFLOAT16
        else:
            limits = np.finfo(dtype.name)
            self.max, self.tiny = float(limits.max), float(limits.smallest_normal)
            self.eps, self.resolution = float(limits.eps), 10.0**-limits.precision
        self.min, self.smallest_normal = -self.max, self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's name
    """The limits of an integer type.

    Attributes:
        bits: the size of a number. max, min: the largest and the smallest number. dtype: its name.

    >>> iinfo("int8").max
    127
    """

    def __init__(self, type: Any) -> None:
        dtype = DType(type)
        if _rank(dtype) != 1:
            raise DTypeError(f"expects an integer dtype, got {dtype}", subject="iinfo", hint="Use finfo")
        self.dtype, self.bits = dtype.name, 8 * dtype.itemsize
        self.max = 2 ** (self.bits - dtype.is_signed) - 1
        self.min = -self.max - 1 if dtype.is_signed else 0

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def _rank(dtype: DType) -> int:
    """The kind, in the order in which one gives way to the next: bool, integer, floating, complex."""
    return 0 if dtype.name == "bool" else 2 if dtype.is_floating_point else 3 if dtype.is_complex else 1


# By class and element type, as those of two libraries do not like to be compared.
shown_dtypes: dict[type, dict[Any, Any]] = {}
_names_of: dict[type, dict[Any, str]] = {}
_made: dict[tuple[type, str], DType] = {}
_default = [DType("float32")]
