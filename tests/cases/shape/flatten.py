"""Changes of shape."""

from __future__ import annotations

from cases.layer import layer

LAYERS = [
    layer("Flatten", (2, 3, 4)),
    layer("Flatten", (2, 3, 4), start_dim=0, end_dim=1),
    layer("Unflatten", (2, 6), dim=1, unflattened_size=(2, 3)),
]
