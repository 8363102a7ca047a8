"""NaN, infinities, zeros and the kinks of activations, in every function that has a case: as in PyTorch.

One number of an input is replaced at a time. Gradients are those of PyTorch where these are finite, and not
finite where they are not. At a NaN itself they may be NaN: PyTorch's depend on the length of the array there.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from cases.case import Case, all_cases, describe
from targets import CHOSEN, Target
from test_cases import as_tuple, is_float, seeds

import xpnn.functional as F
from xpnn.autograd import Tensor, grad, ops
from xpnn.backend import XpnnError, reference_only

CASES = [case for case in all_cases() if case.torch is not None and case.extremes]

# The other libraries run the same lines, and slowly.
LIBRARIES = ("numpy", "torch")

VALUES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 1e-30)
HUGE = (1e30, -1e30)  # float32 has no room for the square

# What does not count has no gradient, where PyTorch's is NaN: it multiplies by zero what is not finite.
IGNORING = (
    *("cross_entropy", "multi_margin_loss", "multilabel_margin_loss", "pairwise_distance"),
    "attention_with_weights",
)

# The gradient is the limit, where PyTorch's is NaN: it divides infinity by infinity.
LIMITS = ("softsign",)

Seeds = Callable[[Iterable[tuple[int, ...]]], list[np.ndarray]]
Results = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        if "backend" in metafunc.fixturenames:
            metafunc.parametrize("backend", metafunc.config.stash[CHOSEN], ids=str, indirect=True)
        return
    everything = metafunc.config.getoption("--slow")
    runs = [
        pytest.param(case, options, target, id=f"{target}-{case}-{describe(options)}")
        for target in metafunc.config.stash[CHOSEN]
        if target.name in LIBRARIES
        for case in CASES
        for options in (case.options if everything else case.options[:1])
    ]
    metafunc.parametrize(("case", "options", "backend"), runs, indirect=["backend"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of what is not finite
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_extreme_values(case: Case, options: dict[str, Any], backend: Target) -> None:
    pytest.importorskip("torch")
    inputs = case.arrays(**options)
    places = [i for i in case.gradient_positions(inputs) if i in case.extremes and inputs[i].size]
    for place, value, above in itertools.product(places, VALUES + HUGE, (seeds, with_infinity)):
        check(case, options, inputs, places, place, value, above, backend)
    inputs = tuple(x.astype(np.float32) if is_float(x) else x for x in inputs)
    if backend.name == "torch" and case.name == "gelu":
        return  # PyTorch's routine for eight numbers at a time makes NaN of infinity
    for place, value in itertools.product(places, VALUES):
        check(case, options, inputs, places, place, value, seeds, backend)


def check(
    case: Case,
    options: dict[str, Any],
    inputs: Sequence[Any],
    places: Sequence[int],
    place: int,
    value: float,
    above: Seeds,
    backend: Target,
) -> None:
    changed = list(inputs)
    changed[place] = inputs[place].copy()
    changed[place].flat[0] = value
    what = f"{value} in input {place}, {inputs[place].dtype}, from above {above.__name__}"
    try:
        outputs, gradients = of_torch(case, options, changed, places, above)
    except (RuntimeError, ValueError):  # a probability of 3
        with pytest.raises(XpnnError):
            of_backend(case, options, changed, places, above, backend)
        return
    rtol, atol = (1e-6, 1e-9) if inputs[place].dtype == np.float64 else (1e-3, 1e-4)
    y, gx = of_backend(case, options, changed, places, above, backend)
    for one, other in zip(y, outputs, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol, err_msg=f"output, {what}")
    for i, one, other in zip(places, gx, gradients, strict=True):
        agree = np.isclose(one, other, rtol=rtol, atol=atol, equal_nan=True)
        agree |= ~np.isfinite(one) & ~np.isfinite(other)
        agree |= np.isnan(one) & np.isnan(changed[i])
        if case.name.startswith(IGNORING):
            agree |= (one == 0) & np.isnan(other)
        if case.name in LIMITS:
            agree |= np.isfinite(one) & np.isnan(other) & ~np.isnan(changed[i])
        assert agree.all(), f"gradient of input {i}, {what}: {one[~agree]}, not {other[~agree]}"


def of_backend(
    case: Case,
    options: dict[str, Any],
    inputs: Sequence[Any],
    places: Sequence[int],
    above: Seeds,
    backend: Target,
) -> Results:
    """The outputs, and the gradients of the inputs at these places."""
    args = [
        None if x is None else Tensor(backend.array(x), requires_grad=i in places)
        for i, x in enumerate(inputs)
    ]
    outputs = as_tuple(case.function(*args, **options))
    smooth = [y for y in outputs if y.requires_grad]
    given = [
        Tensor(backend.array(g)).to(dtype=y.dtype) for g, y in zip(above(y.shape for y in smooth), smooth)
    ]
    found = grad(smooth, [args[i] for i in places], given, allow_unused=True)
    return [backend.numpy(y.detach()) for y in outputs], [
        np.zeros_like(inputs[i]) if g is None else backend.numpy(g) for i, g in zip(places, found)
    ]


def of_torch(
    case: Case, options: dict[str, Any], inputs: Sequence[Any], places: Sequence[int], above: Seeds
) -> Results:
    """The same of PyTorch, of arrays with gaps: it then computes each element alone, as it does on a GPU."""
    import torch

    assert case.torch is not None
    args = [None if x is None else torch.tensor(np.stack([x, x], axis=-1))[..., 0] for x in inputs]
    for i in places:
        args[i].requires_grad_()
    outputs = as_tuple(case.torch(torch, *args, **options))
    smooth = [y for y in outputs if y.requires_grad]
    given = [torch.tensor(g).to(y.dtype) for g, y in zip(above(tuple(y.shape) for y in smooth), smooth)]
    found = torch.autograd.grad(smooth, [args[i] for i in places], given, allow_unused=True)
    return [y.detach().numpy() for y in outputs], [
        np.zeros_like(inputs[i]) if g is None else g.numpy() for i, g in zip(places, found)
    ]


def with_infinity(shapes: Iterable[tuple[int, ...]]) -> list[np.ndarray]:
    """`seeds`, the first of each infinite."""
    arrays = seeds(shapes)
    for array in arrays:
        array[(*(slice(1) for _ in array.shape),)] = np.inf
    return arrays


INF, NAN = np.inf, np.nan

# The image, padding, and the right winners of a window of 2 x 2 or, with padding, of 3 x 3 at stride 2.
POOLED = {
    "all -inf": ([[-INF, -INF], [-INF, -INF]], 0, 0),
    "all -inf in padding": ([[-INF, -INF], [-INF, -INF]], 1, 0),
    "NaN": ([[1.0, NAN], [3.0, 2.0]], 0, 1),
    "NaN before infinity": ([[NAN, INF], [3.0, 2.0]], 1, 0),
    "NaN after infinity": ([[INF, 1.0], [3.0, NAN]], 0, 3),
    "several NaN": ([[INF, NAN], [NAN, 1.0]], 0, 2),
    "all NaN in padding": ([[NAN, NAN], [NAN, NAN]], 1, 3),
    "equal": ([[-INF, 2.0], [2.0, -INF]], 0, 1),
}


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("kernels", ["kernels", "reference"])
@pytest.mark.parametrize("order", ["straight", "channels last"])
def test_winners_of_max_pool(
    name: str, kernels: str, order: str, backend: Target, compiled_kernels: None
) -> None:
    """NaN wins, padding never, the first of equals: in the value, the index and the gradient."""
    image, padding, winner = POOLED[name]
    x = np.tile(np.asarray(image, np.float32), (2, 5, 1, 1))
    if order == "channels last":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    tensor = Tensor(backend.array(x), requires_grad=True)
    with reference_only() if kernels == "reference" else contextlib.nullcontext():
        y, indices = F.max_pool2d(tensor, 3 if padding else 2, 2, padding, return_indices=True)
        (gx,) = grad(ops.sum(y), tensor)
    expected = np.zeros(4)
    expected[winner] = 1
    assert (backend.numpy(indices) == winner).all()
    np.testing.assert_array_equal(backend.numpy(y.detach()).ravel(), x.reshape(10, 4)[:, winner])
    np.testing.assert_array_equal(backend.numpy(gx).reshape(10, 4), np.tile(expected, (10, 1)))


def test_relu_lets_nan_pass(backend: Target, compiled_kernels: None) -> None:
    """Both ways, in kernels for few and for many numbers, and in batch norm that takes a relu with it."""
    for count in (6, 6000):
        values = np.resize(np.asarray([NAN, -1.0, 2.0, 0.0, INF, -INF], np.float32), count)
        x = Tensor(backend.array(values), requires_grad=True)
        y = F.relu(x)
        (gx,) = grad(y, x, Tensor(backend.array(np.full(count, 3.0, np.float32))))
        np.testing.assert_array_equal(backend.numpy(y.detach()), np.maximum(values, 0))
        np.testing.assert_array_equal(backend.numpy(gx), np.resize([3.0, 0, 3, 0, 3, 0], count))


def test_nan_of_one_window_stays_there(backend: Target) -> None:
    """Adaptive pooling takes no part of what a window does not see."""
    image = np.ones((1, 1, 5, 5))
    image[0, 0, 4, 4] = NAN
    y = backend.numpy(F.adaptive_avg_pool2d(backend.array(image), 3))
    np.testing.assert_array_equal(np.isnan(y[0, 0]), [[False] * 3, [False] * 3, [False, False, True]])


def test_padding_of_sequences_never_counts(backend: Target) -> None:
    """NaN behind the end of a sequence reaches neither results nor gradients."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 2))
    x[2, 1] = NAN
    weights = [backend.array(rng.standard_normal(shape)) for shape in ((3, 2), (3, 3))]
    tensor = Tensor(backend.array(x), requires_grad=True)
    y, h = F.rnn_tanh(tensor, None, weights, has_biases=False, lengths=[3, 2])
    (gx,) = grad(ops.sum(y) + ops.sum(h), tensor)
    for array in (y.detach(), h.detach(), gx):
        assert np.isfinite(backend.numpy(array)).all()


