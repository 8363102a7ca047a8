"""How Tensors are printed: as PyTorch prints its own.

All numbers of a Tensor have one width and one notation: whole numbers with a dot, four digits, or powers of
ten where the numbers differ by more than three orders of magnitude. Large Tensors are shown by their edges.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import Any

from xpnn.backend import ArgumentError, Array, concrete, dtype_name, size_of, to_numpy

# Largest ratio of two numbers, largest and smallest number that are written without a power of ten.
_RATIO, _LARGE, _SMALL = 1e3, 1e8, 1e-4

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
_options: dict[str, Any] = {**_PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How Tensors are printed from now on; what is None stays as it is, but `sci_mode`.

    Args:
        precision: digits after the point (4). threshold: from how many elements on only the edges are shown.
        edgeitems: how many at each edge (3). linewidth: characters in a line (80).
        profile: "default", "short" or "full", which sets the others first.
        sci_mode: whether powers of ten are used; None decides by the numbers.

    Raises: ArgumentError for another profile.

    >>> from xpnn.autograd import tensor
    >>> set_printoptions(precision=2)
    >>> tensor(3.14159)
    tensor(3.14)
    >>> set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ArgumentError(
                f"expects profile 'default', 'short' or 'full', got {profile!r}", subject="set_printoptions"
            )
        _options.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ArgumentError(
                f"expects {name} as a number of at least 0, got {value!r}", subject="set_printoptions"
            )
        _options[name] = value
    _options["sci_mode"] = sci_mode


def text_of(array: Array, indent: int, notes: list[str]) -> str:
    """The values of an array in lines, and `notes` after them.

    Args:
        indent: characters before the text in its first line.
    """
    if not concrete(array):
        values = str(array)
    elif size_of(array.shape) == 0:
        values = "[]"
    else:
        host = to_numpy(array)
        summarised = size_of(array.shape) > _options["threshold"]
        shown = _edges(host) if summarised else host
        kind = dtype_name(array.dtype)
        flat = shown.reshape(-1).tolist()
        write = _complex_writer(flat) if kind.startswith("complex") else _writer(flat)
        values = _nested(host, indent, summarised, write)
    return _with_notes(values, indent, notes)


def html_of(title: str, text: str) -> str:
    """What a notebook shows for a Tensor that is printed so.

    >>> html_of("shape ()", "tensor(1.)")
    '<div><small>shape ()</small><pre>tensor(1.)</pre></div>'
    """
    return f"<div><small>{html.escape(title)}</small><pre>{html.escape(text)}</pre></div>"


def _edges(values: Any) -> Any:
    """The elements that are shown of an array that is too large to be shown whole."""
    edge = _options["edgeitems"]
    for axis in range(values.ndim):
        n = values.shape[axis]
        if n > 2 * edge:
            values = values.take([*range(edge), *range(n - edge, n)], axis=axis)
    return values


def _nested(values: Any, indent: int, summarised: bool, write: Callable[[Any], str]) -> str:
    """Lists in lists; the rows of a matrix stand one below the other."""
    if values.ndim == 0:
        return write(values.item())
    n, edge = values.shape[0], _options["edgeitems"]
    cut = summarised and n > 2 * edge
    places = [*range(edge), *range(n - edge, n)] if cut else [*range(n)]
    if values.ndim == 1:
        words = [write(values[i].item()) for i in places]
        if cut:
            words.insert(edge, " ...")
        width = max((len(word) for word in words if word != " ..."), default=3) + 2
        row = max(1, (_options["linewidth"] - indent) // width)
        lines = [", ".join(words[i : i + row]) for i in range(0, len(words), row)]
        return "[" + f",\n{' ' * (indent + 1)}".join(lines) + "]"
    parts = [_nested(values[i], indent + 1, summarised, write) for i in places]
    if cut:
        parts.insert(edge, "...")
    gap = "\n" * (values.ndim - 1) + " " * (indent + 1)
    return "[" + f",{gap}".join(parts) + "]"


def _writer(values: list[Any]) -> Callable[[Any], str]:
    """What writes each of the values in one width and notation."""
    if not values or not isinstance(values[0], float):
        width = max((len(str(value)) for value in values), default=1)
        return lambda value: str(value).rjust(width)
    precision, by_power = _options["precision"], _options["sci_mode"]
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    whole = all(size == math.ceil(size) for size in sizes)
    if by_power is None:
        by_power = bool(sizes) and (
            max(sizes) / min(sizes) > _RATIO or max(sizes) > _LARGE or (min(sizes) < _SMALL and not whole)
        )

    def word(value: float) -> str:
        if by_power:
            return f"{value:.{precision}e}"
        if whole:
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{precision}f}"

    width = max((len(word(value)) for value in values if math.isfinite(value) and value != 0), default=1)
    return lambda value: word(value).rjust(width)


def _complex_writer(values: list[complex]) -> Callable[[complex], str]:
    real = _writer([value.real for value in values])
    imaginary = _writer([value.imag for value in values])

    def write(value: complex) -> str:
        part = imaginary(value.imag).lstrip() + "j"
        return real(value.real) + (part if part[0] in "+-" else f"+{part}")

    return write


def _with_notes(values: str, indent: int, notes: list[str]) -> str:
    """The notes after the values, or below them where the line is full."""
    length = len(values) - values.rfind("\n") + (indent if "\n" not in values else 0)
    for note in notes:
        if length + len(note) + 2 > _options["linewidth"]:
            values += f",\n{' ' * indent}{note}"
            length = indent + len(note)
        else:
            values += f", {note}"
            length += len(note) + 2
    return values
