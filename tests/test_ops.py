"""The differentiable functions of the standard: values, first and second derivatives.

Each `Op` is a program against a namespace `xp`. The same lines run on Tensors, on PyTorch's own arrays
(whose autograd is the oracle), and under finite differences.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from halves import ULPS, excess, half_types, in_float64, in_half, is_float
from targets import Target

from xpnn.autograd import Tensor, grad, tensor_namespace
from xpnn.backend import dtype_name, namespace
from xpnn.testing import assert_close, gradcheck, gradgradcheck

Sampler = Callable[[np.random.Generator], np.ndarray]


@dataclass(eq=False)
class Op:
    """One function.

    Args:
        name: the function's name, with a word on the case after a blank.
        call: the program; by default the function of that name on the inputs.
        oracle: the same for PyTorch's namespace, where it needs to be written differently.
    """

    name: str
    inputs: Sequence[Sampler]
    call: Callable[..., Any] | None = None
    oracle: Callable[..., Any] | None = None

    def __call__(self, xp: Any, *inputs: Any) -> Any:
        return self.call(xp, *inputs) if self.call else getattr(xp, self.name)(*inputs)

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        return [sample(rng) for sample in self.inputs]

    def __str__(self) -> str:
        return self.name


def normal(*shape: int) -> Sampler:
    return lambda rng: rng.standard_normal(shape)


def positive(*shape: int) -> Sampler:
    return lambda rng: rng.uniform(0.5, 2.0, shape)


def inside(*shape: int) -> Sampler:
    return lambda rng: rng.uniform(-0.8, 0.8, shape)


def integers(high: int, *shape: int) -> Sampler:
    return lambda rng: rng.integers(0, high, shape)


def regular(*shape: int) -> Sampler:
    """Matrices far from singular, with distinct singular values."""
    return lambda rng: rng.standard_normal(shape) + np.eye(*shape[-2:]) * np.arange(2.0, 2.0 + shape[-1])


def symmetric(*shape: int) -> Sampler:
    return lambda rng: (lambda m: m @ m.mT + np.diag(np.arange(1.0, 1.0 + shape[-1])))(
        rng.standard_normal(shape)
    )


def constant(values: Any) -> Sampler:
    return lambda rng: np.array(values)


def sym(xp: Any, x: Any) -> Any:
    return (x + xp.matrix_transpose(x)) / 2


def signless(xp: Any, parts: Any) -> tuple[Any, ...]:
    """Vectors are known up to their sign, which libraries choose differently."""
    return tuple(xp.abs(part) for part in parts)


M = normal(2, 3)
P = positive(2, 3)
UNARY = [
    *[
        Op(name, [M])
        for name in [
            "abs",
            "atan",
            "asinh",
            "cos",
            "cosh",
            "exp",
            "expm1",
            "negative",
            "positive",
            "sin",
            "sinh",
        ]
    ],
    *[Op(name, [M]) for name in ["ceil", "floor", "round", "sign", "trunc", "real", "conj"]],
    *[Op(name, [P]) for name in ["log", "log1p", "log2", "log10", "reciprocal", "sqrt"]],
    *[Op(name, [inside(2, 3)]) for name in ["acos", "asin", "atanh"]],
    Op("acosh", [P], lambda xp, x: xp.acosh(x + 1)),
]
BINARY = [
    *[Op(name, [M, normal(3)]) for name in ["add", "subtract", "multiply", "maximum", "minimum"]],
    *[Op(name, [M, normal(2, 1)]) for name in ["atan2", "hypot", "logaddexp", "copysign"]],
    *[Op(name, [M, positive(3)]) for name in ["divide", "remainder"]],
    Op("floor_divide", [M, positive(3)], oracle=lambda xp, x, y: xp.floor(x / y)),
    Op("pow", [P, normal(3)]),
    Op("pow square", [M], lambda xp, x: xp.pow(x, 2)),
    Op("pow of number", [M], lambda xp, x: xp.pow(2.0, x)),
    Op("operators", [M, P], lambda xp, x, y: 2 * x - y / 3 + (1 - x) * (2 / y) - y**1.5 + 2**x),
    Op("numbers", [M], lambda xp, x: xp.maximum(x, 0.1) * xp.minimum(0.2, x) + xp.atan2(x, 2.0)),
    Op("where", [M, normal(3)], lambda xp, x, y: xp.where(x > 0, x, y) + xp.where(x < y, 0.5, x)),
    Op("clip", [M], lambda xp, x: xp.clip(x, -0.5, 0.7) + xp.clip(x, min=0.1) + xp.clip(x, max=0.3)),
    Op(
        "clip to arrays",
        [M, inside(3), P],
        lambda xp, x, low, high: xp.clip(x, low, high),
        lambda xp, x, low, high: xp.minimum(xp.maximum(x, low), high),
    ),
]
REDUCTIONS = [
    *[Op(name, [M]) for name in ["sum", "mean", "prod", "max", "min", "std", "var"]],
    *[
        Op(f"{name} axis", [normal(2, 3, 2)], lambda xp, x, name=name: getattr(xp, name)(x, axis=1))
        for name in ["sum", "mean", "prod", "max", "min", "std", "var"]
    ],
    *[
        Op(
            f"{name} axes",
            [normal(2, 3, 2)],
            lambda xp, x, name=name: getattr(xp, name)(x, axis=(0, -1), keepdims=True),
        )
        for name in ["sum", "mean", "max", "min"]
    ],
    Op(
        "prod axes",
        [normal(2, 3, 2)],
        lambda xp, x: xp.prod(x, axis=(0, -1)),
        lambda xp, x: xp.prod(xp.prod(x, axis=-1), axis=0),
    ),
    Op("var corrected", [M], lambda xp, x: xp.var(x, axis=1, correction=1, keepdims=True)),
    Op("std corrected", [M], lambda xp, x: xp.std(x, axis=(0, 1), correction=1)),
    Op("cumulative_sum", [M], lambda xp, x: xp.cumulative_sum(x, axis=1)),
    Op("cumulative_sum initial", [M], lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True)),
    Op("cumulative_prod", [M], lambda xp, x: xp.cumulative_prod(x, axis=1)),
    Op("cumulative_prod initial", [normal(4)], lambda xp, x: xp.cumulative_prod(x, include_initial=True)),
]
MANIPULATION = [
    Op("reshape", [M], lambda xp, x: xp.reshape(x, (3, -1))),
    Op("expand_dims", [M], lambda xp, x: xp.expand_dims(x, axis=1)),
    Op("squeeze", [normal(2, 1, 3)], lambda xp, x: xp.squeeze(x, 1)),
    Op("broadcast_to", [normal(3, 1)], lambda xp, x: xp.broadcast_to(x, (2, 3, 2))),
    Op("broadcast_arrays", [normal(3, 1), normal(2)], lambda xp, x, y: xp.broadcast_arrays(x, y)),
    Op("permute_dims", [normal(2, 3, 1)], lambda xp, x: xp.permute_dims(x, (2, 0, 1))),
    Op("moveaxis", [normal(2, 3, 1)], lambda xp, x: xp.moveaxis(x, (0, 2), (1, 0))),
    Op("matrix_transpose", [normal(2, 3, 1)]),
    Op("flip", [M], lambda xp, x: xp.flip(x) + xp.flip(x, axis=1)),
    Op("roll", [M], lambda xp, x: xp.roll(x, 1) * xp.roll(x, (1, -2), axis=(0, 1))),
    Op("tril", [M], lambda xp, x: xp.tril(x, k=-1) + xp.triu(x, k=1)),
    Op("astype", [M], lambda xp, x: xp.astype(xp.astype(x, xp.float64), xp.float64, copy=False) * 2),
    Op("concat", [M, normal(1, 3)], lambda xp, x, y: xp.concat([x, y, x], axis=0)),
    Op("concat flat", [M, normal(2)], lambda xp, x, y: xp.concat((x, y), axis=None)),
    Op("stack", [M, normal(2, 3)], lambda xp, x, y: xp.stack([x, y], axis=-1)),
    Op("unstack", [M], lambda xp, x: xp.unstack(x, axis=1)[1:]),
    Op("repeat", [M], lambda xp, x: xp.repeat(x, 2, axis=1)),
    Op("repeat flat", [M], lambda xp, x: xp.repeat(x, 2)),
    Op("repeat each", [M, constant([2, 0, 1])], lambda xp, x, n: xp.repeat(x, n, axis=1)),
    Op("tile", [M], lambda xp, x: xp.tile(x, (2, 1, 2))),
    Op(
        "meshgrid",
        [normal(2), normal(3)],
        lambda xp, x, y: (*xp.meshgrid(x, y), *xp.meshgrid(x, y, indexing="ij")),
        lambda xp, x, y: (*xp.meshgrid(x, y, indexing="xy"), *xp.meshgrid(x, y, indexing="ij")),
    ),
    Op("diff", [M, normal(2, 1)], lambda xp, x, y: xp.diff(x, n=2, prepend=y, append=y)),
]
INDEXING = [
    Op("integers", [M], lambda xp, x: (x[1], x[-1, 2], x[:, 0])),
    Op("slices", [normal(3, 4)], lambda xp, x: (x[1:], x[..., 1:3], x[::2, None, -1:])),
    Op("gather", [normal(3, 2), constant([2, -3, 2])], lambda xp, x, i: xp.take(x, i % 3, axis=0)),
    Op("gather last", [normal(3, 2), constant([1, 1, 0])], lambda xp, x, i: xp.take(x, i, axis=-1)),
    Op("take_along_axis", [M, integers(3, 2, 4)], lambda xp, x, i: xp.take_along_axis(x, i)),
    Op("take_along_axis 0", [M, integers(2, 1, 3)], lambda xp, x, i: xp.take_along_axis(x, i, axis=0)),
    Op("sort", [M], lambda xp, x: xp.sort(x) + xp.sort(x, axis=0, descending=True)),
]
PRODUCTS = [
    *[
        Op(f"matmul {len(a)} {len(b)}", [normal(*a), normal(*b)], lambda xp, x, y: xp.matmul(x, y))
        for a, b in [
            *[((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((2, 2, 3), (3, 2))],
            *[((3,), (2, 3, 2)), ((2, 2, 3), (3,)), ((2, 1, 2, 3), (2, 3, 2)), ((2, 3), (2, 3, 2))],
        ]
    ],
    Op("vecdot", [M, normal(3)]),
    Op("vecdot axis", [M, normal(2, 1)], lambda xp, x, y: xp.vecdot(x, y, axis=-2)),
    Op("tensordot", [normal(2, 3, 2), normal(3, 2, 2)]),
    Op("tensordot axes", [M, normal(2, 3)], lambda xp, x, y: xp.tensordot(x, y, axes=([1], [-1]))),
    Op("outer", [normal(2), normal(3)], lambda xp, x, y: xp.linalg.outer(x, y)),
    Op("cross", [M, normal(2, 3)], lambda xp, x, y: xp.linalg.cross(x, y)),
    Op("inv", [regular(2, 2, 2)], lambda xp, x: xp.linalg.inv(x)),
    Op("solve", [regular(2, 2, 2), normal(2, 3)], lambda xp, x, y: xp.linalg.solve(x, y)),
    Op("solve vector", [regular(2, 2), normal(2)], lambda xp, x, y: xp.linalg.solve(x, y)),
    Op("det", [regular(2, 3, 3)], lambda xp, x: xp.linalg.det(x)),
    Op("slogdet", [regular(3, 3)], lambda xp, x: xp.linalg.slogdet(x)),
    Op("matrix_power", [regular(2, 2)], lambda xp, x: [xp.linalg.matrix_power(x, n) for n in (1, 3, -2)]),
    Op("diagonal", [M], lambda xp, x: [xp.linalg.diagonal(x, offset=k) for k in (-1, 0, 2)]),
    Op("trace", [normal(2, 3, 3)], lambda xp, x: xp.linalg.trace(x)),
]
DECOMPOSITIONS = [
    Op("cholesky", [symmetric(3, 3)], lambda xp, x: xp.linalg.cholesky(sym(xp, x))),
    Op("cholesky upper", [symmetric(2, 2)], lambda xp, x: xp.linalg.cholesky(sym(xp, x), upper=True)),
    Op("eigh values", [symmetric(3, 3)], lambda xp, x: xp.linalg.eigh(sym(xp, x))[0]),
    Op("eigh", [symmetric(3, 3)], lambda xp, x: signless(xp, xp.linalg.eigh(sym(xp, x)))),
    Op("eigvalsh", [symmetric(2, 2)], lambda xp, x: xp.linalg.eigvalsh(sym(xp, x))),
    Op("qr", [regular(3, 3)], lambda xp, x: signless(xp, xp.linalg.qr(x))),
    Op("qr Q", [regular(3, 2)], lambda xp, x: xp.abs(xp.linalg.qr(x)[0])),
    Op("qr R", [regular(3, 2)], lambda xp, x: xp.abs(xp.linalg.qr(x)[1])),
    Op("qr wide", [regular(2, 3)], lambda xp, x: signless(xp, xp.linalg.qr(x))),
    Op(
        "qr complete",
        [regular(2, 3)],
        lambda xp, x: signless(xp, xp.linalg.qr(x, mode="complete")),
        lambda xp, x: signless(xp, xp.linalg.qr(x)),
    ),
    *[
        Op(f"svd {n}x{m}", [regular(n, m)], lambda xp, x: signless(xp, xp.linalg.svd(x, full_matrices=False)))
        for n, m in [(3, 3), (3, 2), (2, 3)]
    ],
    Op("svd full", [regular(2, 2)], lambda xp, x: signless(xp, xp.linalg.svd(x))),
    Op("svd U", [regular(3, 2)], lambda xp, x: xp.abs(xp.linalg.svd(x, full_matrices=False)[0])),
    Op("svdvals", [regular(2, 3)], lambda xp, x: xp.linalg.svdvals(x)),
    *[Op(f"pinv {n}x{m}", [regular(n, m)], lambda xp, x: xp.linalg.pinv(x)) for n, m in [(3, 2), (2, 3)]],
    *[
        Op(
            f"vector_norm {ord}",
            [M],
            lambda xp, x, ord=ord: xp.linalg.vector_norm(x, axis=1, ord=ord, keepdims=True),
        )
        for ord in [1, 2, 3, 0.5, -1, np.inf, -np.inf, 0]
    ],
    Op("vector_norm", [M], lambda xp, x: xp.linalg.vector_norm(x)),
    *[
        Op(
            f"matrix_norm {ord}",
            [regular(2, 3)],
            lambda xp, x, ord=ord: xp.linalg.matrix_norm(x, ord=ord, keepdims=True),
        )
        for ord in ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]
    ],
]
FLAT = ("ceil", "floor", "round", "sign", "trunc", "floor_divide", "vector_norm 0")
OPS = [*UNARY, *BINARY, *REDUCTIONS, *MANIPULATION, *INDEXING, *PRODUCTS, *DECOMPOSITIONS]


@pytest.mark.parametrize("op", OPS, ids=str)
def test_against_torch(op: Op, backend: Target, request: pytest.FixtureRequest) -> None:
    """Values, and gradients of first and second order, are PyTorch's."""
    skip_unless_wanted(op, backend, request)
    found = derivatives(on_tensors(op), op.arrays(), lambda x: Tensor(backend.array(x)), grad)
    for level, expected in zip(found, torch_derivatives(op), strict=True):
        assert len(level) == len(expected)
        for y, z in zip(level, expected, strict=True):
            assert_close(backend.numpy(y.detach()), z, rtol=1e-8, atol=1e-10, check_dtype=False)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_finite_differences(op: Op) -> None:
    """Gradients of first and second order are those that differences give."""
    gradcheck(on_tensors(op), tuple(op.arrays()))
    if op.name not in FLAT:
        gradgradcheck(on_tensors(op), tuple(op.arrays()), fast_mode=True)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_float32(op: Op, backend: Target, request: pytest.FixtureRequest) -> None:
    """float32 stays float32, forward and backward."""
    narrow = [x.astype(np.float32) if x.dtype == np.float64 else x for x in op.arrays()]
    skip_unless_wanted(op, backend, request)
    if op.name == "astype":
        pytest.skip("asks for float64")
    tensors = [Tensor(backend.array(x), requires_grad=x.dtype == np.float32) for x in narrow]
    outputs = floating(op(tensors[0].__array_namespace__(), *tensors))
    leaves = [t for t in tensors if t.requires_grad]
    gradients = grad([y for y in outputs if y.requires_grad], leaves, grad_outputs_like(outputs))
    assert {dtype_name(t.dtype) for t in (*outputs, *gradients)} == {"float32"}
    assert [g.shape for g in gradients] == [t.shape for t in leaves]


