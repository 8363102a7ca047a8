"""The affine layer."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ShapeError


def inputs(*leading, bias=True):
    def make(rng):
        return (
            rng.standard_normal((*leading, 4)),
            rng.standard_normal((3, 4)),
            rng.standard_normal(3) if bias else None,
        )

    return make


def naive_linear(x, w, b):
    y = np.zeros((*x.shape[:-1], w.shape[0]))
    for index in np.ndindex(*y.shape):
        y[index] = sum(x[(*index[:-1], k)] * w[index[-1], k] for k in range(w.shape[1]))
        y[index] += 0 if b is None else b[index[-1]]
    return y


def torch_linear(torch, x, w, b):
    return torch.nn.functional.linear(x, w, b)


def case(name, make, **more):
    return Case(name, F.linear, inputs=make, torch=torch_linear, naive=naive_linear, **more)


CASES = [
    case(
        "linear",
        inputs(2),
        errors=[
            bad(
                ShapeError,
                r"linear expects 4 input features on the last axis, got 5 from an input of shape \(2, 5\)\. "
                r"Did you mean in_features=5\?",
                inputs=lambda rng: (rng.standard_normal((2, 5)), rng.standard_normal((3, 4))),
            ),
            bad(
                ShapeError,
                r"Flatten it first",
                inputs=lambda rng: (rng.standard_normal((2, 2, 2)), rng.standard_normal((3, 4))),
            ),
            bad(
                ShapeError,
                r"expects bias of shape \(3,\), got \(4,\)",
                inputs=lambda rng: (rng.standard_normal((2, 4)), rng.standard_normal((3, 4)), np.ones(4)),
            ),
            bad(
                ShapeError,
                r"expects weight of 1 or 2 axes",
                inputs=lambda rng: (rng.standard_normal((2, 4)), np.ones((1, 3, 4))),
            ),
        ],
    ),
    case("linear without bias", inputs(2, bias=False)),
    case("linear of a vector", inputs(), batched=()),
    case("linear of a sequence", inputs(2, 3)),
    Case(
        "linear to one number",
        F.linear,
        inputs=lambda rng: (rng.standard_normal((2, 4)), rng.standard_normal(4)),
        torch=lambda torch, x, w: torch.nn.functional.linear(x, w),
        naive=lambda x, w: (x * w).sum(axis=-1),
    ),
    case("linear of many axes", inputs(2, 1, 3)),
    Case(
        "linear with one bias for all",
        F.linear,
        inputs=lambda rng: (rng.standard_normal((2, 4)), rng.standard_normal((3, 4)), rng.standard_normal(1)),
        torch=torch_linear,
        naive=lambda x, w, b: x @ w.T + b,
    ),
    Case(
        "bilinear",
        F.bilinear,
        inputs=lambda rng: tuple(
            rng.standard_normal(shape) for shape in ((2, 1, 3), (2, 1, 4), (5, 3, 4), (5,))
        ),
        torch=lambda torch, *inputs: torch.nn.functional.bilinear(*inputs),
        extremes=(),  # PyTorch adds up in another order: inf - inf there, inf here
        naive=lambda x1, x2, w, b: np.einsum("...i,oij,...j->...o", x1, w, x2) + b,
        batched=(0, 1),
        errors=[
            bad(
                ShapeError,
                r"bilinear expects inputs of 3 and 4 features with the same leading axes, got shapes",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((3, 4)), np.ones((5, 3, 4))),
            ),
            bad(
                ShapeError,
                r"expects bias of shape \(5,\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((2, 4)), np.ones((5, 3, 4)), np.ones(1)),
            ),
        ],
    ),
]

LAYERS = [
    layer("Linear", (2, 4, 5), in_features=5, out_features=3),
    layer("Linear", (2, 5), in_features=5, out_features=3, bias=False),
    layer("LazyLinear", (2, 5), out_features=3),
    layer("Bilinear", (2, 3), (2, 4), in1_features=3, in2_features=4, out_features=2),
    layer("Bilinear", (3,), (4,), in1_features=3, in2_features=4, out_features=2, bias=False),
    layer("Identity", (2, 5)),
]
