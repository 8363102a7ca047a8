"""Connectionist temporal classification."""

from __future__ import annotations

import itertools

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError

TARGETS = np.asarray([[1, 2], [2, 2], [1, 0]])
INPUT_LENGTHS, TARGET_LENGTHS = np.asarray([4, 3, 2]), np.asarray([2, 2, 1])
CONCATENATED = np.asarray([1, 2, 2, 2, 1])


def of_scores(scores, targets, input_lengths, target_lengths, **options):
    """Behind a log-softmax, where PyTorch's gradient is that of the formula."""
    return F.ctc_loss(F.log_softmax(scores, -1), targets, input_lengths, target_lengths, **options)


def torch_of_scores(torch, scores, *arrays, **options):
    return torch.nn.functional.ctc_loss(scores.log_softmax(-1), *arrays, **options)


def torch_ctc(torch, *arrays, **options):
    return torch.nn.functional.ctc_loss(*arrays, **options)


def read(path, blank):
    """What a path says: labels that follow each other merged, then blanks left out."""
    return [c for c, _ in itertools.groupby(path) if c != blank]


def naive_ctc(
    log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False
):
    """The sum over all paths, path by path."""
    one = log_probs.ndim == 2
    if one:
        log_probs, input_lengths, target_lengths = (
            log_probs[:, None],
            input_lengths[None],
            target_lengths[None],
        )
    if targets.ndim == 1:
        ends = np.cumsum(target_lengths)
        targets = [targets[end - n : end] for end, n in zip(ends, target_lengths, strict=True)]
    losses = []
    for n, (times, length) in enumerate(zip(input_lengths, target_lengths, strict=True)):
        wanted, total = list(targets[n][:length]), 0.0
        for path in itertools.product(range(log_probs.shape[2]), repeat=int(times)):
            if read(path, blank) == wanted:
                total += np.exp(sum(log_probs[t, n, c] for t, c in enumerate(path)))
        loss = -np.log(total) if total else (0.0 if zero_infinity else np.inf)
        losses.append(loss / max(length, 1) if reduction == "mean" else loss)
    if reduction == "none":
        return np.asarray(losses[0] if one else losses)
    return np.mean(losses) if reduction == "mean" else np.sum(losses)


def naive_of_scores(scores, *arrays, **options):
    return naive_ctc(scores - np.log(np.exp(scores).sum(-1, keepdims=True)), *arrays, **options)


def strips(rng, **options):
    return rng.standard_normal((4, 3, 3)), TARGETS, INPUT_LENGTHS, TARGET_LENGTHS


def refused(error, match, values=False, **changed):
    arrays = {
        "x": np.zeros((4, 3, 3)),
        "targets": TARGETS,
        "inputs": INPUT_LENGTHS,
        "lengths": TARGET_LENGTHS,
    }
    return bad(error, match, inputs=lambda rng: tuple((arrays | changed).values()), values=values)


CASES = [
    Case(
        "ctc_loss",
        of_scores,
        inputs=strips,
        options=[*grid(reduction=REDUCTIONS), {"reduction": "none", "zero_infinity": True}],
        torch=torch_of_scores,
        naive=naive_of_scores,
        batched=(),
        extremes=(),  # ctc_loss itself is below
        errors=[
            bad(ArgumentError, "expects blank between 0 and 2, got 3", blank=3),
            refused(
                ArgumentError, "input_lengths between 0 and 4, got 5", True, inputs=np.asarray([4, 5, 2])
            ),
            refused(
                ArgumentError, "target_lengths between 0 and 2, got -1", True, lengths=np.asarray([2, -1, 1])
            ),
            refused(
                IndexOutOfRangeError,
                "targets between 0 and 2, got 3",
                True,
                targets=TARGETS + np.asarray([[0], [1], [0]]),
            ),
            refused(ShapeError, r"targets of 3 samples, got the shape \(2, 2\)", targets=TARGETS[:2]),
            refused(
                ShapeError, "targets of the summed target_lengths, 5, got 4", True, targets=CONCATENATED[1:]
            ),
            refused(ShapeError, r"input_lengths of shape \(3,\), got \(2,\)", inputs=INPUT_LENGTHS[:2]),
            refused(
                ArgumentError,
                "without the blank, 0, got it in sample 1",
                True,
                targets=TARGETS * np.asarray([[1], [0], [1]]),
            ),
            refused(DTypeError, "targets as integers, got float64", targets=TARGETS * 1.0),
            refused(DTypeError, "target_lengths as integers, got float64", lengths=TARGET_LENGTHS * 1.0),
        ],
    ),
    Case(
        "ctc_loss of concatenated targets",
        of_scores,
        inputs=lambda rng, **options: (
            rng.standard_normal((4, 3, 3)),
            (CONCATENATED + options["blank"]) % 3,
            INPUT_LENGTHS,
            TARGET_LENGTHS,
        ),
        options=[{"blank": 2}],
        torch=torch_of_scores,
        naive=naive_of_scores,
        batched=(),
        extremes=(),
    ),
    Case(
        "ctc_loss of one sample",
        of_scores,
        inputs=lambda rng: (rng.standard_normal((4, 3)), np.asarray([1, 2]), np.asarray(4), np.asarray(2)),
        torch=torch_of_scores,
        naive=naive_of_scores,
        batched=(),
        extremes=(),
    ),
    Case(
        "ctc_loss of targets that are too long",
        of_scores,
        inputs=lambda rng, **options: (
            rng.standard_normal((2, 2, 3)),
            np.asarray([[2, 2], [1, 2]]),
            np.asarray([2, 2]),
            np.asarray([2, 0]),
        ),
        options=[{"zero_infinity": True}],
        torch=torch_of_scores,
        naive=naive_of_scores,
        batched=(),
        extremes=(),
    ),
]

LAYERS = [
    layer(
        "CTCLoss",
        lambda rng: np.log(rng.dirichlet(np.ones(3), (4, 3))),
        TARGETS,
        INPUT_LENGTHS,
        TARGET_LENGTHS,
    ),
    layer(
        "CTCLoss",
        lambda rng: np.log(rng.dirichlet(np.ones(3), (4, 3))),
        np.asarray([[1, 0], [0, 0], [1, 1]]),
        INPUT_LENGTHS,
        TARGET_LENGTHS,
        blank=2,
        reduction="none",
        zero_infinity=True,
    ),
]
