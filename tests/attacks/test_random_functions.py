"""Random calls of every public function: odd shapes, memory, values, element types and options.

A call ends in one of two ways. It is refused, by an error that says why; or it is computed, and then as
PyTorch computes it in float64 from the same values, gradients too, with kernels and without. What PyTorch
computes is not refused, but for what `NOT_OURS` names.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from attacks.odd import HUGE, MEMORY, ODD, SHAPES, VALUES, is_clear
from cases.case import Case, all_cases

from xpnn.autograd import Tensor, grad
from xpnn.backend import reference_only

HAS_TORCH = importlib.util.find_spec("torch") is not None
CALLS = 12  # of each function; `--calls 2000` makes more

# How far results may be from PyTorch's in float64, relative to the largest, where inputs are far from usual.
TOLERANCE = {"float64": 1e-6, "float32": 1e-2, "float16": 5e-2}

WITHOUT_ORACLE = ("batch_norm_with_statistics",)  # PyTorch's has no variance of an empty batch

FUNCTIONS: dict[str, list[Case]] = defaultdict(list)
for _case in all_cases():
    if _case.checks and _case.torch is not None and _case.name not in WITHOUT_ORACLE:
        FUNCTIONS[_case.name.split()[0]].append(_case)


class Call:
    """One call: its arrays and options, and what was done to them."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self.rng = np.random.default_rng(seed)
        self.options = dict(case.options[self.rng.integers(len(case.options))])
        self.arrays = list(case.arrays(**self.options))
        self.done: list[str] = []
        self.odd_option = bool(self.options) and self.rng.random() < 0.3
        self.huge = False
        self.kind = "float64"
        places = [i for i, x in enumerate(self.arrays) if x is not None]
        if self.odd_option:
            name, value = self.rng.choice(list(self.options)), ODD[self.rng.integers(len(ODD))]
            self.options[name] = value
            self.huge = any(value is number for number in HUGE)
            self.done.append(f"{name}={value!r}")
        if self.rng.random() < 0.5:
            self.change(self.rng.choice(places), SHAPES)
        if self.rng.random() < 0.3:
            self.kind = str(self.rng.choice(["float16", "float32"]))
            self.arrays = [
                x.astype(self.kind) if x is not None and x.dtype.kind == "f" else x for x in self.arrays
            ]
            self.done.append(self.kind)
        for i in places:
            if self.rng.random() < 0.3:
                self.change(i, VALUES)
            if self.rng.random() < 0.6:
                self.change(i, MEMORY)

    def change(self, place: int, ways: Sequence[Callable[..., Any]]) -> None:
        way = ways[self.rng.integers(len(ways))]
        self.arrays[place] = way(self.arrays[place], self.rng)
        self.done.append(f"{way.__name__} {place}")

    def __str__(self) -> str:
        shapes = [None if x is None else x.shape for x in self.arrays]
        return f"{self.case.name} of {shapes}, {self.options}, after {', '.join(self.done)}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_random_calls(name: str, calls: int, tally: Callable[[str, int, int], None]) -> None:
    cases = FUNCTIONS[name]
    faults = []
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        for seed in range(calls):
            call = Call(cases[seed % len(cases)], seed)
            fault = fault_of(call)
            if fault:
                faults.append(f"{call}: {fault}")
    tally("random calls of functions", calls, calls - len(faults))
    assert not faults, f"{len(faults)} of {calls}:\n" + "\n".join(faults[:5])


def fault_of(call: Call) -> str:
    """What is wrong with how a call ends; empty if nothing is."""
    ours = answer(call)
    with reference_only():
        reference = answer(call)
    for result in (ours, reference):
        if isinstance(result, Exception) and not is_clear(result, call.options):
            return f"raw {type(result).__name__}: {result}"
    if call.odd_option and "dropout" in call.case.name:
        return ""  # another mask every time
    if isinstance(ours, Exception) or isinstance(reference, Exception):
        if type(ours) is not type(reference) and not call.huge:
            return f"kernels: {ours!r:.200}; reference: {reference!r:.200}"
    else:
        fault = difference(ours, reference, call)
        if fault and not depends_on_rounding(call):
            return f"kernels and reference: {fault}"
    refused = isinstance(ours, Exception)
    if not HAS_TORCH or (refused and call.odd_option) or ends_pytorch(call, refused):
        return ""
    theirs = answer_of_torch(call)
    if isinstance(theirs, Exception):
        return ""  # what PyTorch refuses may be computed
    if isinstance(ours, Exception):
        by_design = any(words in str(ours) for words in NOT_OURS)
        return "" if by_design else f"refused: {ours}"
    fault = "" if wrong_in_pytorch(call) or depends_on_rounding(call) else difference(ours, theirs, call)
    if not fault or call.kind == "float64":
        return fault
    rounded = answer_of_torch(call, "f4")  # what PyTorch itself makes of so few digits
    return "" if isinstance(rounded, Exception) or difference(rounded, theirs, call) else fault


