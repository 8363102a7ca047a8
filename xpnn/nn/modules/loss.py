"""Losses, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.loss import *
from xpnn.nn.loss.base import Loss, WeightedLoss

_Loss = Loss
_WeightedLoss = WeightedLoss
