"""Losses."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError

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
    common = [
        bad(
            ShapeError,
            rf"{name} expects input and target of one shape, got \(3, 1\) and \(3,\)\. "
            r"Did you mean target.reshape\(3, 1\)\?",
            inputs=lambda rng: (np.ones((3, 1)), np.ones(3)),
        ),
        bad(ArgumentError, rf"{name} expects reduction to be 'none', .*, got 'avg'", reduction="avg"),
        bad(
            DTypeError,
            rf"{name} expects a floating-point input, got int64",
            inputs=lambda rng: (np.ones(3, dtype=np.int64), np.ones(3)),
        ),
        bad(
            DTypeError,
            r"expects input and target of one element type, got float32 and float64\. Convert the target",
            inputs=lambda rng: (np.ones(3, dtype=np.float32), np.ones(3)),
        ),
    ]
    return Case(
        name,
        function,
        inputs=make or differing(3, 2),
        options=options,
        torch=torch_of(name),
        naive=naive,
        batched=(0, 1),
        errors=[*common, *errors],
        **more,
    )


def naive_huber(x, t, reduction, delta=1.0):
    d = np.abs(x - t)
    return reduced(np.where(d < delta, d**2 / 2, delta * (d - delta / 2)), reduction)


def naive_smooth_l1(x, t, reduction, beta=1.0):
    d = np.abs(x - t)
    return reduced(np.where(d < beta, d**2 / (2 * beta) if beta else 0, d - beta / 2), reduction)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_bce_with_logits(x, t, weight=None, pos_weight=None, reduction="mean"):
    p = sigmoid(x)
    losses = -((1 if pos_weight is None else pos_weight) * t * np.log(p) + (1 - t) * np.log(1 - p))
    return reduced(losses if weight is None else weight * losses, reduction)


def naive_bce(x, t, weight=None, reduction="mean"):
    losses = -(t * np.log(x) + (1 - t) * np.log(1 - x))
    return reduced(losses if weight is None else weight * losses, reduction)


def naive_kl_div(x, t, reduction, log_target=False):
    p = np.exp(t) if log_target else t
    return reduced(p * (np.log(p) - x), reduction)


def log_probabilities(rng, *shape):
    x = rng.standard_normal(shape)
    return x - np.log(np.exp(x).sum(axis=min(1, x.ndim - 1), keepdims=True))


def kl_inputs(rng, reduction, log_target=False):
    t = log_probabilities(rng, 2, 3)
    return log_probabilities(rng, 2, 3), t if log_target else np.exp(t)


def logits_and_targets(rng, **options):
    return 2 * rng.standard_normal((3, 2)), rng.random((3, 2))


def probabilities_and_targets(rng, **options):
    return rng.uniform(0.1, 0.9, (3, 2)), rng.random((3, 2))


def bce_with_pos_weight(x, t, weight, pos_weight, **options):
    return F.binary_cross_entropy_with_logits(x, t, weight, pos_weight=pos_weight, **options)


def torch_bce_with_pos_weight(torch, x, t, weight, pos_weight, **options):
    function = torch.nn.functional.binary_cross_entropy_with_logits
    return function(x, t, weight, pos_weight=pos_weight, **options)


REGRESSION = [
    elementwise(
        "mse_loss", lambda x, t, reduction: reduced((x - t) ** 2, reduction), grid(reduction=REDUCTIONS)
    ),
    elementwise(
        "l1_loss", lambda x, t, reduction: reduced(np.abs(x - t), reduction), grid(reduction=REDUCTIONS)
    ),
    elementwise(
        "huber_loss",
        naive_huber,
        [*grid(reduction=REDUCTIONS), {"reduction": "mean", "delta": 2.0}],
        errors=[bad(ArgumentError, r"huber_loss expects a positive delta, got 0", delta=0)],
    ),
    elementwise(
        "smooth_l1_loss",
        naive_smooth_l1,
        [*grid(reduction=REDUCTIONS), *grid(reduction="sum", beta=[2.0, 0.0])],
        errors=[bad(ArgumentError, r"smooth_l1_loss expects a beta of at least 0, got -1", beta=-1)],
    ),
]

BINARY = [
    elementwise(
        "binary_cross_entropy_with_logits",
        naive_bce_with_logits,
        grid(reduction=REDUCTIONS),
        logits_and_targets,
    ),
    Case(
        "binary_cross_entropy_with_logits with weights",
        bce_with_pos_weight,
        inputs=lambda rng, reduction: (
            *logits_and_targets(rng),
            rng.uniform(0.5, 2.0, (3, 1)),
            rng.uniform(0.5, 2.0, 2),
        ),
        options=grid(reduction=REDUCTIONS),
        torch=torch_bce_with_pos_weight,
        naive=naive_bce_with_logits,
        differentiable=(0, 1),
        batched=(0, 1, 2),
        errors=[
            bad(
                ShapeError,
                r"expects a pos_weight that broadcasts to \(3, 2\), got \(3,\)",
                inputs=lambda rng: (np.ones((3, 2)), np.ones((3, 2)), None, np.ones(3)),
            )
        ],
    ),
    elementwise(
        "binary_cross_entropy",
        naive_bce,
        grid(reduction=REDUCTIONS),
        probabilities_and_targets,
        errors=[
            bad(
                ArgumentError,
                r"expects probabilities between 0 and 1, got 1.5\. For scores use",
                inputs=lambda rng: (np.asarray([0.5, 1.5]), np.ones(2)),
                values=True,
            )
        ],
    ),
    Case(
        "binary_cross_entropy with weights",
        F.binary_cross_entropy,
        inputs=lambda rng: (*probabilities_and_targets(rng), rng.uniform(0.5, 2.0, 2)),
        torch=lambda torch, *arrays: torch.nn.functional.binary_cross_entropy(*arrays),
        naive=naive_bce,
        batched=(0, 1),
        differentiable=(0, 1),
    ),
    elementwise(
        "kl_div",
        naive_kl_div,
        grid(reduction=[*REDUCTIONS, "batchmean"], log_target=[False, True]),
        kl_inputs,
    ),
]


def naive_cross_entropy(
    x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, logits=True
):
    """Target by target, class by class."""
    axis = min(1, x.ndim - 1)
    x = np.moveaxis(x, axis, -1)
    classes = x.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    soft = target.ndim == x.ndim
    q = np.moveaxis(target, axis, -1) if soft else None
    losses = np.zeros(x.shape[:-1])
    total = 0.0
    for place in np.ndindex(*losses.shape):
        scores = x[place]
        log_p = scores - np.log(np.exp(scores).sum()) if logits else scores
        if soft:
            distribution, share = q[place], 1.0
        elif target[place] == ignore_index:
            continue
        else:
            distribution, share = np.eye(classes)[target[place]], weight[target[place]]
        distribution = (1 - label_smoothing) * distribution + label_smoothing / classes
        losses[place] = -sum(weight[c] * distribution[c] * log_p[c] for c in range(classes))
        total += share
    if reduction == "mean":
        return losses.sum() / total if total else np.asarray(np.nan)
    return reduced(losses, reduction)


def torch_cross_entropy(torch, x, target, weight=None, **options):
    return torch.nn.functional.cross_entropy(x, target, weight, **options)


def naive_nll(x, target, weight=None, **options):
    return naive_cross_entropy(x, target, weight, logits=False, **options)


def torch_nll(torch, x, target, weight=None, **options):
    return torch.nn.functional.nll_loss(x, target, weight, **options)


def torch_one_hot_cross_entropy(torch, x, target, **options):
    return torch.nn.functional.cross_entropy(x, target.to(x.dtype), **options)


def labelled(*shape, weighted=False, log=False):
    """Scores, class numbers (one of them 2 = the tests' ignore_index), and weights of classes."""

    def make(rng, **options):
        axis = min(1, len(shape) - 1)
        x = log_probabilities(rng, *shape) if log else rng.standard_normal(shape)
        labels = np.asarray(rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :]))
        if labels.size > 1:
            labels.flat[0], labels.flat[1] = 2, 1
        return (x, labels, rng.uniform(0.5, 2.0, shape[axis])) if weighted else (x, labels)

    return make


