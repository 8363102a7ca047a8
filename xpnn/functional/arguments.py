"""What the public functions do with their arguments before any arithmetic: spell them out, check them.

Each check names the function that was called (`subject`), so that the error says where it was raised;
a module puts its own class and path there as the error passes through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

from xpnn.autograd.casting import entered, is_mixed
from xpnn.autograd.core import COMPLEX, REAL, TensorBase, carries_gradient, new_tensor
from xpnn.autograd.ops.broadcasting import broadcast_shapes
from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    cheap_to_read,
    concrete,
    dtype_name,
    is_half,
    is_integer,
    is_tensor,
    namespace,
    no_array,
    seen_in_range,
    to_numpy,
    traced_by_torch,
)

REDUCTIONS = ("none", "mean", "sum")

_KEPT_SIGNATURES = 1000
_MOST = 2**40  # elements that no memory holds


def once_per_signature(check: Callable[..., None]) -> Callable[..., None]:
    """Decorate a check of shapes, element types and options: what has passed it is not checked again.

    The arrays, or None, are given by position, the options by keyword. Most calls of a training step are like
    those of the step before, and a small layer takes hardly longer than its checks.
    """
    passed: set[tuple] = set()

    @wraps(check)
    def checked(*arrays: Any, **options: Any) -> None:
        signature: list[Any] = [*options.values(), *map(type, options.values())]  # True is equal to 1
        for array in arrays:
            if array is None:
                signature.append(None)
            else:  # with the library: element types of different ones do not like to be compared
                if isinstance(array, TensorBase):
                    array = array.array
                try:
                    dtype = array.dtype
                except AttributeError:
                    check(*arrays, **options)  # which names what is no array
                    return
                signature += (type(dtype), dtype, array.shape)
        key = tuple(signature)
        try:
            if key in passed:
                return
        except TypeError:  # an option that cannot be hashed, such as an array
            key = ()
        check(*arrays, **options)
        if key and not entered and not traced_by_torch():  # `autocast` lets pass what is a mistake elsewhere
            if len(passed) >= _KEPT_SIGNATURES:
                passed.clear()
            passed.add(key)

    return checked


def tuple_of(value: Any, count: int, name: str, subject: str, minimum: int = 0) -> tuple[int, ...]:
    """`value` as a tuple of `count` integers, each at least `minimum`; one number stands for all of them.

    >>> tuple_of(3, 2, "stride", "conv2d", minimum=1)
    (3, 3)
    >>> tuple_of((1, 2), 2, "stride", "conv2d")
    (1, 2)
    """
    if type(value) is int and value >= minimum:
        return (value,) * count
    if type(value) is tuple and len(value) == count:
        for v in value:
            if type(v) is not int or v < minimum:
                break
        else:
            return value
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    values = tuple(value) if several else (value,) * count
    if len(values) == 1:
        values *= count
    if len(values) != count or not all(_is_integer(v) for v in values):
        raise ArgumentError(
            f"expects {name} as an integer or {count} integers, got {value!r}", subject=subject
        )
    if any(v < minimum for v in values):
        raise ArgumentError(f"expects {name} of at least {minimum}, got {value!r}", subject=subject)
    return tuple(int(v) for v in values)


def pair(value: Any, name: str, subject: str, minimum: int = 0) -> tuple[int, int]:
    """`value` as (height, width): a number stands for both (see `tuple_of`).

    >>> pair(3, "kernel_size", "max_pool2d", minimum=1)
    (3, 3)
    """
    height, width = tuple_of(value, 2, name, subject, minimum)
    return height, width


def check_fits_memory(sizes: Sequence[int], given: Any, name: str, subject: str) -> None:
    """Raise an ArgumentError for an output that no memory holds, before anything is made of its size."""
    if math.prod(sizes) > _MOST:
        raise ArgumentError(f"expects {name} that fits memory, got {given!r}", subject=subject)


def axis_of(dim: int, ndim: int, subject: str, name: str = "dim") -> int:
    """`dim` counted from the front.

    Raises: IndexOutOfRangeError if there is no such axis.

    >>> axis_of(-1, 4, "softmax")
    3
    """
    dim = whole(dim, name, subject)
    if not -ndim <= dim < ndim:
        raise IndexOutOfRangeError(
            f"expects {name} between {-ndim} and {ndim - 1} for an input of {ndim} axes, got {dim}",
            subject=subject,
        )
    return dim % ndim


def check_floating(x: Any, subject: str, name: str = "input", *, or_complex: bool = False) -> None:
    """Raise a DTypeError unless `x` is an array of real floating-point numbers, or complex if allowed."""
    try:
        kind = carries_gradient(x.array if isinstance(x, TensorBase) else x)
    except AttributeError:
        raise no_array(x, subject, name) from None
    if kind != REAL and not (or_complex and kind == COMPLEX):
        raise DTypeError(
            f"expects a floating-point {name}, got {type_name(x)} in an array of shape {shape_of(x)}",
            subject=subject,
            hint="Convert it: x.to('float32') if it is a Tensor, else xpnn.asarray(x, dtype='float32')",
        )


def check_integer(x: Any, subject: str, name: str) -> None:
    """Raise a DTypeError unless `x` is an array of integers."""
    if not hasattr(x, "dtype"):
        raise no_array(x, subject, name)
    if not is_integer(x):
        raise DTypeError(
            f"expects {name} as integers, got {type_name(x)} in an array of shape {shape_of(x)}",
            subject=subject,
            hint="Convert them: x.to('int64') if it is a Tensor, else xpnn.asarray(x, dtype='int64')",
        )


def check_same_dtype(subject: str, x: Any, **others: Any) -> None:
    """Raise a DTypeError unless each of `others` that is not None has the element type of the input `x`.

    Mixed precisions would promote in silence, and a float32 network would go on in float64.
    """
    try:
        dtype = x.dtype
        types = [(name, other, other.dtype) for name, other in others.items() if other is not None]
    except AttributeError:
        given = {"input": x, **others}.items()
        name, wrong = next((n, a) for n, a in given if a is not None and not hasattr(a, "dtype"))
        raise no_array(wrong, subject, name) from None
    for name, other, came in types:
        if came is dtype:
            continue
        if type(came) is not type(dtype):
            namespace(x, other)  # two libraries: that is the mistake to name
        # array-api-strict's own are equal to none but themselves
        if came != dtype and dtype != came and not is_mixed(x, other):
            mine, its = dtype_name(dtype), dtype_name(came)
            wrong, right = ("input", its) if its == "float32" else (name, mine)
            taped = is_tensor(x if wrong == "input" else other)
            way = f"{wrong}.to('{right}')" if taped else f"xpnn.asarray({wrong}, dtype='{right}')"
            raise DTypeError(
                f"expects input and {name} of one element type, got {type_name(x)} and {type_name(other)}",
                subject=subject,
                hint=f"Convert the {wrong}: {way}",
            )


def check_affine_dtype(subject: str, x: Any, **others: Any) -> None:
    """`check_same_dtype`, but float32 beside half precision is let pass, as the norms compute in float32."""
    if is_half(x):
        others = {name: v for name, v in others.items() if v is not None and dtype_name(v.dtype) != "float32"}
    check_same_dtype(subject, x, **others)


def check_rank(x: Any, ranks: int | Sequence[int], subject: str, layout: str, name: str = "input") -> None:
    """Raise a ShapeError unless `x` has one of `ranks` axes; `layout` is what they mean, such as "NCHW"."""
    try:
        if x.ndim == ranks:
            return
    except AttributeError:
        raise no_array(x, subject, name) from None
    allowed = (ranks,) if isinstance(ranks, int) else tuple(ranks)
    if x.ndim not in allowed:
        raise ShapeError(
            f"expects {name} of {' or '.join(map(str, allowed))} axes ({layout}), "
            f"got {x.ndim} in the shape {shape_of(x)}",
            subject=subject,
        )


def check_shape(x: Any, shape: tuple[int, ...], subject: str, name: str, hint: str = "") -> None:
    """Raise a ShapeError unless `x` is None or has exactly that shape."""
    if x is None or getattr(x, "shape", None) == shape:
        return
    if shape_of(x, subject, name) != tuple(shape):
        raise ShapeError(
            f"expects {name} of shape {tuple(shape)}, got {shape_of(x)}", subject=subject, hint=hint
        )


def check_broadcasts(subject: str, **arrays: Any) -> tuple[int, ...]:
    """The shape that arrays (None is passed over) broadcast to; raises a ShapeError if they do not."""
    given = {name: shape_of(x) for name, x in arrays.items() if x is not None}
    try:
        return broadcast_shapes(*given.values())
    except ShapeError:
        shapes = ", ".join(map(str, given.values()))
        names = ", ".join(given)
        raise ShapeError(f"expects {names} of shapes that broadcast, got {shapes}", subject=subject) from None


def check_reduction(reduction: str, subject: str, allowed: Sequence[str] = REDUCTIONS) -> None:
    """Raise an ArgumentError unless `reduction` is one of "none", "mean" and "sum"."""
    if not isinstance(reduction, str) or reduction not in allowed:
        raise ArgumentError(
            f"expects reduction to be {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}, "
            f"got {reduction!r}",
            subject=subject,
        )


def number(value: Any, name: str, subject: str) -> float:
    """`value` as a float.

    Raises: ArgumentError unless it is a real number: no string, boolean, complex number or NaN.

    >>> number(2, "alpha", "elu")
    2.0
    """
    if type(value) not in (float, int) and (
        isinstance(value, bool | str | complex | type)
        or not hasattr(value, "__float__")
        or _is_several(value)
    ):
        raise ArgumentError(f"expects {name} as a number, got {value!r}", subject=subject)
    result = float(value)
    if result != result:
        raise ArgumentError(f"expects {name} as a number, got NaN", subject=subject)
    return result


def whole(value: Any, name: str, subject: str) -> int:
    """`value` as an int. Raises: ArgumentError unless it is a whole number.

    >>> whole(-100, "ignore_index", "nll_loss")
    -100
    """
    if type(value) is not int and not _is_integer(value):
        raise ArgumentError(f"expects {name} as an integer, got {value!r}", subject=subject)
    return int(value)


def check_flags(subject: str, **flags: Any) -> None:
    """Raise an ArgumentError unless each is True, False, 1 or 0: the string "False" would count as true.

    >>> check_flags("lstm", batch_first=True, bias=1)
    """
    for name, value in flags.items():
        if value is not True and value is not False and (type(value) is not int or value not in (0, 1)):
            raise ArgumentError(f"expects {name} as True or False, got {value!r}", subject=subject)


def check_eps(eps: Any, subject: str, above_zero: bool = False) -> float:
    """`eps` of a norm as a float; raises an ArgumentError if it is negative or, `above_zero`, 0."""
    result = number(eps, "eps", subject)
    if result < 0 or (above_zero and result == 0):
        raise ArgumentError(
            f"expects eps {'above' if above_zero else 'of at least'} 0, got {eps!r}", subject=subject
        )
    return result


def check_probability(p: Any, subject: str, name: str = "p") -> float:
    """`p` as a float; raises an ArgumentError unless it is a number in [0, 1]."""
    if type(p) is not float:
        p = number(p, name, subject)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"expects {name} between 0 and 1, got {p!r}", subject=subject)
    return p


def as_indices(x: Any) -> Array:
    """A raw array of the integer type that the library likes to index with, such as uint8 as int64."""
    raw = raw_array(x)
    xp = namespace(raw)
    dtype = _index_dtype(xp)
    return raw if raw.dtype == dtype else xp.astype(raw, dtype)


@cache
def _index_dtype(xp: Any) -> Any:
    return xp.__array_namespace_info__().default_dtypes()["indexing"]


def check_indices(
    indices: Array, count: int, subject: str, name: str, hint: str = "", ignored: int | None = None
) -> bool:
    """Raise an IndexOutOfRangeError that names the first raw index outside of [0, count) and its position.

    The values are read only as `seen_in_range` reads them. `ignored` is an index that is let pass.

    Returns: whether every index was seen to be in range.
    """
    if seen_in_range(indices, count):
        return True
    if not (concrete(indices) and cheap_to_read(indices)):
        return False
    values = to_numpy(indices)
    wrong = (values < 0) | (values >= count)
    if ignored is not None:
        wrong &= values != ignored
    if not wrong.any():
        return False
    position = tuple(int(where[0]) for where in wrong.nonzero()) if values.ndim else ()
    at = f" at position {position[0] if len(position) == 1 else position}" if position else ""
    raise IndexOutOfRangeError(
        f"expects {name} between 0 and {count - 1}, got {values[position]}{at}", subject=subject, hint=hint
    )


def type_name(x: Any) -> str:
    """The element type of an array, for messages."""
    native = getattr(x.dtype, "isnative", True)  # what only NumPy's have
    return dtype_name(x.dtype) if native else f"{dtype_name(x.dtype)} in another byte order"


def alike(*arrays: Any) -> tuple[Any, ...]:
    """The arrays, of which raw ones become Tensors where one is a Tensor: operators take no mixture.

    Raises: BackendMismatchError for arrays of two libraries, which operators would mix.
    """
    namespace(*arrays)
    if not any(is_tensor(x) for x in arrays):
        return arrays
    return tuple([x if is_tensor(x) else new_tensor(x) for x in arrays])


def raw_array(x: Any) -> Array:
    """The raw array of a Tensor; a raw array itself."""
    return x.array if is_tensor(x) else x


def shape_of(x: Any, subject: str = "", name: str = "an argument") -> tuple[int, ...]:
    """The shape as a plain tuple. Raises: DTypeError, which says so, for what is no array."""
    try:
        return tuple(x.shape)
    except AttributeError:
        raise no_array(x, subject, name) from None


def _is_integer(value: Any) -> bool:
    """Whether it counts as one integer; every array has `__index__`, and most raise in it."""
    if isinstance(value, bool | type) or not hasattr(value, "__index__") or _is_several(value):
        return False
    return not hasattr(value, "dtype") or is_integer(value)


def _is_several(value: Any) -> bool:
    """Whether it is an array of any but one number, which stands for none."""
    return tuple(getattr(value, "shape", ())) != ()