@pytest.mark.parametrize("op", OPS, ids=str)
def test_half(op: Op, backend: Target, request: pytest.FixtureRequest) -> None:
    """float16 and bfloat16 in, the same out, as exact as a few roundings."""
    skip_unless_wanted(op, backend, request)
    if op.name == "astype" or backend.read_only:
        pytest.skip("asks for float64, or does as others do")
    dtypes = half_types(backend)[-1:] if backend.name == "jax" else half_types(backend)
    for dtype, scale in itertools.product(dtypes, (1.0, 1e3)):
        arrays = in_half(backend, dtype, op.arrays(), scale)
        expected = [in_float64(y) for y in with_gradients(op, [in_float64(x) for x in arrays])]
        if any(np.abs(y).max(initial=0) > np.finfo(np.float32).max for y in expected):
            continue  # beyond float32, too
        for y, wanted in zip(with_gradients(op, arrays), expected, strict=True):
            assert dtype_name(y.dtype) == dtype
            off = excess(in_float64(y), wanted, dtype, 2 * ULPS)
            assert off <= 0, f"in {dtype} of inputs times {scale}: {y}, expected {wanted}"


def with_gradients(op: Op, arrays: Sequence[Any]) -> list[Tensor]:
    """The floating-point results, and the gradients of all that have one, without warnings."""
    with np.errstate(all="ignore"):
        tensors = [Tensor(x, requires_grad=is_float(x)) for x in arrays]
        outputs = floating(on_tensors(op)(*tensors))
        recorded = [y for y in outputs if y.requires_grad]
        leaves = [t for t in tensors if t.requires_grad]
        return [*outputs, *grad(recorded, leaves, grad_outputs_like(recorded))]


