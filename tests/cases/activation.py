"""Activations."""

from __future__ import annotations

import math

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, IndexOutOfRangeError, ShapeError, random


def spread(rng, **options):
    """Numbers on both sides of every bend, none on one."""
    x = rng.uniform(0.1, 3.0, (3, 4)) * np.where(rng.random((3, 4)) < 0.5, -1, 1)
    return (x,)


def around_bends(rng, **options):
    """Numbers on both sides of every bend of the hard functions, none on one."""
    return (np.asarray([[-7.1, -3.2, -2.9, -0.6], [-0.4, 0.3, 0.8, 1.2], [2.8, 3.3, 5.9, 6.2]]),)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal_cdf(x):
    return np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2)(x) if x.size else x


def naive_gelu(x, approximate):
    if approximate == "none":
        return x * normal_cdf(x)
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def naive_softplus(x, beta=1.0, threshold=20.0):
    return np.where(beta * x > threshold, x, np.log(1 + np.exp(beta * x)) / beta)


def naive_softmax(x, dim):
    e = np.exp(x)
    return e / e.sum(axis=dim, keepdims=True)


def naive_glu(x, dim=-1):
    a, b = np.split(x, 2, axis=dim)
    return a * sigmoid(b)


def reversed_twice(x, alpha):
    """The sign is back, and the factors cancel, so that the gradient is the derivative."""
    return F.gradient_reversal(F.gradient_reversal(x, alpha), 1 / alpha)


def reversed_by_hook(torch, x, alpha=1.0):
    y = x.clone()
    if y.requires_grad:
        y.register_hook(lambda gy: -alpha * gy)
    return y


def seeded_gumbel_softmax(x, **options):
    random.default_stream().reset(0)
    return F.gumbel_softmax(x, **options)


def naive_gumbel_softmax(x, dim, tau=1.0):
    u = random.uniform(x.shape, x, 0, 0).astype(np.float64)
    return naive_softmax((x - np.log(-np.log(u))) / tau, dim)


def naive_maxout(x, pieces, dim=1):
    groups = [np.take(x, range(i, x.shape[dim], pieces), axis=dim) for i in range(pieces)]
    return np.maximum.reduce(groups)


def torch_maxout(torch, x, pieces, dim=1):
    return x.unflatten(dim, (-1, pieces)).max(dim + 1 if dim >= 0 else dim).values


def naive_prelu(x, w):
    slopes = w.reshape(1, -1, *(1,) * (x.ndim - 2)) if x.ndim > 1 else w
    return np.where(x > 0, x, slopes * x)


def selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


def elementwise(name, naive, options=None, errors=(), torch=None, inputs=spread, rtol=1e-9, any_dtype=False):
    """The case of a function of single elements that PyTorch has under the same name."""
    return Case(
        name,
        getattr(F, name),
        inputs=inputs,
        options=options or [{}],
        torch=torch or (lambda torch, x, **more: getattr(torch.nn.functional, name)(x, **more)),
        naive=naive,
        errors=errors,
        rtol=rtol,
        any_dtype=any_dtype,
    )


def prelu_case(name, shape, slopes):
    return Case(
        name,
        F.prelu,
        inputs=lambda rng: (rng.standard_normal(shape), rng.uniform(0.1, 0.5, slopes)),
        torch=lambda torch, x, w: torch.nn.functional.prelu(x, w),
        naive=naive_prelu,
        errors=[
            bad(
                ShapeError,
                r"prelu expects 1 or 4 slopes for an input of shape \(2, 4\), got 3",
                inputs=lambda rng: (np.ones((2, 4)), np.ones(3)),
            )
        ],
    )


def softmax_case(name, naive):
    return Case(
        name,
        getattr(F, name),
        inputs=lambda rng, dim: (rng.standard_normal((2, 3, 4)),),
        options=grid(dim=[-1, 0, 1]),
        torch=lambda torch, x, dim: getattr(torch.nn.functional, name)(x, dim=dim),
        naive=naive,
        batched=(),
        errors=[
            bad(IndexOutOfRangeError, rf"{name} expects dim between -3 and 2 .* got 3", dim=3),
            bad(ArgumentError, rf"{name} expects dim as an integer", dim="0"),
        ],
    )


