"""Random calls of PyTorch's functions on Tensors: odd shapes, memory, values, element types and options.

As in test_random_functions.py: a call is refused, by an error that says why, or computed as PyTorch computes
it in float64 from the same values, its first gradients too.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from attacks.odd import HUGE, MEMORY, ODD, SHAPES, is_clear
from attacks.test_random_functions import gap
from test_front import TABLE, changed, gradients, leaves, ours, results, theirs

import xpnn

torch = pytest.importorskip("torch")
CALLS = 6  # of each function; `--calls 2000` makes more


class Call:
    """A row of tests/cases/front, to which something was done."""

    def __init__(self, name: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.row = TABLE[name][seed % len(TABLE[name])]
        self.options, self.done = dict(self.row.options), list[str]()
        self.kind = str(self.rng.choice(["float64", "float32", "float16"], p=[0.7, 0.15, 0.15]))
        self.inputs = changed(self.row.inputs, self.change)
        plain = [i for i, x in enumerate(self.inputs) if not any(True for _ in leaves(x))]
        self.odd_option = False
        if (plain or self.options) and self.rng.random() < 0.3:
            place = self.rng.choice([*map(str, plain), *self.options])
            value = ODD[self.rng.integers(len(ODD))]
            if place.isdigit():
                values = list(self.inputs)
                values[int(place)] = value
                self.inputs = tuple(values)
            else:
                self.options[place] = value
            self.odd_option = True
            self.done.append(f"{place}={value!r}")
            self.huge = any(value is number for number in HUGE)
        else:
            self.huge = False

    def change(self, x: np.ndarray) -> np.ndarray:
        if x.dtype.kind == "f" and self.kind != "float64":
            x = x.astype(self.kind)
        for ways, chance in ((SHAPES, 0.3), (MEMORY, 0.6 if self.row.layouts else 0.0)):
            if self.rng.random() < chance:
                way = ways[self.rng.integers(len(ways))]
                x = np.asarray(way(x, self.rng))
                self.done.append(way.__name__)
        return x

    def __str__(self) -> str:
        shapes = changed(self.inputs, lambda x: f"{x.dtype.name}{list(x.shape)}")
        return f"{self.row.name}{shapes}, {self.options}, after {', '.join(self.done)}"


@pytest.mark.parametrize("name", sorted(n for n in TABLE if not n.endswith("_")))
def test_random_calls(name: str, calls: int, tally: Callable[[str, int, int], None]) -> None:
    faults = []
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        for seed in range(calls):
            call = Call(name, seed)
            fault = fault_of(call)
            if fault:
                faults.append(f"{call}: {fault}")
    tally("random calls of the front", calls, calls - len(faults))
    assert not faults, f"{len(faults)} of {calls}:\n" + "\n".join(faults[:5])


def fault_of(call: Call) -> str:
    """What is wrong with how a call ends; empty if nothing is."""
    mine = answer(call, ours(call.row.name), leaf, xpnn.grad)
    names = (*call.options, "input", "dim", "other", "size", "expects")
    if f"object has no attribute '{call.row.name}'" in str(mine):
        return ""  # the method of a Tensor, in whose place there is something else
    if isinstance(mine, Exception) and not is_clear(mine, names):
        return f"raw {type(mine).__name__}: {mine}"
    if call.huge or (isinstance(mine, Exception) and call.odd_option):
        return ""
    other = answer(call, theirs(call.row.name), torch_leaf, torch.autograd.grad)
    if isinstance(other, Exception):
        return ""  # what PyTorch refuses may be computed
    if isinstance(mine, Exception):
        by_design = any(words in str(mine) for words in NOT_OURS)
        return "" if by_design else f"refused: {mine}"
    if call.row.name in CHOICES or is_wrong_in_pytorch(call):
        return ""
    return differences("output", mine[0], other[0], call) or differences("gradient", mine[1], other[1], call)


# What PyTorch computes and xpnn refuses, as their messages say it.
NOT_OURS = (
    "expects weights of shape",  # which PyTorch does not read where there is nothing to count
    "polar expects float32 or float64",
    "gradient expects",  # coordinates, of which PyTorch takes too few
    "histogram expects a weight for each",  # which PyTorch takes in any shape
    "cholesky expects square matrices",  # which PyTorch asks for only where they have elements
    "relu expects a floating-point input",  # the activation, of which integers are a mistake
    "expects shapes that broadcast",  # which PyTorch does not ask of an index without elements
    "an index expects",  # of take_along_dim, which shows the input as often as there are indices
    "expects repeats that sum to output_size",
    "diff expects at least one axis",
    "Singular matrix",  # gradients of logarithms of 0
    "complex expects float32 or float64",  # there are no complex numbers of two halves
)


def is_wrong_in_pytorch(call: Call) -> bool:
    """Whether PyTorch's gradient is known to be none, or depends on rounding."""
    name, given = call.row.name, [*call.inputs, *call.options.values()]
    numbers = [x for x in given if isinstance(x, int | float)]
    if call.odd_option and any(not abs(x) < 1e300 for x in numbers):
        return True
    if name == "trapezoid":  # bytes, whose sums wrap around
        return any(isinstance(x, np.ndarray) and x.dtype.kind == "u" for x in given)
    if name.startswith(("var", "std")):
        return any(x == () for x in given if isinstance(x, tuple)) or "repeated" in call.done
    if name.startswith(("scatter", "index_", "put")):  # several sources for one place, or more than places
        return True
    if name == "xlogy":  # of a negative number, whose logarithm is NaN
        return any(x < 0 for x in numbers)
    # Vectors without elements; equal distances; singular values that are equal.
    words = [x for x in given if isinstance(x, str)]
    return name == "block_diag" or (name == "cdist" and math.inf in numbers) or "nuc" in words


