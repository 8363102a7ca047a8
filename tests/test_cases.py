"""Every public function of `functional`, on every backend, against oracles that are not this code.

What is done with a case is said at `Case` (tests/cases/case.py).
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases.case import Bad, Case, all_cases, describe
from cases.refusals import SharedRefusal, shared_refusals
from halves import excess, half_types, in_float64, in_half, is_float
from targets import CHOSEN, TARGETS, Target, missing

import xpnn.functional as F
from xpnn.autograd import Tensor, grad
from xpnn.backend import (
    DTypeError,
    XpnnError,
    cheap_to_read,
    device_of,
    dtype_name,
    find_backend,
    find_kernels,
    namespace,
    reference_only,
    registered_kernels,
)
from xpnn.testing import assert_close, gradcheck, gradgradcheck

CASES = list(all_cases())
HAS_TORCH = importlib.util.find_spec("torch") is not None

# JAX compiles every operation for every shape, and strict checks every call: they would take most of the
# time. They run the same lines as the others, so that in some tests the first options of a case must do for
# them, and every third one, other ones in each test, if `--slow` is given.
SAMPLED = ("jax", "strict", "read_only", "cupy_like", "dpnp", "mlx")
THINNED = 3

# Functions whose results after the first stay in float32 beside half precision.
WITH_STATISTICS = ("batch_norm_with_statistics",)

# Public functions of no arrays: doctests hold them.
WITHOUT_CASE = {"conv_output_size", "conv_transpose_output_size", "receptive_field"}


def everywhere(case: Case, target: Target) -> bool:
    return True


def in_own_half(case: Case, target: Target) -> bool:
    """Where half precision takes another way than elsewhere."""
    return bool(half_types(target)) and not target.read_only


def differentiable(case: Case, target: Target) -> bool:
    return bool(case.gradient_positions(case.arrays(**case.options[0])))


def twice_differentiable(case: Case, target: Target) -> bool:
    return case.second_order and differentiable(case, target)


def batched(case: Case, target: Target) -> bool:
    inputs = case.arrays(**case.options[0])
    return bool(case.batched) and all(inputs[i] is not None and inputs[i].ndim for i in case.batched)


def strided(case: Case, target: Target) -> bool:
    """Where the layout of an array in memory shows."""
    return target.backend in ("numpy", "torch", "cupy")


def on_numpy(case: Case, target: Target) -> bool:
    return target.name == "numpy"


def writable(case: Case, target: Target) -> bool:
    return target.name in ("numpy", "torch", "cupy")


def on_torch(case: Case, target: Target) -> bool:
    return target.backend == "torch" and differentiable(case, target)


def on_jax(case: Case, target: Target) -> bool:
    return target.name == "jax" and differentiable(case, target)


# What JAX's kernels are for; that others have none there need not be compiled to be seen.
WITH_JAX_KERNELS = ("conv", "pool", "rnn", "lstm", "gru")


def has_kernels(case: Case, target: Target) -> bool:
    if target.name == "jax":
        return any(word in case.name for word in WITH_JAX_KERNELS)
    find_kernels(find_backend(target.backend), "")  # imports them
    return any(kernel.backend == target.backend for kernel in registered_kernels())


def chosen(test: Callable[..., None], case: Case, target: str, everything: bool) -> Sequence[dict[str, Any]]:
    """The options of a case that a test is run with on a target."""
    if target not in PLANS[test][1]:
        return case.options
    if not everything:
        return case.options[:1]
    first = list(PLANS).index(test) % min(len(case.options), THINNED)
    return case.options[first::THINNED]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test on every case, options and target that its plan (below) lets through."""
    if "case" not in metafunc.fixturenames:
        return
    targets = metafunc.config.stash[CHOSEN]
    if metafunc.function is test_refusal:
        refusals = [
            pytest.param(case, refusal, target, id=f"{target}-{case}-{i}")
            for target in targets
            for case in CASES
            for i, refusal in enumerate(case.errors)
        ]
        metafunc.parametrize(("case", "refusal", "backend"), refusals, indirect=["backend"])
        return
    if metafunc.function is test_shared_refusals:
        runs = [
            pytest.param(case, target, id=f"{target}-{case}")
            for target in targets
            for case in CASES
            if case.checks
        ]
        metafunc.parametrize(("case", "backend"), runs, indirect=["backend"])
        return
    applies, _ = PLANS[metafunc.function]
    everything = metafunc.config.getoption("--slow")
    runs = [
        pytest.param(case, options, target, id=f"{target}-{case}-{describe(options)}")
        for target in targets
        for case in CASES
        if applies(case, target)
        for options in chosen(metafunc.function, case, target.name, everything)
    ]
    metafunc.parametrize(("case", "options", "backend"), runs, indirect=["backend"])