Answer = tuple[list[np.ndarray], list[np.ndarray | None]]  # outputs, and gradients of the floating inputs


def answer(call: Call) -> Answer | Exception:
    try:
        inputs = [
            x if x is None else Tensor(x, requires_grad=i in call.case.gradient_positions(call.arrays))
            for i, x in enumerate(call.arrays)
        ]
        outputs = as_list(call.case.function(*inputs, **call.options))
        leaves = [x for x in inputs if x is not None and x.requires_grad]
        roots = [y for y in outputs if y.requires_grad]
        above = [Tensor(seed_of(y.shape).astype(y.array.dtype)) for y in roots]
        found = grad(roots, leaves, above, allow_unused=True) if roots and leaves else [None] * len(leaves)
        return [y.detach().numpy() for y in outputs], [None if g is None else g.numpy() for g in found]
    except Exception as error:
        return error


def answer_of_torch(call: Call, kind: str = "f8") -> Answer | Exception:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    try:
        inputs = []
        for i, x in enumerate(call.arrays):
            if x is not None:
                native = np.array(x, dtype=kind if x.dtype.kind == "f" else x.dtype.newbyteorder("="))
                x = torch.tensor(native, requires_grad=i in call.case.gradient_positions(call.arrays))
            inputs.append(x)
        assert call.case.torch is not None
        with sdpa_kernel(SDPBackend.MATH):  # the fast way makes zeros of NaN
            outputs = as_list(call.case.torch(torch, *inputs, **call.options))
        leaves = [x for x in inputs if x is not None and x.requires_grad]
        roots = [y for y in outputs if y.requires_grad]
        above = [torch.tensor(seed_of(tuple(y.shape)), dtype=y.dtype) for y in roots]
        found = torch.autograd.grad(roots, leaves, above, allow_unused=True) if roots and leaves else ()
        return [y.detach().numpy() for y in outputs], [None if g is None else g.numpy() for g in found]
    except Exception as error:
        return error


def ends_pytorch(call: Call, refused: bool) -> bool:
    """Whether PyTorch may end the process instead of refusing the call."""
    # Functions that check nothing, or not their indices; and derivatives of nothing.
    name = call.case.name
    private = name.startswith(("lstm", "gru", "rnn", "embedding_bag", "ctc"))
    empty = any(x is not None and x.size == 0 for x in call.arrays)
    empty |= bool(call.options.get("include_last_offset")) and call.arrays[2].size == 1  # no bags
    of_nothing = (
        name.startswith(("embedding_bag", "pdist", "scaled_dot_product")) or "enable_gqa" in call.options
    )
    lost = name.startswith("grid_sample") and not np.isfinite(call.arrays[1]).all()  # in reflecting
    return call.huge or (refused and private) or (empty and of_nothing) or lost


# What PyTorch computes and xpnn refuses, as their messages say it.
NOT_OURS = (
    "without the blank",  # which PyTorch's documentation excludes, and whose gradient it gets wrong
    "of at least 2 axes (N, C, ...)",  # which PyTorch only asks for where the chance is neither 0 nor 1
    "with an axis of channels",
    "expects an attn_mask that broadcasts to",  # a larger one, which PyTorch's attention refuses too
    "adaptive_avg_pool2d expects input of 3 or 4 axes",  # which PyTorch does not ask where the size is 1
    "adaptive_avg_pool3d expects input of 4 or 5 axes",
    "at least one cell along each axis",  # of which adaptive means of size 1 are NaN in PyTorch
    "channels on axis 1, the size of",  # where the oracle is a formula that broadcasts
    "batch_norm expects residual of shape",
    "expects one-hot labels of 0 and 1",  # any integers, as weights
    "linear expects",  # where the oracle is a formula that broadcasts
    "a value for every key",  # the same
    "The input has 0 channels",  # of which weights are not read
    "bed_of_nails expects input",  # the same
    "cannot cut",  # cells that padding puts there first
    "of one shape",  # losses that would broadcast in silence, of which PyTorch warns
)


