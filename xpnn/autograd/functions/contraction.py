"""Sums of products over labelled axes, pair by pair, each by one matrix product."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.promotion import check_one_type, promoted
from xpnn.backend import ArgumentError, ShapeError


def contract(operands: list[Any], inputs: list[list[Any]], output: list[Any] | None) -> Any:
    """The sum of the products of all operands over the labels that the output does not have.

    Args:
        inputs: a label for each axis of each operand; `...` stands for those that are left, which broadcast.
        output: the labels of the result; None: those of `...`, then those that occur once, in order.

    >>> import numpy as np
    >>> contract([np.ones((2, 3)), np.ones((3, 4))], [["i", "j"], ["j", "k"]], ["i", "k"]).shape
    (2, 4)
    """
    if len(operands) != len(inputs):
        raise ArgumentError(f"expects {len(inputs)} operands, got {len(operands)}", subject="einsum")
    labelled = [_spelled_out(x, labels) for x, labels in zip(operands, inputs)]
    every = [label for _, labels in labelled for label in labels]
    dots = sorted({label for label in every if isinstance(label, _Dot)})
    if output is None:
        once = sorted({label for label in every if every.count(label) == 1 and not isinstance(label, _Dot)})
        output = [*dots, *once]
    elif Ellipsis in output:
        place = output.index(...)
        output = [*output[:place], *dots, *output[place + 1 :]]
    _check_output(output, every)
    _check_sizes(labelled)
    x, labels = _without_repeats(*labelled[0])
    for i, other in enumerate(labelled[1:], start=2):
        later = {label for _, rest in labelled[i:] for label in rest}
        x, labels = _pair(x, labels, *_without_repeats(*other), keep={*output, *later})
    x, labels = _summed(x, labels, set(output))
    return ops.permute_dims(x, tuple([labels.index(label) for label in output]))


class _Dot(int):
    """The label of an axis that `...` stands for, counted from the last one: 0, -1, ..."""


def _spelled_out(x: Any, labels: list[Any]) -> tuple[Any, list[Any]]:
    """The operand with a label for every axis."""
    named = len(labels) - labels.count(...)
    if named > x.ndim or (named < x.ndim and Ellipsis not in labels) or labels.count(...) > 1:
        raise ShapeError(
            f"has {named} labels for an operand of shape {tuple(x.shape)}", subject="the equation of einsum"
        )
    if Ellipsis not in labels:
        return x, labels
    place = labels.index(...)
    dots = [_Dot(-i) for i in reversed(range(x.ndim - named))]
    return x, [*labels[:place], *dots, *labels[place + 1 :]]


def _check_output(output: list[Any], every: list[Any]) -> None:
    for label in output:
        if output.count(label) > 1 or label not in every:
            raise ArgumentError(
                f"expects each label of the result once, and in an operand, got {label!r}", subject="einsum"
            )


def _check_sizes(labelled: list[tuple[Any, list[Any]]]) -> None:
    sizes: dict[Any, int] = {}
    for x, labels in labelled:
        for label, size in zip(labels, x.shape):
            known = sizes.get(label, 1)
            if 1 not in (known, size) and known != size:
                raise ShapeError(f"expects one size for {label!r}, got {known} and {size}", subject="einsum")
            sizes[label] = size if known == 1 else known


def _without_repeats(x: Any, labels: list[Any]) -> tuple[Any, list[Any]]:
    """The diagonal of axes that have one label."""
    for label in {label for label in labels if labels.count(label) > 1}:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(
                    f"expects one size for {label!r}, got {x.shape[first]} and {x.shape[second]}",
                    subject="einsum",
                )
            rest = [i for i in range(x.ndim) if i not in (first, second)]
            x = ops.diagonal(ops.permute_dims(x, (*rest, first, second)))
            labels = [*[labels[i] for i in rest], label]
    return x, labels


def _pair(x: Any, xs: list[Any], y: Any, ys: list[Any], keep: Collection[Any]) -> tuple[Any, list[Any]]:
    """The sum of products of two operands over the labels that need not be kept."""
    x, xs = _without_ones(x, xs, y, ys)
    y, ys = _without_ones(y, ys, x, xs)
    x, xs = _summed(x, xs, {*keep, *ys})
    y, ys = _summed(y, ys, {*keep, *xs})
    batch = [label for label in xs if label in ys and label in keep]
    inner = [label for label in xs if label in ys and label not in keep]
    if inner:
        check_one_type(x, y, "einsum")
    else:  # products of elements, of any types, as by `*`
        x, y = promoted(x, y)
    rows, columns = [label for label in xs if label not in ys], [label for label in ys if label not in xs]
    sizes = {**dict(zip(xs, x.shape)), **dict(zip(ys, y.shape))}

    def arranged(z: Any, labels: list[Any], *groups: list[Any]) -> Any:
        order = [labels.index(label) for label in [*batch, *groups[0], *groups[1]]]
        shape = [math.prod(sizes[label] for label in group) for group in (batch, *groups)]
        return ops.reshape(ops.permute_dims(z, tuple(order)), shape)

    product = ops.matmul(arranged(x, xs, rows, inner), arranged(y, ys, inner, columns))
    labels = [*batch, *rows, *columns]
    return ops.reshape(product, [sizes[label] for label in labels]), labels


def _without_ones(x: Any, xs: list[Any], y: Any, ys: list[Any]) -> tuple[Any, list[Any]]:
    """Without the axes of size 1 that the other operand has longer."""
    gone = [
        i for i, label in enumerate(xs) if label in ys and x.shape[i] == 1 and y.shape[ys.index(label)] != 1
    ]
    if not gone:
        return x, xs
    return ops.squeeze(x, tuple(gone)), [label for i, label in enumerate(xs) if i not in gone]


def _summed(x: Any, labels: list[Any], keep: Collection[Any]) -> tuple[Any, list[Any]]:
    gone = tuple([i for i, label in enumerate(labels) if label not in keep])
    if not gone:
        return x, labels
    return ops.sum(x, axis=gone, dtype=x.dtype), [label for label in labels if label in keep]