def test_every_function_has_a_case() -> None:
    public = {name for name, value in vars(F).items() if inspect.isfunction(value)}
    public -= {name for name in public if name.endswith("_")}  # tests/test_in_place.py
    missing = public - {case.name.split()[0] for case in CASES}
    assert missing == WITHOUT_CASE, f"write a Case in tests/cases for {', '.join(missing - WITHOUT_CASE)}"


def test_forward(case: Case, options: dict[str, Any], backend: Target) -> None:
    """float64 results equal the oracles', of PyTorch and of the formula; the inputs stay as they were."""
    inputs = case.arrays(**options)
    oracles = oracles_of(case, options, inputs)
    if not oracles:
        pytest.skip("PyTorch is its one oracle, and not installed")
    arrays = [backend.array(x) for x in inputs]
    results = as_tuple(case.function(*arrays, **options))
    for oracle in oracles:
        assert len(results) == len(oracle)
        for y, expected in zip(results, oracle, strict=True):
            assert type(y) is not Tensor, "raw arrays in, raw arrays out"
            assert_on(backend, y)
            assert_close(y, expected, rtol=case.rtol, atol=case.atol, equal_nan=True, check_dtype=False)
    for x, array in zip(inputs, arrays, strict=True):
        assert x is None or np.array_equal(backend.numpy(array), x), "an input was written to"


def test_gradient(case: Case, options: dict[str, Any], backend: Target) -> None:
    """First derivatives equal PyTorch's and those by finite differences, for every subset of the inputs."""
    inputs = case.arrays(**options)
    if case.torch is not None and HAS_TORCH:
        for gradient, expected in zip(
            gradients_of(case, options, inputs, backend), torch_gradients(case, options, inputs), strict=True
        ):
            assert_on(backend, gradient)
            assert_close(gradient, expected, rtol=10 * case.rtol, atol=10 * case.atol)
    function, arrays = checkable(case, options, inputs, backend)
    gradcheck(function, arrays, atol=1e-6, rtol=1e-5, fast_mode=True)