@pytest.mark.parametrize("op", OPS, ids=str)
def test_raw_arrays(op: Op, backend: Target, request: pytest.FixtureRequest) -> None:
    """The functions take raw arrays and give raw arrays back."""
    skip_unless_wanted(op, backend, request)
    if op in INDEXING[:2]:
        pytest.skip("is an operator of the library")
    arrays = [backend.array(x) for x in op.arrays()]
    outputs = op(tensor_namespace(namespace(*arrays)), *arrays)
    for y in outputs if isinstance(outputs, tuple | list) else [outputs]:
        assert not isinstance(y, Tensor)


def skip_unless_wanted(op: Op, backend: Target, request: pytest.FixtureRequest) -> None:
    if backend.name == "jax" and OPS.index(op) % 3 and not request.config.getoption("--slow"):
        pytest.skip("a third of the functions will do where each shape is compiled: run with --slow")
    if op.name == "repeat each" and backend.name == "strict":
        pytest.skip("the shape of the result depends on values")


def on_tensors(op: Op) -> Callable[..., Any]:
    """The program on Tensors, of which some arguments may be arrays of integers."""
    return lambda *xs: op(next(x for x in xs if isinstance(x, Tensor)).__array_namespace__(), *xs)


@functools.cache
def torch_derivatives(op: Op) -> list[list[np.ndarray]]:
    torch = pytest.importorskip("torch")
    xp = pytest.importorskip("array_api_compat.torch")
    program = op.oracle or op
    levels = derivatives(lambda *xs: program(xp, *xs), op.arrays(), torch.tensor, torch.autograd.grad)
    return [[y.detach().numpy(force=True) for y in level] for level in levels]