SINGULAR: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "sigmoid at -inf": (lambda x: x.sigmoid(), [-INF, 0.0], [0.0, 0.25]),
    "atan2 at 0, 0": (lambda x: ops.atan2(x, x), [0.0, 1.0], [0.0, 0.0]),
    "norm at 0": (lambda x: x.norm(), [0.0, 0.0], [0.0, 0.0]),
    "norm of order -1 at 0": (lambda x: x.norm(-1), [0.0, 5.0], [0.0, 0.0]),
    "std of equals": (lambda x: x.std(), [2.0, 2.0], [0.0, 0.0]),
    "max of NaN": (lambda x: x.max(), [NAN, 2.0], [1.0, 0.0]),
    "min of NaN": (lambda x: x.amin(), [NAN, 2.0], [1.0, 0.0]),
    "maximum of NaN": (lambda x: ops.maximum(x, 1.0), [NAN, 2.0], [1.0, 1.0]),
    "clamp of NaN": (lambda x: x.clamp(0.0, 3.0), [NAN, 2.0], [0.0, 1.0]),
    "logaddexp at infinity": (lambda x: ops.logaddexp(x, 0.0), [INF, -INF], [1.0, 0.0]),
    "infinite power 0": (lambda x: INF * x**0, [0.0, 2.0], [0.0, 0.0]),
    "soft margin of wrong scores": (
        lambda x: F.soft_margin_loss(x, x.new_ones(2), reduction="sum"),
        [-INF, -1e30],
        [-1.0, -1.0],
    ),
    "power 0 of NaN": (lambda x: x ** x.new_zeros(2), [NAN, 2.0], [0.0, 0.0]),
    "sinc beside 0": (lambda x: x.sinc(), [0.0, 1e-9], [0.0, -3.2898681336964524e-9]),
    "multi margin of an infinite weight": (
        lambda x: F.multi_margin_loss(x, x.new_tensor(0).long(), p=2, weight=x.new_tensor([INF, 1.0])),
        [5.0, 0.0],
        [0.0, 0.0],
    ),
    "infinite maximum": (lambda x: INF * ops.maximum(x, 1.0), [0.0, 0.5], [0.0, 0.0]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", SINGULAR)
def test_gradients_at_singular_points(name: str, backend: Target) -> None:
    function, at, expected = SINGULAR[name]
    x = Tensor(backend.array(np.asarray(at)), requires_grad=True)
    (gx,) = grad(ops.sum(function(x)), x)
    np.testing.assert_allclose(backend.numpy(gx), expected)
