"""The adaptive softmax."""

from __future__ import annotations

import numpy as np

from cases.layer import layer

LAYERS = [
    layer(
        "AdaptiveLogSoftmaxWithLoss",
        (6, 8),
        np.asarray([0, 4, 9, 1, 9, 2]),
        in_features=8,
        n_classes=10,
        cutoffs=[2, 5],
        div_value=2.0,
    ),
    layer(
        "AdaptiveLogSoftmaxWithLoss",
        (8,),
        np.asarray(3),
        in_features=8,
        n_classes=6,
        cutoffs=(2, 4),
        div_value=2.0,
        head_bias=True,
    ),
    layer("AdaptiveLogSoftmaxWithLoss", (2, 8), np.asarray([1, 0]), in_features=8, n_classes=6, cutoffs=[2]),
]
