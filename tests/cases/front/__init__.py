"""The rows of tests/test_front.py: what PyTorch's functions on Tensors are called with.

A file in this folder holds the rows of the functions of one file in xpnn/autograd/functions, in a list
`ROWS`. A function may have many rows. PyTorch's function, or method, of the same name is the oracle.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_random = np.random.default_rng(0)

# What most functions are given: numbers away from the points where a derivative jumps.
X = np.asarray([[0.7, -1.3, 2.1], [-0.4, 1.6, 0.25]])
Y = np.asarray([[1.2, 0.6, -1.7], [0.9, -2.3, 0.3]])
POSITIVE = np.abs(X) + 0.1
UNIT = X / 3  # between -1 and 1
ROW = np.asarray([0.5, -1.5, 2.5])
SCALAR = np.asarray(1.25)
WHOLE = np.asarray([[3, -2, 7], [0, 5, -4]])
COUNTS = np.asarray([[3, 2, 7], [1, 5, 4]])
BITS = np.asarray([[True, False, True], [False, False, True]])
CUBE = _random.standard_normal((2, 3, 4))
NAN, INF = float("nan"), float("inf")
ODD = np.asarray([0.0, -0.0, 1.0, -1.5, INF, -INF, NAN])


@dataclass(frozen=True, eq=False)
class Row:
    """One call of a function.

    Args:
        name: the function's, in xpnn and in PyTorch; one that ends in `_` exists as a method only.
        inputs: its first arguments: arrays, which become Tensors, lists of them, and whatever else stays.
        options: its other arguments, by keyword.
        gradient: whether derivatives are compared: those of the first order for 1, of the second for 2.
        half: whether results in half precision are compared with those in float64.
        edges: whether it is called with arrays of no elements and with arrays of no axes.
        in_place: whether the method that ends in `_` is called, where PyTorch has it.
        layouts: whether it is called with elements that do not lie in a row, which changes nothing.
        rtol: how far results in float64 may be off.
    """

    name: str
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    gradient: int = 2
    half: bool = True
    edges: bool = True
    in_place: bool = True
    layouts: bool = True
    rtol: float = 1e-9


def row(name: str, *inputs: Any, checks: dict[str, Any] | None = None, **options: Any) -> Row:
    """A row; `checks` holds what it says beside the call."""
    return Row(name, inputs, options, **(checks or {}))


def rows(names: str, *inputs: Any, checks: dict[str, Any] | None = None, **options: Any) -> list[Row]:
    """The same call of several functions, whose names stand between spaces."""
    return [row(name, *inputs, checks=checks, **options) for name in names.split()]


def all_rows() -> Iterator[Row]:
    """The rows of every file in this folder."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], "cases.front."):
        yield from importlib.import_module(module.name).ROWS


def checked_elsewhere() -> dict[str, str]:
    """The functions and methods that another test holds to account, and that test's file."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], "cases.front."):
        found |= getattr(importlib.import_module(module.name), "CHECKED_ELSEWHERE", {})
    return found
