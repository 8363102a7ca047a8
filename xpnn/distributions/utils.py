"""Probabilities and logits, and what else authors of distributions use of `torch.distributions.utils`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import sigmoid
from xpnn.autograd.functions.random import randn
from xpnn.distributions.distribution import lazy as lazy_property
from xpnn.distributions.distribution import together

__all__ = ["broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits"]

_standard_normal = randn


def broadcast_all(*values: Any) -> list[Tensor]:
    """Numbers and Tensors as Tensors of one shape.

    >>> import xpnn
    >>> [value.shape for value in broadcast_all(1.0, xpnn.zeros(2))]
    [(2,), (2,)]
    """
    return together(*values, subject="broadcast_all")


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities: of a coin by the sigmoid, of categories (along the last axis) by the softmax.

    >>> import xpnn
    >>> logits_to_probs(xpnn.zeros(2))
    tensor([0.5000, 0.5000])
    """
    return sigmoid(logits) if is_binary else F.softmax(logits, dim=-1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """ln p of categories, ln(p / (1 - p)) of a coin; p is kept off 0 and 1 by the rounding of its type.

    >>> import xpnn
    >>> probs_to_logits(xpnn.tensor([0.5]), is_binary=True)
    tensor([0.])
    """
    kept = clamp_probs(probs)
    return kept.log() - (-kept).log1p() if is_binary else kept.log()


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept off 0 and 1 by the rounding of their type, so that their logarithms are numbers.

    >>> import xpnn
    >>> clamp_probs(xpnn.tensor([0.0, 1.0])) > 0
    tensor([True, True])
    """
    epsilon = float(probs.__array_namespace__().finfo(probs.dtype).eps)
    return probs.clamp(epsilon, 1 - epsilon)