def wrong_in_pytorch(call: Call) -> bool:
    """Whether PyTorch's result is known to be wrong."""
    x, options = call.arrays[0], call.options
    if call.case.name == "conv2d same":
        # It pads another axis of a single image, and the size is not the same; the oracle pads by itself.
        return x.ndim == 3 or call.odd_option
    if call.case.name.startswith("soft_margin_loss"):
        most = [np.abs(a.astype(float)).max(initial=0) for a in call.arrays]
        return bool(most[0] * most[1] > 700)  # its exponential overflows
    if call.case.name.startswith("maxout"):
        return len(np.unique(x)) < x.size  # the first of equal numbers takes what they share
    if call.case.name.startswith("pdist"):
        return options.get("order") == np.inf  # the gradient is there several times where numbers are equal
    if call.case.name.startswith("lp_pool") and options.get("norm_type") == -0.5:
        return not np.isfinite(x).all()  # the reciprocal of a root, NaN where the power is 0
    if call.case.name == "ctc_loss of targets that are too long":
        return not np.isfinite(x).all()  # it adds up what no path goes over
    if options.get("mode") == "max" and call.case.name.startswith("embedding_bag"):
        return any(np.isnan(z).any() for z in call.arrays[:2])  # NaN wins or loses by its place in the bag
    return False


def depends_on_rounding(call: Call) -> bool:
    """Whether a digit more or less decides about NaN, infinity or a number."""
    name, arrays = call.case.name, [x for x in call.arrays if x is not None and x.dtype.kind == "f"]
    finite = all(np.isfinite(x).all() for x in arrays)
    far = any(np.abs(x.astype(float)).max(initial=0.0, where=np.isfinite(x)) > 30 for x in arrays)
    if name.startswith(("lstm", "gru")):
        return not finite and far  # a gate that is all but shut, and behind it an infinity
    if "attention" in name:  # a hidden key; a score that is NaN behind a mask; scores that all are -inf
        scale = call.options.get("scale") or 1.0
        return not finite or far or abs(scale) > 1e9  # or two that are all but equal
    if name.startswith("normalize") and call.kind != "float64":
        return call.options.get("order") == 1e300 or any(way.startswith("tiny") for way in call.done)
    if name.startswith("max_unpool"):
        return len(np.unique(call.arrays[1])) < call.arrays[1].size  # several values for one cell
    if name.startswith("conv"):
        return not np.isfinite(arrays[1]).all()  # beside zeros around the image
    # Differences of equal numbers, divided by nothing; powers of which none is left, or all.
    numbers = [value for value in call.options.values() if isinstance(value, float)]
    return call.options.get("eps") == 0.0 or 1e300 in numbers


def difference(ours: Answer, theirs: Answer, call: Call) -> str:
    """Where two answers differ by more than rounding; empty if nowhere.

    Of inputs that are not finite, results need only be not finite at the same places: whether NaN or an
    infinity depends on the order of sums. Gradients at a NaN are PyTorch's choice, function by function, and
    are held by other tests.
    """
    finite, nan = True, False
    for x in call.arrays:
        if x is not None and x.dtype.kind == "f":
            finite, nan = finite and bool(np.isfinite(x).all()), nan or bool(np.isnan(x).any())
    if not finite and call.options.get("relu"):
        return ""  # which makes 0 of minus infinity, and NaN of NaN
    gradients = [] if nan else [("gradient", ours[1], theirs[1])]
    for what, mine, others in (("output", ours[0], theirs[0]), *gradients):
        for i, (x, y) in enumerate(zip(mine, others, strict=False)):
            if x is None or y is None:
                if any(g is not None and np.any(g != 0) for g in (x, y)):
                    return f"{what} {i}: {x} and {y}"
                continue
            if x.shape != y.shape:
                return f"{what} {i}: shapes {x.shape} and {y.shape}"
            fault = gap(x, y, finite, lenient=what == "gradient")
            if fault:
                return f"{what} {i}: {fault}"
    return ""


def gap(x: np.ndarray, y: np.ndarray, finite: bool, lenient: bool) -> str:
    if x.dtype.kind != "f":
        return "" if np.array_equal(x, y) else f"{x} and {y}"
    x, y = np.atleast_1d(x, y.astype(x.dtype))
    if not finite:
        x, y = (np.where(np.isfinite(z), z, np.nan).astype(x.dtype) for z in (x, y))
    most = 0.95 * float(np.finfo(x.dtype).max)
    x, y = (np.where(np.abs(z) > most, np.copysign(np.inf, z), z).astype(x.dtype) for z in (x, y))
    finite = np.abs(y[np.isfinite(y)].astype(float))
    bound = TOLERANCE[x.dtype.name] * max(1.0, finite.max(initial=0.0))
    apart = ~np.isclose(x.astype(float), y.astype(float), rtol=bound, atol=bound, equal_nan=True)
    if lenient:  # of a logarithm that is cut off PyTorch's gradient is infinite
        apart &= ~np.isfinite(x) | np.isfinite(y)
    if not apart.any():
        return ""
    where = tuple(int(i) for i in np.argwhere(apart)[0])
    return f"{x[where]} and {y[where]} at {where}"


def seed_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(1).standard_normal(shape))


def as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]