CASES = [
    elementwise("relu", lambda x: np.where(x > 0, x, 0), any_dtype=True),
    elementwise(
        "leaky_relu",
        lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
        grid(negative_slope=[0.01, 1.5]),
    ),
    prelu_case("prelu", (2, 4), 4),
    prelu_case("prelu of images", (2, 3, 2, 2), 3),
    prelu_case("prelu with one slope", (2, 3), 1),
    prelu_case("prelu of a vector", (3,), 1),
    elementwise("elu", lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)), grid(alpha=[1.0, 0.5])),
    elementwise("selu", selu),
    elementwise(
        "celu",
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
        grid(alpha=[1.0, 0.5]),
        errors=[bad(ArgumentError, r"celu expects a positive alpha, got 0", alpha=0)],
    ),
    elementwise("sigmoid", sigmoid, any_dtype=True),
    elementwise("logsigmoid", lambda x: np.log(sigmoid(x))),
    elementwise("tanh", lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)), any_dtype=True),
    elementwise("silu", lambda x: x * sigmoid(x)),
    elementwise(
        "softplus",
        naive_softplus,
        [{}, {"beta": 2.0}, {"threshold": 1.0}],
        errors=[bad(ArgumentError, r"softplus expects a positive beta, got 0", beta=0)],
    ),
    elementwise(
        "gelu",
        naive_gelu,
        grid(approximate=["none", "tanh"]),
        errors=[bad(ArgumentError, r"gelu expects approximate='none' or 'tanh'", approximate="erf")],
    ),
    elementwise(
        "hardtanh",
        lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
        grid(min_val=[-1.0, 0.5], max_val=2.0),
        errors=[bad(ArgumentError, r"hardtanh expects min_val of at most max_val, got 3", min_val=3.0)],
        inputs=around_bends,
        any_dtype=True,
    ),
    elementwise("relu6", lambda x: np.clip(x, 0, 6), inputs=around_bends, any_dtype=True),
    elementwise(
        "hardsigmoid",
        lambda x: np.clip(x / 6 + 0.5, 0, 1),
        inputs=around_bends,
        rtol=1e-7,  # PyTorch's slope is a float32 number
    ),
    elementwise("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, inputs=around_bends),
    softmax_case("softmax", naive_softmax),
    softmax_case("log_softmax", lambda x, dim: np.log(naive_softmax(x, dim))),
    softmax_case("softmin", lambda x, dim: naive_softmax(-x, dim)),
    elementwise("mish", lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    elementwise("softsign", lambda x: x / (1 + np.abs(x)), any_dtype=True),
    elementwise("tanhshrink", lambda x: x - np.tanh(x), any_dtype=True),
    elementwise("hardshrink", lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0), grid(lambd=[0.5, 1.0])),
    elementwise(
        "softshrink",
        lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
        grid(lambd=[0.5, 1.0]),
        errors=[bad(ArgumentError, r"softshrink expects lambd of at least 0, got -1", lambd=-1)],
    ),
    elementwise(
        "threshold",
        lambda x, threshold, value: np.where(x > threshold, x, value),
        grid(threshold=0.5, value=[-2.0, 7.0]),
    ),
    elementwise(
        "rrelu",
        lambda x, lower=1 / 8, upper=1 / 3: np.where(x > 0, x, (lower + upper) / 2 * x),
        [{}, {"lower": 0.25, "upper": 0.5}],
        errors=[bad(ArgumentError, r"rrelu expects finite lower <= upper, got 1.* and 0", lower=1, upper=0)],
    ),
    elementwise(
        "step",
        lambda x, at_zero=0.0: np.heaviside(x, at_zero),
        [{}, {"at_zero": 0.5}],
        torch=lambda torch, x, at_zero=0.0: torch.where(
            x.isnan(), x, torch.heaviside(x.detach(), torch.tensor(at_zero, dtype=x.dtype))
        ),
    ),
    Case(
        "glu",
        F.glu,
        inputs=lambda rng, **options: (rng.standard_normal((2, 4, 2)),),
        options=grid(dim=[-1, 1]),
        torch=lambda torch, x, dim: torch.nn.functional.glu(x, dim),
        naive=naive_glu,
        errors=[
            bad(ShapeError, r"glu expects an even size along dim 0, got 3", lambda rng: (np.ones(3),), dim=0),
            bad(ShapeError, r"glu expects an input with an axis", lambda rng: (np.ones(()),)),
            bad(IndexOutOfRangeError, r"glu expects dim between -3 and 2", dim=3),
        ],
    ),
    Case(
        "maxout",
        F.maxout,
        inputs=lambda rng, **options: (rng.standard_normal((2, 6, 2)),),
        options=[{"pieces": 3}, {"pieces": 2, "dim": -1}],
        torch=torch_maxout,
        naive=naive_maxout,
        errors=[
            bad(ShapeError, r"maxout expects a multiple of 4 along dim 1, got 6", pieces=4),
            bad(ArgumentError, r"maxout expects pieces of at least 1, got 0", pieces=0),
            bad(ShapeError, r"maxout expects an input with an axis", lambda rng: (np.ones(()),)),
            bad(IndexOutOfRangeError, r"maxout expects dim between -3 and 2", dim=3),
        ],
    ),
    Case(
        "gradient_reversal",
        F.gradient_reversal,
        inputs=spread,
        options=[{}, {"alpha": 0.5}],
        torch=reversed_by_hook,
        naive=lambda x, alpha=1.0: x,
        differentiable=(),  # its gradient is another than the derivative: tests/test_functional.py
        errors=[bad(ArgumentError, r"gradient_reversal expects alpha as a number, got 'a'", alpha="a")],
    ),
    Case(
        "gradient_reversal twice",
        reversed_twice,
        inputs=spread,
        options=[{"alpha": 0.5}],
        naive=lambda x, alpha: x,
    ),
    Case(
        "gumbel_softmax",
        seeded_gumbel_softmax,
        inputs=lambda rng, **options: (rng.standard_normal((2, 3)),),
        options=[{"dim": -1}, {"tau": 0.5, "dim": 0}],
        naive=naive_gumbel_softmax,
        batched=(),
        errors=[
            bad(ArgumentError, r"gumbel_softmax expects a tau above 0, got 0", tau=0),
            bad(IndexOutOfRangeError, r"gumbel_softmax expects dim between -2 and 1", dim=2),
        ],
    ),
]