def derivatives(
    program: Callable, inputs: list[np.ndarray], new: Callable[[np.ndarray], Any], gradients: Callable
) -> list[list[Any]]:
    """The values, their gradients for random seeds, and the gradients of those for random directions."""
    rng = np.random.default_rng(3)

    def leaf(values: np.ndarray) -> Any:
        x = new(values)
        x.requires_grad = values.dtype == np.float64
        return x

    def pulled(outputs: list[Any], leaves: list[Any], seeds: list[Any]) -> list[Any]:
        live = [(y, seed) for y, seed in zip(outputs, seeds) if y.requires_grad]
        found = [None] * len(leaves)
        if live:
            outputs, seeds = zip(*live)
            found = gradients(outputs, leaves, seeds, create_graph=True, allow_unused=True)
        return [x * 0.0 if g is None else g for g, x in zip(found, leaves)]

    xs = [leaf(x) for x in inputs]
    leaves = [x for x in xs if x.requires_grad]
    outputs = floating(program(*xs))
    seeds = [leaf(rng.standard_normal(tuple(y.shape))) for y in outputs]
    first = pulled(outputs, leaves, seeds)
    directions = [new(rng.standard_normal(tuple(x.shape))) for x in leaves]
    return [outputs, first, pulled(first, [*leaves, *seeds], directions)]


def grad_outputs_like(outputs: list[Any]) -> list[Any]:
    return [namespace(y).ones_like(y.detach()) for y in outputs if y.requires_grad]


def floating(outputs: Any) -> list[Any]:
    outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
    return [y for y in outputs if "float" in str(y.dtype)]
