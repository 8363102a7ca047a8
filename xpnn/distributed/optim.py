"""PyTorch's path to the optimizer that processes share."""

from __future__ import annotations

from xpnn.optim.zero_redundancy import ZeroRedundancyOptimizer

__all__ = ["ZeroRedundancyOptimizer"]
