"""Padding."""

from __future__ import annotations

from math import nan

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError


def _images(rng, **options):
    return (rng.standard_normal((2, 3, 4, 5)),)


def _volumes(rng, **options):
    return (rng.standard_normal((2, 1, 3, 3, 4)),)


def _integers(rng, **options):
    return (rng.integers(0, 9, (2, 3, 4)),)


def _in_torch(torch, x, **options):
    return torch.nn.functional.pad(x, **options)


def _padded(x, pad, mode="constant", value=None):
    """NumPy's own padding; then what is to be cut off."""
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [*zip(pad[::2], pad[1::2])][::-1]
    if any(n + min(before, 0) + min(after, 0) < 0 for n, (before, after) in zip(x.shape, widths)):
        raise ValueError("more is cut off than there is")
    cut = tuple(slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(x.shape, widths))
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    if mode in ("constant", "circular"):
        x, cut = x[cut], ()
    else:
        cut = tuple(
            slice(max(-before, 0), n + sum(more) - max(-after, 0))
            for n, more, (before, after) in zip(x.shape, grown, widths)
        )
    numpy = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    values = {"constant_values": value or 0} if mode == "constant" else {}
    return np.pad(x, grown, numpy, **values)[cut]


def _copied(mode, pad):
    return {"mode": mode, "pad": pad, "value": None}


_COPIES = ["reflect", "replicate", "circular"]

CASES = [
    Case(
        "pad",
        F.pad,
        inputs=_images,
        options=[
            {"pad": (1, 2), "value": 1.5},
            {"pad": (-1, 2, 1, 0, 0, 1, -1, 1), "mode": "constant"},
            {"pad": (0, -5, 0, 0)},
            {"pad": ()},
            *grid(pad=(1, 3, 2, 0), mode=_COPIES),
            *grid(pad=(-1, 2, 1, -2), mode=_COPIES),
        ],
        torch=_in_torch,
        naive=_padded,
        any_dtype=True,
        errors=[
            bad(ArgumentError, r"mode to be 'constant', .*, got 'mirror'", mode="mirror"),
            bad(ArgumentError, r"two for each axis .*, got \(1, 2, 3\)", pad=(1, 2, 3)),
            bad(ArgumentError, r"two for each axis .*, got 1", pad=1),
            bad(ArgumentError, r"pad as an integer, got 1.5", pad=(1.5, 1)),
            bad(ShapeError, r"two widths an axis", pad=(1,) * 10),
            bad(ShapeError, r"cut 6 cells off an axis of 5", pad=(-3, -3)),
            bad(ShapeError, r"at most 4 in mode 'reflect' for an axis of 5", **_copied("reflect", (5, 0))),
            bad(ShapeError, r"at most 5 in mode 'circular'", **_copied("circular", (0, 6))),
            bad(
                ShapeError,
                r"for an axis of 0",
                lambda rng: (np.ones((2, 0)),),
                **_copied("replicate", (1, 1)),
            ),
            bad(ArgumentError, r"no value in mode 'reflect', got 1.5", mode="reflect"),
            bad(ArgumentError, r"value as a number", value="1"),
            bad(ArgumentError, r"finite value for integers", lambda rng: (np.ones((2, 2), int),), value=nan),
        ],
    ),
    Case(
        "pad volumes",
        F.pad,
        inputs=_volumes,
        options=grid(pad=(1, 2, 2, 0, 1, 1), mode=_COPIES),
        torch=_in_torch,
        naive=_padded,
        any_dtype=True,
    ),
    Case(
        "pad integers",
        F.pad,
        inputs=_integers,
        options=grid(pad=(1, 2), mode=["constant", *_COPIES]),
        torch=_in_torch,
        naive=_padded,
        any_dtype=True,
    ),
]

_ROWS, _PICTURES, _VOLUMES = (2, 3, 4), (2, 3, 3, 4), (1, 2, 3, 3, 4)
_KINDS = ("Zero", "Reflection", "Replication", "Circular")
LAYERS = [
    layer("ConstantPad1d", _ROWS, padding=(1, 2), value=1.5),
    layer("ConstantPad2d", _PICTURES, padding=(1, -1, 0, 2), value=-1.0),
    layer("ConstantPad3d", _VOLUMES, padding=1, value=2),
    *(layer(f"{kind}Pad1d", _ROWS, padding=(2, 1)) for kind in _KINDS),
    *(layer(f"{kind}Pad2d", _PICTURES, padding=(1, 2, 0, 1)) for kind in _KINDS),
    *(layer(f"{kind}Pad3d", _VOLUMES, padding=1) for kind in _KINDS),
    layer("ReflectionPad2d", _PICTURES[1:], padding=1),
]