def test_second_derivative(case: Case, options: dict[str, Any], backend: Target) -> None:
    """The gradient's gradient, which comes from the same backward code run on Tensors."""
    inputs = case.arrays(**options)
    function, arrays = checkable(case, options, inputs, backend)
    gradgradcheck(function, arrays, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_float32(case: Case, options: dict[str, Any], backend: Target) -> None:
    """float32 in, float32 out and float32 gradients, on the device of the inputs, near the float64 ones."""
    wide = case.arrays(**options)
    narrow = tuple(x.astype(np.float32) if is_float(x) else x for x in wide)
    exact = as_tuple(case.function(*wide, **options))
    results = as_tuple(case.function(*[backend.array(x) for x in narrow], **options))
    rtol, atol = case.float32
    for y, expected in zip(results, exact, strict=True):
        assert_on(backend, y)
        if case.keeps_dtype and is_float(expected):
            assert dtype_name(y.dtype) == "float32"
        assert_close(y, expected, rtol=rtol, atol=atol, equal_nan=True, check_dtype=False)
    if case.gradient_positions(wide):
        for gradient in gradients_of(case, options, narrow, backend):
            assert_on(backend, gradient)
            assert dtype_name(gradient.dtype) == "float32"


def test_half(case: Case, options: dict[str, Any], backend: Target, request: pytest.FixtureRequest) -> None:
    """float16 and bfloat16 in, the same out: what float64 gives for the same inputs, rounded.

    Large and small inputs overflow and vanish where anything but the result is in half precision.
    """
    dtypes = half_types(backend)
    if backend.name in SAMPLED and not request.config.getoption("--slow"):
        dtypes = dtypes[-1:]
    for dtype, scale in itertools.product(dtypes, (1.0, 1e3, 1e-4)):
        arrays = in_half(backend, dtype, case.arrays(**options), scale)
        inputs = [in_float64(x) for x in arrays]
        try:
            expected = with_gradients(case, options, inputs, TARGETS[0])
        except XpnnError as error:  # large numbers are no probabilities
            if all(cheap_to_read(x) for x in arrays if x is not None):
                with pytest.raises(type(error)):
                    case.function(*arrays, **options)
            continue
        results, single = with_gradients(case, options, arrays, backend), None
        for i, (y, wanted) in enumerate(zip(results, map(in_float64, expected), strict=True)):
            if case.keeps_dtype and is_float(wanted):
                is_statistic = case.name in WITH_STATISTICS and i > 0 and not isinstance(y, Tensor)
                assert dtype_name(y.dtype) == ("float32" if is_statistic else dtype)
            off = excess(in_float64(y), wanted, dtype)
            if off > 0:  # unless float32 is off as much, for example where numbers cancel out
                if single is None:
                    narrow = [x.astype(np.float32) if is_float(x) else x for x in inputs]
                    single = with_gradients(case, options, [backend.array(x) for x in narrow], backend)
                off -= 2 * np.nan_to_num(np.abs(in_float64(single[i]) - wanted)).max()
            assert off <= 0, f"result {i} in {dtype} of inputs times {scale}: {y}, expected {wanted}"


def test_strides(case: Case, options: dict[str, Any], backend: Target) -> None:
    """Transposed and gapped arrays give what contiguous ones give, gradients too."""
    inputs = case.arrays(**options)
    expected = as_tuple(case.function(*inputs, **options))
    for view in (gapped, transposed):
        results = case.function(*[None if x is None else view(backend, x) for x in inputs], **options)
        assert_close(as_tuple(results), expected, rtol=1e-9, atol=1e-11, equal_nan=True, check_dtype=False)
    if case.gradient_positions(inputs):
        straight = gradients_of(case, options, inputs, backend)
        for gradient, other in zip(
            gradients_of(case, options, inputs, backend, view=transposed), straight, strict=True
        ):
            assert_close(gradient, other, rtol=1e-9, atol=1e-11)


def test_byte_order(case: Case, options: dict[str, Any], backend: Target) -> None:
    """Raw arrays of the other byte order give what those of this one give, or an error that says so."""
    inputs = case.arrays(**options)
    expected = as_tuple(case.function(*inputs, **options))
    for i, x in enumerate(inputs):
        if x is None:
            continue
        swapped = [*inputs[:i], x.astype(x.dtype.newbyteorder()), *inputs[i + 1 :]]
        try:
            results = as_tuple(case.function(*swapped, **options))
        except DTypeError as error:
            if "byte order" in str(error):
                continue
            raise
        assert_close(results, expected, rtol=1e-9, atol=1e-11, equal_nan=True, check_dtype=False)
    tensors = [None if x is None else Tensor(x.astype(x.dtype.newbyteorder())) for x in inputs]
    results = as_tuple(case.function(*tensors, **options))
    assert_close(results, expected, rtol=1e-9, atol=1e-11, equal_nan=True, check_dtype=False)


def test_inputs_overwritten_later(case: Case, options: dict[str, Any], backend: Target) -> None:
    """The result is that of the call, whatever is written into the inputs' memory afterwards."""
    inputs = case.arrays(**options)
    for wrap in (lambda array: array, Tensor):
        arrays = [backend.array(x) for x in inputs]
        results = as_tuple(case.function(*[None if a is None else wrap(a) for a in arrays], **options))
        before = [backend.numpy(y).copy() for y in results]
        for i, array in enumerate(arrays):
            if array is not None and i not in shown_by_torch(case, options, inputs):
                array[...] = 1
        for y, expected in zip(results, before, strict=True):
            np.testing.assert_array_equal(backend.numpy(y), expected)


def test_results_are_written_into(case: Case, options: dict[str, Any], backend: Target) -> None:
    """Writing into a result reaches no input, unless PyTorch's result is a view of it."""
    inputs = case.arrays(**options)
    tensors = [None if x is None else Tensor(backend.array(x)) for x in inputs]
    for y in as_tuple(case.function(*tensors, **options)):
        if isinstance(y, Tensor) and is_float(y):
            y.add_(1.0)
    shown = shown_by_torch(case, options, inputs)
    for i, (x, tensor) in enumerate(zip(inputs, tensors, strict=True)):
        if x is not None and i not in shown:
            np.testing.assert_array_equal(backend.numpy(tensor), x)


def test_torch_autograd(case: Case, options: dict[str, Any], backend: Target) -> None:
    """PyTorch's own autograd goes through raw torch tensors: nothing that it saved is overwritten."""
    inputs = case.arrays(**options)
    places = case.gradient_positions(inputs)
    args = [to_torch(x) for x in inputs]
    for i in places:
        args[i].requires_grad_()
    outputs = [y for y in as_tuple(case.function(*args, **options)) if y.requires_grad]
    total = sum(
        (y * to_torch(seed)).sum() for y, seed in zip(outputs, seeds(y.shape for y in outputs), strict=True)
    )
    total.backward()
    expected = gradients_of(case, options, inputs, backend)
    for i, gradient in zip(places, expected, strict=True):
        found = np.zeros_like(inputs[i]) if args[i].grad is None else args[i].grad
        assert_close(found, gradient.array, rtol=1e-9, atol=1e-11)


def test_jit_with_known_arrays(case: Case, options: dict[str, Any], backend: Target) -> None:
    """jax.jit traces one argument, while the others, such as labels, are arrays whose values are known."""
    import jax

    inputs = case.arrays(**options)
    place = case.gradient_positions(inputs)[0]
    arrays = [backend.array(x) for x in inputs]

    def of_one(x: Any) -> tuple[Any, ...]:
        return as_tuple(case.function(*arrays[:place], x, *arrays[place + 1 :], **options))

    assert_close(jax.jit(of_one)(arrays[place]), of_one(arrays[place]), rtol=1e-9, atol=1e-11)


def test_empty_batch(case: Case, options: dict[str, Any], backend: Target) -> None:
    """A batch of none gives what the oracles give, and gradients of the right shapes."""
    inputs = list(case.arrays(**options))
    for i in case.batched:
        inputs[i] = inputs[i][:0]
    try:
        with warnings.catch_warnings(action="ignore"):
            oracles = oracles_of(case, options, inputs)
    except Exception:
        oracles = []
    if not oracles:
        pytest.skip("its oracles refuse an empty batch")
    with warnings.catch_warnings(action="ignore"):  # the mean of nothing
        results = as_tuple(case.function(*[backend.array(x) for x in inputs], **options))
        gradients = gradients_of(case, options, inputs, backend) if case.gradient_positions(inputs) else ()
    for y, expected in zip(results, oracles[0], strict=True):
        assert_close(y, expected, rtol=case.rtol, atol=case.atol, equal_nan=True, check_dtype=False)
    for gradient, i in zip(gradients, case.gradient_positions(inputs), strict=False):
        assert gradient.shape == inputs[i].shape


def test_kernel(case: Case, options: dict[str, Any], backend: Target) -> None:
    """A backend's kernels give what the reference gives, forward and backward, in both precisions."""
    wide = case.arrays(**options)
    narrow = tuple(x.astype(np.float32) if is_float(x) else x for x in wide)
    for inputs, (rtol, atol) in ((wide, (1e-9, 1e-11)), (narrow, case.float32)):

        def run(inputs: Sequence[Any] = inputs) -> tuple[Any, ...]:
            results = as_tuple(case.function(*[backend.array(x) for x in inputs], **options))
            if not case.gradient_positions(inputs):
                return results
            return *results, *(g.array for g in gradients_of(case, options, inputs, backend))

        fast = run()
        with reference_only():
            reference = run()
        assert_close(fast, reference, rtol=rtol, atol=atol, equal_nan=True)


def test_refusal(case: Case, refusal: Bad, backend: Target) -> None:
    """Wrong arguments raise the error that says so, for raw arrays and for Tensors."""
    options = {**case.options[0], **refusal.options}
    if refusal.inputs is None:
        inputs = case.arrays(**case.options[0])
    else:
        inputs = refusal.inputs(np.random.default_rng(0))
    arrays = [backend.array(x) if isinstance(x, np.ndarray) else x for x in inputs]
    if refusal.values and not all(cheap_to_read(a) for a in arrays if a is not None):
        pytest.skip("values on a GPU are not read")
    with pytest.raises(refusal.error, match=refusal.match):
        case.function(*arrays, **options)
    tensors = [Tensor(a) if isinstance(x, np.ndarray) else a for x, a in zip(inputs, arrays, strict=True)]
    with pytest.raises(refusal.error, match=refusal.match):
        case.function(*tensors, **options)


def test_shared_refusals(case: Case, backend: Target) -> None:
    """What all functions refuse alike, for raw arrays and for Tensors."""
    library = another_library(backend)
    for refusal in shared_refusals(case):
        if refusal.foreign is not None and library is None:
            continue
        arrays = [
            (library if i == refusal.foreign else backend).array(x) for i, x in enumerate(refusal.inputs)
        ]
        tensors = [Tensor(a) if x is not None else None for x, a in zip(refusal.inputs, arrays, strict=True)]
        for given in (arrays, tensors):
            answer = answer_to(case, given, refusal)
            assert not answer, f"{case.name}, given {refusal.what}: {answer}"


# Test -> where it applies, and the targets on which a sample will do.
PLANS: dict[Callable[..., None], tuple[Callable[[Case, Target], bool], tuple[str, ...]]] = {
    test_forward: (everywhere, ("jax",)),
    test_gradient: (differentiable, ("jax",)),
    test_second_derivative: (twice_differentiable, SAMPLED),
    test_float32: (everywhere, SAMPLED),
    test_half: (in_own_half, (*SAMPLED, "torch")),
    test_strides: (strided, SAMPLED),
    test_byte_order: (on_numpy, ()),
    test_inputs_overwritten_later: (writable, ()),
    test_results_are_written_into: (everywhere, SAMPLED),
    test_torch_autograd: (on_torch, ()),
    test_jit_with_known_arrays: (on_jax, SAMPLED),
    test_empty_batch: (batched, SAMPLED),
    test_kernel: (has_kernels, SAMPLED),
}


def answer_to(case: Case, inputs: Sequence[Any], refusal: SharedRefusal) -> str:
    """What is wrong with how a call is answered that must be refused; empty if nothing is."""
    try:
        case.function(*inputs, **refusal.options)
    except refusal.error as error:
        return "" if re.search(refusal.match, str(error)) else str(error)
    return "no error"


@cache
def another_library(backend: Target) -> Target | None:
    """A target on another library than this one's, if one is installed."""
    return next((t for t in TARGETS if t.backend != backend.backend and not missing(t)), None)


def oracles_of(case: Case, options: dict[str, Any], inputs: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What the oracles that are at hand answer, on the host."""
    answers = []
    if case.torch is not None and HAS_TORCH:
        import torch

        answers.append(case.torch(torch, *[to_torch(x) for x in inputs], **options))
    if case.naive is not None:
        answers.append(case.naive(*inputs, **options))
    return [tuple(np.asarray(y) for y in as_tuple(answer)) for answer in answers]


def gradients_of(
    case: Case,
    options: dict[str, Any],
    inputs: Sequence[Any],
    backend: Target,
    view: Callable[[Target, np.ndarray], Any] = Target.array,
) -> list[Tensor]:
    """The gradients of all differentiable inputs, for `seeds` from above."""
    places = case.gradient_positions(case.arrays(**options))
    args = [None if x is None else view(backend, x) for x in inputs]
    for i, array in enumerate(args):
        if array is not None:
            args[i] = Tensor(array, requires_grad=i in places)
    outputs = [y for y in as_tuple(case.function(*args, **options)) if y.requires_grad]
    above = [Tensor(backend.array(seed)) for seed in seeds(y.shape for y in outputs)]
    above = [seed.to(dtype=y.dtype) for seed, y in zip(above, outputs, strict=True)]
    found = grad(outputs, [args[i] for i in places], above, allow_unused=True)
    return [
        Tensor(namespace(args[i].array).zeros_like(args[i].array)) if g is None else g
        for i, g in zip(places, found, strict=True)
    ]


def with_gradients(case: Case, options: dict[str, Any], arrays: Sequence[Any], backend: Target) -> list[Any]:
    """The results for arrays of the backend, and the gradients of all that have one, without warnings."""
    with np.errstate(all="ignore"):
        results = as_tuple(case.function(*arrays, **options))
        if not case.gradient_positions(case.arrays(**options)):
            return [*results]
        return [*results, *gradients_of(case, options, arrays, backend, view=lambda backend, x: x)]


def torch_gradients(case: Case, options: dict[str, Any], inputs: Sequence[Any]) -> list[np.ndarray]:
    """PyTorch's gradients for the same `seeds`."""
    import torch

    assert case.torch is not None
    places = case.gradient_positions(inputs)
    args = [to_torch(x) for x in inputs]
    for i in places:
        args[i].requires_grad_()
    outputs = [y for y in as_tuple(case.torch(torch, *args, **options)) if y.requires_grad]
    above = [torch.as_tensor(seed) for seed in seeds(tuple(y.shape) for y in outputs)]
    found = torch.autograd.grad(outputs, [args[i] for i in places], above, allow_unused=True)
    return [np.zeros_like(inputs[i]) if g is None else g.numpy() for i, g in zip(places, found, strict=True)]


def seeds(shapes: Any) -> list[np.ndarray]:
    """Fixed gradients from above for outputs of these shapes, of few digits, which half precision has too."""
    rng = np.random.default_rng(1)
    return [np.asarray(rng.integers(-64, 64, shape) / 32) for shape in shapes]


def gapped(backend: Target, x: np.ndarray) -> Any:
    """The same values in every other cell of a larger array."""
    if x.ndim == 0:
        return backend.array(x)
    doubled = backend.array(np.repeat(x, 2, axis=-1))
    return doubled[..., ::2]


def transposed(backend: Target, x: np.ndarray) -> Any:
    """The same values, laid out with the first axis running fastest."""
    if x.ndim < 2:
        return backend.array(x)
    array = backend.array(np.ascontiguousarray(x.T))
    return namespace(array).permute_dims(array, tuple(reversed(range(x.ndim))))


def assert_on(backend: Target, array: Any) -> None:
    """The array lives where its inputs did."""
    assert str(device_of(array)) == str(device_of(backend.array(np.zeros(())))), "the device changed"


def checkable(
    case: Case, options: dict[str, Any], inputs: Sequence[Any], backend: Target
) -> tuple[Callable[..., Any], list[Any]]:
    """The function and its arguments for `gradcheck`: what has no gradient is a Tensor that requires none."""
    places = case.gradient_positions(inputs)
    arrays = [backend.array(x) for x in inputs]
    arrays = [Tensor(a) if is_float(a) and i not in places else a for i, a in enumerate(arrays)]
    return lambda *args: case.function(*args, **options), arrays


def shown_by_torch(case: Case, options: dict[str, Any], inputs: Sequence[Any]) -> set[int]:
    """The inputs whose memory the result shows: those whose memory PyTorch's result shows too."""
    if case.torch is None or not HAS_TORCH:
        return set(range(len(inputs)))
    import torch

    args = [to_torch(x) for x in inputs]
    memory = {y.untyped_storage().data_ptr() for y in as_tuple(case.torch(torch, *args, **options))}
    return {i for i, x in enumerate(args) if x is not None and x.untyped_storage().data_ptr() in memory}


def to_torch(x: np.ndarray | None) -> Any:
    import torch

    return None if x is None else torch.tensor(x)


def as_tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, tuple | list) else (values,)
