"""What losses of single elements share."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from xpnn.backend import ShapeError

REDUCTIONS = ["mean", "sum", "none"]


def reduced(losses, reduction):
    if reduction == "none":
        return losses
    if reduction == "batchmean":
        return losses.sum() / losses.shape[0]
    return losses.sum() if reduction == "sum" else losses.mean()


def differing(*shape):
    """Two arrays whose difference is nowhere near 0 or 1, where some losses have a kink."""

    def make(rng, **options):
        target = rng.standard_normal(shape)
        distance = rng.choice([0.3, 0.7, 1.4, 2.5], shape) * rng.choice([-1, 1], shape)
        return target + distance, target

    return make


def torch_of(name):
    def oracle(torch, *arrays, reduction, **more):
        function = getattr(torch.nn.functional, name)
        if name == "kl_div" and reduction == "mean":  # which PyTorch warns about
            return function(*arrays, reduction="none", **more).mean()
        return function(*arrays, reduction=reduction, **more)

    return oracle


def elementwise(name, naive, options, make=None, errors=(), **more):
    """The case of a loss that PyTorch has under the same name."""
    function = getattr(F, name)
    shapes = bad(
        ShapeError,
        rf"{name} expects input and target of one shape, got \(3, 2\) and \(2, 3\)\. "
        r"Did you mean target.reshape\(3, 2\)\?",
        inputs=lambda rng: (np.ones((3, 2)), np.ones((2, 3))),
    )
    return Case(
        name,
        function,
        inputs=make or differing(3, 2),
        options=options,
        naive=naive,
        errors=[shapes, *errors],
        **{"torch": torch_of(name), "batched": (0, 1), **more},
    )