# Functions of which PyTorch leaves open which of equal elements is meant, and how they share a gradient.
CHOICES = ("kthvalue", "median", "nanmedian", "mode", "sort", "argsort", "topk")


def differences(what: str, mine: list[np.ndarray], others: list[np.ndarray], call: Call) -> str:
    """Where arrays differ by more than rounding; gradients of nothing are zeros or missing."""
    if what == "gradient" and not (mine and others):
        return f"gradient of {call.row.name} is missing" if any(np.any(g) for g in mine + others) else ""
    if len(mine) != len(others):
        return f"{what}: {len(mine)} and {len(others)} arrays"
    for a, b in zip(mine, others):
        if a.shape != b.shape:
            return f"{what}: shapes {a.shape} and {b.shape}"
        if call.kind != "float64" or a.dtype.kind == "c":
            continue
        a, b = a.astype("f8"), b.astype("f8")
        if what == "gradient":
            a = np.where(np.isnan(b), b, a)  # 0 / 0, where nothing flows
        fault = gap(a, b, False, lenient=False)
        if fault:
            return f"{what}: {fault}"
    return ""


def leaf(x: np.ndarray, recorded: bool) -> xpnn.Tensor:
    return xpnn.Tensor(x, requires_grad=recorded and x.dtype.kind == "f")


def torch_leaf(x: np.ndarray, recorded: bool) -> Any:
    native = np.array(x, dtype="f8" if x.dtype.kind == "f" else x.dtype.newbyteorder("="), order="C")
    return torch.tensor(native, requires_grad=recorded and x.dtype.kind == "f")


def answer(call: Call, function: Any, make: Callable[..., Any], grad: Any) -> Any:
    """Outputs and gradients, or the error."""
    try:
        make = partial(make, recorded=bool(call.row.gradient))
        inputs, options = changed(call.inputs, make), changed(tuple(call.options.values()), make)
        found = results(function(*inputs, **dict(zip(call.options, options))))
        tensors = [y for y in found if hasattr(y, "requires_grad")]
        xs = [x for x in leaves(inputs) if x.requires_grad]
        slopes: list[Any] = []
        if xs and any(y.requires_grad for y in tensors):
            slopes = gradients([y for y in tensors if y.requires_grad], xs, grad, False)
        return [as_array(y) for y in tensors], [as_array(g) for g in slopes]
    except Exception as error:
        return error


def as_array(x: Any) -> np.ndarray:
    x = x.detach()
    return np.asarray(x.numpy(force=True) if isinstance(x, torch.Tensor) else xpnn.to_numpy(x))