MATRIX = (3, 4)
LAYERS = [
    layer("Maxout", (2, 4, 3), pieces=2),
    layer("Step", MATRIX, at_zero=0.5),
    layer("GradientReversal", MATRIX, alpha=-1),  # the sign for which the gradient is the derivative
    *[
        layer(name, MATRIX)
        for name in (
            *("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "SiLU"),
            *("Hardtanh", "Hardswish", "Softplus", "Sigmoid", "LogSigmoid", "Tanh", "Mish", "Softsign"),
            *("Tanhshrink", "Hardshrink", "Softshrink"),
        )
    ],
    layer("ReLU", MATRIX, inplace=True),
    layer("ReLU6", MATRIX, inplace=True),
    layer("LeakyReLU", MATRIX, negative_slope=0.2, inplace=True),
    layer("PReLU", (3, 4, 2), num_parameters=4, init=0.1),
    layer("ELU", MATRIX, alpha=0.7, inplace=True),
    layer("CELU", MATRIX, alpha=0.5, inplace=True),
    layer("SELU", MATRIX, inplace=True),
    layer("GELU", MATRIX, approximate="tanh"),
    layer("SiLU", MATRIX, inplace=True),
    layer("Hardtanh", MATRIX, min_val=-0.5, max_val=0.7, inplace=True),
    layer("Hardswish", MATRIX, inplace=True).differing(repr="Hardswish(inplace=True)"),  # PyTorch prints ()
    layer("Hardsigmoid", MATRIX).within(1e-7),  # PyTorch's slope is a float32 number
    layer("Hardsigmoid", MATRIX, inplace=True).differing(repr="Hardsigmoid(inplace=True)").within(1e-7),
    layer("Softplus", MATRIX, beta=2.0, threshold=1.0),
    layer("Softmax", MATRIX, dim=1),
    layer("Softmax", (), dim=0),
    layer("PReLU", ()),
    layer("LogSoftmax", (2, 3, 4), dim=-1),
    layer("Softmin", MATRIX, dim=0),
    layer("Softmax2d", (2, 3, 2, 2)),
    layer("Softmax2d", (3, 2, 2)),
    layer("Mish", MATRIX, inplace=True),
    layer("RReLU", MATRIX).differing(training="other slopes"),
    layer("RReLU", MATRIX, lower=0.25, upper=0.25, inplace=True),
    layer("Threshold", MATRIX, threshold=0.1, value=20.0),
    layer("Threshold", MATRIX, threshold=0.1, value=-1.0, inplace=True),
    layer("Hardshrink", MATRIX, lambd=0.3),
    layer("Softshrink", MATRIX, lambd=0.3),
    layer("GLU", (3, 4)),
    layer("GLU", (4, 3), dim=0),
]