def distributed(*shape, weighted=False):
    def make(rng, **options):
        axis = min(1, len(shape) - 1)
        q = rng.random(shape)
        q /= q.sum(axis=axis, keepdims=True)
        x = rng.standard_normal(shape)
        return (x, q, rng.uniform(0.5, 2.0, shape[axis])) if weighted else (x, q)

    return make


def class_case(name, make, options, **more):
    return Case(
        name,
        F.cross_entropy,
        inputs=make,
        options=options,
        torch=torch_cross_entropy,
        naive=naive_cross_entropy,
        **{"batched": (0, 1), "differentiable": (0,), **more},
    )


def nll_case(name, make, options, **more):
    return Case(
        name,
        F.nll_loss,
        inputs=make,
        options=options,
        torch=torch_nll,
        naive=naive_nll,
        **{"batched": (0, 1), "differentiable": (0,), **more},
    )


def label_errors(name):
    """What both losses refuse."""

    def of(labels, shape=(2, 3)):
        return lambda rng: (rng.standard_normal(shape), np.asarray(labels))

    return [
        bad(
            IndexOutOfRangeError,
            rf"{name} expects labels between 0 and 2, got 3 at position 1\. "
            r"The input of shape \(2, 3\) has 3 classes on axis 1",
            inputs=of([0, 3]),
            values=True,
        ),
        bad(IndexOutOfRangeError, r"got -1 at position 0", inputs=of([-1, 0]), values=True),
        bad(
            ShapeError,
            rf"{name} expects labels of shape \(2,\).* for an input of shape \(2, 3\), got \(2, 1\)\. "
            r"Did you mean target.reshape\(2,\)\?",
            inputs=of([[0], [1]]),
        ),
        bad(ShapeError, rf"{name} expects labels of shape \(2,\)", inputs=of([0, 1, 2])),
        bad(DTypeError, rf"{name} expects labels as integers, got float64", inputs=of([0.0, 1.0])),
        bad(
            DTypeError,
            rf"{name} expects a floating-point input, got int64",
            inputs=lambda rng: (np.ones((2, 3), dtype=np.int64), np.zeros(2, dtype=np.int64)),
        ),
        bad(
            ShapeError,
            rf"{name} expects weight of shape \(3,\), got \(2,\)",
            inputs=lambda rng: (np.ones((2, 3)), np.zeros(2, dtype=np.int64), np.ones(2)),
        ),
        bad(ArgumentError, rf"{name} expects reduction to be", reduction="average"),
    ]


