"""Every function of `functional` on raw arrays inside of PyTorch's, JAX's and MLX's own transformations.

Values and gradients are those of xpnn on NumPy. `test_cases.py` takes all options through `torch.autograd`
and `jax.jit`; here the first of each case go through `torch.func.vjp` and `vmap`, and `jax.vjp` inside of
`jax.jit`, all through `mx.vjp` and `torch.compile`, and some through `jax.vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cases.case import Case, all_cases

from xpnn.autograd import Tensor, grad
from xpnn.backend import find_backend
from xpnn.testing import assert_close

CASES = [case for case in all_cases() if case.gradient_positions(case.arrays(**case.options[0]))]

# What a function has to be told where the values of its arrays cannot be read.
TOLD: dict[str, dict[str, Any]] = {
    "roi_align": {"sampling_ratio": 2},
    "roi_align of lists": {"sampling_ratio": 2},
}

each_case = pytest.mark.parametrize("case", CASES, ids=str)


def of_floats(
    case: Case, convert: Callable[[Any], Any]
) -> tuple[Callable[..., tuple[Any, ...]], list[np.ndarray]]:
    """The case's function of the inputs that have a gradient, with the others as they are; and these."""
    options = case.options[0] | TOLD.get(case.name, {})
    inputs = list(case.arrays(**options))
    places = case.gradient_positions(inputs)

    def function(*floats: Any) -> tuple[Any, ...]:
        args = [None if x is None else convert(x) for x in inputs]
        for i, x in zip(places, floats, strict=True):
            args[i] = x
        y = case.function(*args, **options)
        return tuple(one for one in (y if isinstance(y, tuple) else (y,)) if "float" in str(one.dtype))

    return function, [inputs[i] for i in places]


def seeds_of(outputs: Sequence[Any]) -> list[np.ndarray]:
    return [np.random.default_rng(i).normal(size=tuple(y.shape)) for i, y in enumerate(outputs)]


def expected(case: Case, floats: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The values and gradients of xpnn on NumPy."""
    function, _ = of_floats(case, np.asarray)
    args = [Tensor(x.copy(), requires_grad=True) for x in floats]
    outputs = function(*args)
    above = [Tensor(seed) for seed in seeds_of(outputs)]
    carrying = [(y, seed) for y, seed in zip(outputs, above) if y.requires_grad]
    found = grad([y for y, _ in carrying], args, [seed for _, seed in carrying], allow_unused=True)
    gradients = [np.zeros_like(x) if g is None else g.numpy() for x, g in zip(floats, found)]
    return [y.numpy(force=True) for y in outputs], gradients


def assert_same(case: Case, found: Sequence[Any], wanted: Sequence[np.ndarray]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert_close(np.asarray(one), other, rtol=max(case.rtol, 1e-9), atol=1e-10, equal_nan=True)


@each_case
def test_torch_func(case: Case) -> None:
    torch = pytest.importorskip("torch")
    function, floats = of_floats(case, lambda x: torch.tensor(x))
    outputs, pull = torch.func.vjp(function, *[torch.tensor(x) for x in floats])
    values, gradients = expected(case, floats)
    assert_same(case, [y.detach() for y in outputs], values)
    assert_same(case, pull(tuple(torch.tensor(seed) for seed in seeds_of(values))), gradients)


@each_case
def test_jax_grad_in_jit(case: Case) -> None:
    jax = pytest.importorskip("jax")
    function, floats = of_floats(case, jax.numpy.asarray)

    @jax.jit
    def values_and_gradients(*floats: Any) -> tuple[Any, Any]:
        outputs, pull = jax.vjp(function, *floats)
        return outputs, pull(tuple(jax.numpy.asarray(seed) for seed in seeds_of(outputs)))

    outputs, found = values_and_gradients(*floats)
    values, gradients = expected(case, floats)
    assert_same(case, outputs, values)
    assert_same(case, found, gradients)


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("float32", 1e-2, 1e-3), ("float64", 1e-5, 1e-6)])
@each_case
def test_mlx_grad(case: Case, dtype: str, rtol: float, atol: float) -> None:
    """By what `mx.grad` is made of; float64 has digits of its own in a part of MLX's functions only."""
    mx = pytest.importorskip("mlx.core")
    xp = find_backend("mlx").xp

    def convert(x: np.ndarray) -> Any:
        return xp.asarray(x.astype(dtype) if x.dtype == np.float64 else x)

    function, floats = of_floats(case, convert)
    values, gradients = expected(case, floats)
    seeds = [convert(seed) for seed in seeds_of(values)]
    outputs, found = mx.vjp(lambda *floats: list(function(*floats)), [convert(x) for x in floats], seeds)
    for one, other in zip([*outputs, *found], [*values, *gradients], strict=True):
        assert_close(one, other.astype(dtype), rtol=rtol, atol=atol, equal_nan=True)


def batches_of(case: Case, convert: Callable[[Any], Any]) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """The function, and two samples of each input that has a gradient, along a new first axis."""
    function, floats = of_floats(case, convert)
    return function, [np.stack([x, 0.9 * x]) for x in floats]


@each_case
def test_torch_vmap(case: Case) -> None:
    """As a loop over the samples."""
    torch = pytest.importorskip("torch")
    function, floats = batches_of(case, lambda x: torch.tensor(x))
    stacks = [torch.tensor(x) for x in floats]
    found = torch.func.vmap(function)(*stacks)
    wanted = [function(*sample) for sample in zip(*stacks)]
    assert_same(case, found, [torch.stack(parts).numpy() for parts in zip(*wanted)])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[::16], ids=str)  # JAX takes a second to trace one
def test_jax_vmap(case: Case) -> None:
    """As a loop over the samples."""
    jax = pytest.importorskip("jax")
    function, floats = batches_of(case, jax.numpy.asarray)
    stacks = [jax.numpy.asarray(x) for x in floats]
    found = jax.vmap(function)(*stacks)
    wanted = [function(*sample) for sample in zip(*stacks)]
    assert_same(case, found, [np.stack([np.asarray(part) for part in parts]) for parts in zip(*wanted)])


@pytest.mark.slow
@each_case
@pytest.mark.filterwarnings("ignore")
def test_torch_compile(case: Case) -> None:
    """In one graph, once a first call has found the library and its kernels."""
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    function, floats = of_floats(case, lambda x: torch.tensor(x))
    args = [torch.tensor(x, requires_grad=True) for x in floats]
    function(*args)
    outputs = torch.compile(function, backend="eager", fullgraph=True)(*args)
    values, gradients = expected(case, floats)
    assert_same(case, [y.detach() for y in outputs], values)
    above = [torch.tensor(seed) for seed in seeds_of(values)]
    carrying = [(y, seed) for y, seed in zip(outputs, above) if y.requires_grad]
    found = torch.autograd.grad(
        [y for y, _ in carrying], args, [seed for _, seed in carrying], allow_unused=True
    )
    assert_same(case, [torch.zeros_like(x) if g is None else g for x, g in zip(args, found)], gradients)
