"""Comparing arrays of any backend, with a message that says where they differ."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array, dtype_name, namespace, to_numpy

# Element type -> (rtol, atol): PyTorch's.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
_SHOWN = 3


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
) -> None:
    """Assert that two arrays agree: `|actual - expected| <= atol + rtol * |expected|` everywhere.

    Args:
        actual, expected: arrays of any backend, Tensors, or (nested) numbers; they need not be of the
            same library. Two tuples or two dictionaries are compared element by element.
        rtol, atol: the tolerances; None takes PyTorch's for the coarser of the two element types.
        equal_nan: whether a NaN equals a NaN.
        check_dtype: whether the element types must be the same.

    Raises: AssertionError with the number of elements that differ, the greatest difference, and the
    first places.

    >>> assert_close([1.0, 2.0], [1.0, 2.0 + 1e-7])
    >>> assert_close([1.0, 2.0], [1.0, 2.5])
    Traceback (most recent call last):
    ...
    AssertionError: 1 of 2 elements differ (rtol 1.3e-06, atol 1e-05):
      at (1,): 2.0, expected 2.5
    the greatest absolute difference is 0.5, the greatest relative 0.2
    """
    options: dict[str, Any] = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan, "check_dtype": check_dtype}
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"a dictionary was expected, got {type(actual).__name__}"
        assert actual.keys() == expected.keys(), f"the keys {list(actual)} differ from {list(expected)}"
        for key in expected:
            _compare(actual[key], expected[key], f"at {key!r}: ", **options)
    elif isinstance(expected, tuple):
        assert isinstance(actual, tuple), f"a tuple was expected, got {type(actual).__name__}"
        assert len(actual) == len(expected), f"{len(actual)} arrays, expected {len(expected)}"
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            _compare(one, other, f"array {i}: ", **options)
    else:
        _compare(actual, expected, "", **options)


def _compare(
    actual: Any,
    expected: Any,
    where: str,
    *,
    rtol: float | None,
    atol: float | None,
    equal_nan: bool,
    check_dtype: bool,
) -> None:
    actual, expected = to_numpy(actual), to_numpy(expected)
    names = dtype_name(actual.dtype), dtype_name(expected.dtype)
    if actual.shape != expected.shape:
        raise AssertionError(f"{where}shape {actual.shape}, expected {expected.shape}")
    if check_dtype and names[0] != names[1]:
        raise AssertionError(f"{where}element type {names[0]}, expected {names[1]}")
    default_rtol, default_atol = max(_TOLERANCES.get(name, (0.0, 0.0)) for name in names)
    rtol = default_rtol if rtol is None else rtol
    atol = default_atol if atol is None else atol

    wrong = _differing(actual, expected, rtol, atol, equal_nan)
    if not wrong.any():
        return
    lines = [f"{where}{int(wrong.sum())} of {wrong.size} elements differ (rtol {rtol:g}, atol {atol:g}):"]
    for index in _places(wrong):
        place = f"at {index}: " if index else ""
        lines.append(f"  {place}{actual[index]}, expected {expected[index]}")
    lines.append(_greatest(actual, expected, wrong))
    raise AssertionError("\n".join(lines))


def _differing(actual: Array, expected: Array, rtol: float, atol: float, equal_nan: bool) -> Array:
    """Where two NumPy arrays of one shape disagree; infinities must be equal, of the same sign."""
    xp = namespace(actual)
    exact = actual == expected
    if not (_is_inexact(actual) or _is_inexact(expected)):
        return xp.asarray(~exact)
    difference, limit = _difference(actual, expected), atol + rtol * abs(expected)
    close = exact | (xp.isfinite(expected) & (difference <= limit))
    if equal_nan:
        close |= xp.isnan(actual) & xp.isnan(expected)
    return xp.asarray(~close)


def _difference(actual: Array, expected: Array) -> Array:
    """|actual - expected| without the warnings for the places where both are infinite."""
    xp = namespace(actual)
    finite = xp.isfinite(actual) & xp.isfinite(expected)
    zero = xp.zeros_like(expected)
    difference = abs(xp.where(finite, actual, zero) - xp.where(finite, expected, zero))
    return xp.where(finite, difference, xp.asarray(float("inf"), dtype=difference.dtype))


def _greatest(actual: Array, expected: Array, wrong: Array) -> str:
    xp = namespace(expected)
    if not _is_inexact(actual) and not _is_inexact(expected):
        actual, expected = xp.astype(actual, xp.float64), xp.astype(expected, xp.float64)
    absolute = _difference(actual, expected)[wrong]
    scale = abs(expected[wrong])
    usable = (scale > 0) & xp.isfinite(scale)
    relative = (absolute[usable] / scale[usable]).max() if usable.any() else float("inf")
    return f"the greatest absolute difference is {absolute.max():.3g}, the greatest relative {relative:.3g}"


def _is_inexact(array: Array) -> bool:
    return dtype_name(array.dtype) in _TOLERANCES


def _places(wrong: Array) -> list[tuple[int, ...]]:
    """The indices of the first true elements."""
    if wrong.ndim == 0:
        return [()]
    return list(zip(*(axis[:_SHOWN].tolist() for axis in wrong.nonzero()), strict=True))