CLASSES = [
    class_case(
        "cross_entropy",
        labelled(4, 3),
        grid(reduction=REDUCTIONS, label_smoothing=[0.0, 0.1], ignore_index=[-100, 2]),
        errors=[
            *label_errors("cross_entropy"),
            bad(ArgumentError, r"label_smoothing between 0 and 1, got 1.5", label_smoothing=1.5),
            bad(
                DTypeError,
                r"expects input and target of one element type, got float32 and float64",
                inputs=lambda rng: (np.ones((2, 3), dtype=np.float32), np.ones((2, 3)) / 3),
            ),
        ],
    ),
    class_case(
        "cross_entropy with weights",
        labelled(4, 3, weighted=True),
        grid(reduction=REDUCTIONS, label_smoothing=[0.0, 0.1], ignore_index=2),
    ),
    class_case(
        "cross_entropy of images",
        labelled(2, 3, 2, 2, weighted=True),
        grid(reduction=REDUCTIONS, label_smoothing=0.1),
    ),
    class_case("cross_entropy of one sample", labelled(3), grid(reduction=["mean", "none"]), batched=()),
    class_case(
        "cross_entropy with all labels ignored",
        lambda rng, **options: (rng.standard_normal((2, 3)), np.asarray([-100, -100])),
        grid(reduction=["sum", "none"]),
    ),
    class_case(
        "cross_entropy of soft labels",
        distributed(4, 3),
        grid(reduction=REDUCTIONS, label_smoothing=[0.0, 0.1]),
        differentiable=(0, 1),
    ),
    class_case(
        "cross_entropy of soft labels with weights",
        distributed(2, 3, 2, weighted=True),
        grid(reduction=REDUCTIONS, label_smoothing=0.1),
        differentiable=(0, 1),
    ),
    Case(
        "cross_entropy of one-hot integers",
        F.cross_entropy,
        inputs=lambda rng: (rng.standard_normal((2, 3)), np.asarray([[0, 1, 0], [1, 0, 0]])),
        torch=torch_one_hot_cross_entropy,
        naive=naive_cross_entropy,
        batched=(0, 1),
    ),
    nll_case(
        "nll_loss",
        labelled(4, 3, log=True),
        grid(reduction=REDUCTIONS, ignore_index=[-100, 2]),
        errors=label_errors("nll_loss"),
    ),
    nll_case("nll_loss with weights", labelled(4, 3, weighted=True, log=True), grid(reduction=REDUCTIONS)),
    nll_case("nll_loss of images", labelled(2, 3, 2, log=True), grid(reduction=["mean", "none"])),
]

CASES = [*REGRESSION, *BINARY, *CLASSES]
