"""Changes of shape."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError

NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def naive_pad(x, pad, mode="constant", value=None):
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2]))[::-1]
    options = {"constant_values": value or 0.0} if mode == "constant" else {}
    added = [(max(before, 0), max(after, 0)) for before, after in pairs]
    x = np.pad(x, added, NUMPY_MODES[mode], **options)
    return x[tuple(slice(max(-b, 0), size + min(a, 0)) for size, (b, a) in zip(x.shape, pairs))]


CASES = [
    Case(
        "pad",
        F.pad,
        inputs=lambda rng, **options: (rng.standard_normal((2, 3, 3, 4)),),
        options=[
            *grid(pad=[(1, 2, 0, 1)], mode=["constant", "reflect", "replicate", "circular"]),
            {"pad": (-1, 2, 0, -1)},
            {"pad": (1, 0), "value": 2.5},
        ],
        torch=lambda torch, x, **options: torch.nn.functional.pad(x, **options),
        naive=naive_pad,
        checks=False,  # other element types than floating ones are taken too
        errors=[
            bad(ArgumentError, r"expects mode 'constant', .* got 'mirror'", mode="mirror"),
            bad(ArgumentError, r"two numbers for each of at most 4 axes.* got \(1,\)", pad=(1,)),
            bad(ArgumentError, r"takes no value in the mode 'reflect'", mode="reflect", value=1.0),
            bad(ShapeError, r"axis 3 to have more cells than", mode="reflect", pad=(4, 0)),
            bad(ShapeError, r"axis 3 to have no fewer cells than", mode="circular", pad=(0, 5)),
        ],
    ),
]

LAYERS = [
    layer("Flatten", (2, 3, 4)),
    layer("Flatten", (2, 3, 4), start_dim=0, end_dim=1),
    layer("Unflatten", (2, 6), dim=1, unflattened_size=(2, 3)),
]
