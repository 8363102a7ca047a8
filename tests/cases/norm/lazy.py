"""Norms that find the number of their channels at the first call."""

from __future__ import annotations

from cases.layer import layer

LAYERS = [
    layer("LazyBatchNorm1d", (4, 3)),
    layer("LazyBatchNorm2d", (2, 3, 4, 2), momentum=None, bias=False),
    layer("LazyBatchNorm3d", (2, 2, 3, 2, 2), affine=False),
    layer("LazyInstanceNorm1d", (2, 3, 5)),
    layer("LazyInstanceNorm2d", (2, 3, 4, 2), affine=False),
    layer("LazyInstanceNorm3d", (2, 2, 3, 2, 2), bias=False),
]
