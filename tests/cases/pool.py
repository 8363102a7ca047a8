"""Pooling."""

from __future__ import annotations

from functools import partial
from math import inf

import numpy as np

import xpnn.functional as F
from cases import oracles
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError


def _images(rng, **options):
    return (rng.standard_normal((2, 3, 6, 7)),)


def _distinct(rng, **options):
    """Values far enough apart that finite differences change no winner."""
    return (rng.permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7) / 10.0,)


def _in_torch(name):
    return lambda torch, x, **options: getattr(torch.nn.functional, name)(x, **options)


_WINDOW_REFUSALS = [
    bad(
        ShapeError,
        r"kernel of 8 x 8, larger than its input of 6 x 7",
        kernel_size=8,
        padding=0,
        ceil_mode=False,
    ),
    bad(ArgumentError, r"stride of at least 1, got 0", stride=0),
    bad(ArgumentError, r"kernel_size as an integer or 2 integers", kernel_size="2"),
    bad(ArgumentError, r"padding of at most half of the kernel", kernel_size=2, padding=2),
]


def _of_shape(shape, rng, **options):
    return (rng.standard_normal(shape),)


def _shape(n):
    return (*(2, 3, 4, 3)[: n + 1], 5)


def _sequences_or_volumes(n, rng, **options):
    return (rng.permutation(int(np.prod(_shape(n)))).reshape(_shape(n)) / 10.0,)


def _of_sequences_and_volumes():
    """Pooling in one and in three dimensions, which shares its lines with that of images."""
    for n in (1, 3):
        shared = {"inputs": partial(_sequences_or_volumes, n), "axes": (n + 1, n + 2)}
        for words in ("", "_with_indices"):
            options = [
                {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
                {"kernel_size": 2, "dilation": 2, "stride": 1},
                {"kernel_size": 2, "return_indices": True},
            ]
            name = f"max_pool{n}d{words}"
            yield Case(
                name,
                getattr(F, name),
                options=options[2:] if words else options,
                torch=_in_torch(name),
                naive=oracles.max_pool,
                **shared,
                errors=[bad(ShapeError, r"kernel of 9", kernel_size=9, padding=0, ceil_mode=False)],
            )
            name = f"adaptive_max_pool{n}d{words}"
            yield Case(
                name,
                getattr(F, name),
                options=grid(output_size=[2, (None, 4, 7)[-n:]], return_indices=True),
                torch=_in_torch(name),
                naive=oracles.adaptive_max_pool,
                **shared,
            )
        yield Case(
            f"avg_pool{n}d",
            getattr(F, f"avg_pool{n}d"),
            options=[
                {"kernel_size": 2},
                {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
            ],
            torch=_in_torch(f"avg_pool{n}d"),
            naive=oracles.avg_pool,
            **shared,
        )
        yield Case(
            f"adaptive_avg_pool{n}d",
            getattr(F, f"adaptive_avg_pool{n}d"),
            options=grid(output_size=[1, (None, 4, 7)[-n:]]),
            torch=_in_torch(f"adaptive_avg_pool{n}d"),
            naive=oracles.adaptive_avg_pool,
            **shared,
            errors=[bad(ArgumentError, r"that fits memory", output_size=2**60)],
        )
        yield Case(
            f"lp_pool{n}d",
            getattr(F, f"lp_pool{n}d"),
            inputs=lambda rng, n=n, **options: (rng.uniform(0.5, 2.0, _shape(n)),),
            options=[{"norm_type": 2.0, "kernel_size": 2, "ceil_mode": True}],
            torch=_in_torch(f"lp_pool{n}d"),
            axes=(n + 1, n + 2),
        )
    for name, naive in (("max", oracles.max_pool), ("adaptive_max", oracles.adaptive_max_pool)):
        yield Case(
            f"{name}_pool2d_with_indices",
            getattr(F, f"{name}_pool2d_with_indices"),
            inputs=_distinct,
            options=[{"kernel_size" if name == "max" else "output_size": 2, "return_indices": True}],
            torch=_in_torch(f"{name}_pool2d_with_indices"),
            naive=naive,
            axes=(3, 4),
        )


def _pooled(n, rng, **options):
    """Values, and different places for them in each channel."""
    shape = (2, 2, *(2,) * n)
    places = [rng.permutation(4**n)[: 2**n] for _ in range(4)]
    return rng.standard_normal(shape), np.stack(places).reshape(shape)


def _nails(x, scale_factor):
    """By slices of zeros."""
    axes = x.ndim - 2
    factors = (scale_factor,) * axes if isinstance(scale_factor, int) else scale_factor
    y = np.zeros((*x.shape[:2], *(n * factor for n, factor in zip(x.shape[2:], factors))), x.dtype)
    y[(..., *(slice(None, None, factor) for factor in factors))] = x
    return y


def _nails_in_torch(torch, x, scale_factor):
    """Written into zeros, of which every `scale_factor`-th is a place."""
    axes = x.ndim - 2
    factors = (scale_factor,) * axes if isinstance(scale_factor, int) else scale_factor
    sizes = [size * factor for size, factor in zip(x.shape[2:], factors)]
    places = tuple(slice(None, None, factor) for factor in factors)
    y = torch.zeros(*x.shape[:2], *sizes, dtype=x.dtype)
    y[(..., *places)] = x
    return y


def _unpool_in_torch(n):
    return lambda torch, x, indices, **options: getattr(torch.nn.functional, f"max_unpool{n}d")(
        x, indices, **options
    )


def _unpooled(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    size = output_size or [(n - 1) * (stride or kernel_size) + kernel_size - 2 * padding for n in x.shape[2:]]
    y = np.zeros((*x.shape[:2], *size))
    for n, c, *place in np.ndindex(*x.shape):
        y[n, c].flat[indices[(n, c, *place)]] = x[(n, c, *place)]
    return y


def _sampled(n, rng, **options):
    shape = (2, 2, *(5, 4, 5)[:n])
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 10.0, rng.random((2, 2, n))


def _with_samples(function):
    return lambda x, u, **options: function(x, _random_samples=u, **options)


def _fractional_in_torch(n, words):
    def in_torch(torch, x, u, **options):
        return getattr(torch.nn.functional, f"fractional_max_pool{n}d{words}")(
            x, _random_samples=u, **options
        )

    return in_torch


CASES = [
    Case(
        "max_pool2d",
        F.max_pool2d,
        inputs=_distinct,
        options=[
            *grid(kernel_size=2, stride=[None, 1], padding=0, ceil_mode=[False, True]),
            *grid(kernel_size=(3, 2), stride=[None, (1, 2)], padding=1, ceil_mode=True),
            {"kernel_size": 2, "dilation": (2, 3), "stride": 1},
            {"kernel_size": 1, "stride": 2},
        ],
        torch=_in_torch("max_pool2d"),
        naive=oracles.max_pool,
        axes=(3, 4),
        errors=_WINDOW_REFUSALS,
    ),
    Case(
        "max_pool2d indices",
        F.max_pool2d,
        inputs=_distinct,
        options=grid(kernel_size=(3, 2), padding=[0, 1], ceil_mode=True, return_indices=True),
        torch=_in_torch("max_pool2d"),
        naive=oracles.max_pool,
        axes=(3, 4),
    ),
    Case(
        "avg_pool2d",
        F.avg_pool2d,
        inputs=_images,
        options=[
            *grid(kernel_size=(3, 2), padding=1, ceil_mode=[False, True], count_include_pad=[True, False]),
            {"kernel_size": 2},
            {"kernel_size": 2, "ceil_mode": True},
            {"kernel_size": 3, "stride": (2, 1), "padding": 1},
            {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": 4},
        ],
        torch=_in_torch("avg_pool2d"),
        naive=oracles.avg_pool,
        axes=(3, 4),
        errors=[
            *_WINDOW_REFUSALS,
            bad(ArgumentError, r"divisor_override of at least 1, got 0", divisor_override=0),
            bad(ArgumentError, r"divisor_override of at least 1, got -1", divisor_override=-1),
            bad(ArgumentError, r"divisor_override as an integer", divisor_override=1.5),
        ],
    ),
    Case(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        inputs=_images,
        options=grid(output_size=[1, 3, (4, 5), (None, 2), 8]),
        torch=_in_torch("adaptive_avg_pool2d"),
        naive=oracles.adaptive_avg_pool,
        axes=(3, 4),
        errors=[
            bad(ArgumentError, r"output_size of at least 1", output_size=0),
            bad(ArgumentError, r"output_size as an integer or 2 integers", output_size=(1, 2, 3)),
        ],
    ),
    Case(
        "adaptive_max_pool2d",
        F.adaptive_max_pool2d,
        inputs=_distinct,
        options=grid(output_size=[1, (4, 5), (None, 2)], return_indices=[False, True]),
        torch=_in_torch("adaptive_max_pool2d"),
        naive=oracles.adaptive_max_pool,
        axes=(3, 4),
        errors=[bad(ArgumentError, r"output_size of at least 1", output_size=(0, 1))],
    ),
    *_of_sequences_and_volumes(),
    Case(
        "lp_pool2d",
        F.lp_pool2d,
        inputs=lambda rng, **options: (rng.uniform(0.5, 2.0, (2, 3, 5, 4)),),
        options=[
            {"norm_type": 2.0, "kernel_size": 2},
            {"norm_type": 3.0, "kernel_size": (3, 2), "stride": 2, "ceil_mode": True},
            {"norm_type": inf, "kernel_size": 2},
        ],
        torch=_in_torch("lp_pool2d"),
        naive=None,
        axes=(3, 4),
        errors=[
            bad(ArgumentError, r"norm_type other than 0", norm_type=0.0),
            bad(ArgumentError, r"norm_type as a number, got '2'", norm_type="2"),
        ],
    ),
    *(
        Case(
            f"max_unpool{n}d",
            getattr(F, f"max_unpool{n}d"),
            inputs=partial(_pooled, n),
            options=[{"kernel_size": 2, "output_size": (5,) * n}, {"kernel_size": 2, "padding": 0}],
            torch=_unpool_in_torch(n),
            naive=_unpooled,
            axes=(n + 1, n + 2),
            batched=(0, 1),
            extremes=(),
            errors=[
                bad(ArgumentError, r"less than a stride from", output_size=(9,) * n),
                bad(ArgumentError, rf"as {n} or {n + 2} integers", output_size=3),
            ],
        )
        for n in (1, 2, 3)
    ),
    *(
        Case(
            f"fractional_max_pool{n}d{words}",
            _with_samples(getattr(F, f"fractional_max_pool{n}d{words}")),
            inputs=partial(_sampled, n),
            options=options,
            torch=_fractional_in_torch(n, words),
            differentiable=(0,),
            axes=(n + 1, n + 2),
            batched=(),
            extremes=(),
            checks=False,
            errors=errors,
        )
        for n in (2, 3)
        for words, options, errors in (
            (
                "",
                [{"kernel_size": 2, "output_size": 2}, {"kernel_size": 2, "output_ratio": (0.5,) * n}],
                [
                    bad(ArgumentError, r"one of output_size and output_ratio", output_ratio=0.5),
                    bad(ArgumentError, r"between 0 and 1", output_size=None, output_ratio=1.5),
                    bad(ShapeError, r"no more than .* windows", output_size=9),
                ],
            ),
            ("_with_indices", [{"kernel_size": (1, 2, 2)[-n:], "output_size": (2, 1, 2)[-n:]}], []),
        )
    ),
    *(
        Case(
            f"bed_of_nails {name}".strip(),
            F.bed_of_nails,
            inputs=partial(_of_shape, shape),
            options=options,
            any_dtype=True,
            extremes=(),
            torch=_nails_in_torch,
            naive=_nails,
            axes=(3, 5),
            errors=refusals,
        )
        for name, shape, options, refusals in (
            (
                "",
                (2, 2, 2, 3),
                [{"scale_factor": 2}, {"scale_factor": (1, 3)}],
                [
                    bad(ArgumentError, r"scale_factor of at least 1, got 0", scale_factor=0),
                    bad(ArgumentError, r"scale_factor as an integer or 2 integers", scale_factor=(2, 2, 2)),
                ],
            ),
            ("of sequences", (2, 1, 3), [{"scale_factor": 3}], []),
            ("of volumes", (1, 2, 2, 1, 2), [{"scale_factor": (2, 1, 2)}], []),
        )
    ),
]

PICTURES = (2, 3, 5, 6)
LAYERS = [
    layer("MaxPool2d", PICTURES[1:], kernel_size=2, return_indices=True),
    layer("MaxPool2d", (3, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    layer("AvgPool2d", PICTURES[1:], kernel_size=3, padding=1),
    layer("AvgPool2d", (3, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    layer("AdaptiveAvgPool2d", PICTURES[1:], output_size=(5, 2)),
    layer("AdaptiveMaxPool2d", PICTURES[1:], output_size=2, return_indices=True),
    layer("MaxPool2d", PICTURES, kernel_size=2),
    layer("MaxPool2d", PICTURES, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    layer("MaxPool2d", PICTURES, kernel_size=2, dilation=2, stride=1, return_indices=True),
    layer("AvgPool2d", PICTURES, kernel_size=(2, 3), stride=1),
    layer("AvgPool2d", PICTURES, kernel_size=3, padding=1, count_include_pad=False, ceil_mode=True),
    layer("AvgPool2d", PICTURES, kernel_size=3, divisor_override=2),
    layer("AdaptiveAvgPool2d", PICTURES, output_size=1),
    layer("AdaptiveAvgPool2d", PICTURES, output_size=(2, None)),
    layer("AdaptiveMaxPool2d", PICTURES, output_size=2),
    layer("AdaptiveMaxPool2d", PICTURES, output_size=(2, 3), return_indices=True),
    *(
        line
        for n, shape in ((1, (2, 3, 7)), (3, (2, 2, 4, 3, 5)))
        for line in (
            layer(f"MaxPool{n}d", shape, kernel_size=3, stride=2, padding=1, ceil_mode=True),
            layer(f"MaxPool{n}d", shape[1:], kernel_size=2, return_indices=True),
            layer(f"AvgPool{n}d", shape, kernel_size=3, stride=2, padding=1, count_include_pad=False),
            layer(f"AdaptiveAvgPool{n}d", shape, output_size=3),
            layer(f"AdaptiveMaxPool{n}d", shape, output_size=2, return_indices=True),
        )
    ),
    *(
        line
        for n in (1, 2, 3)
        for line in (
            layer(f"LPPool{n}d", (2, 2, *(4,) * n), norm_type=2, kernel_size=3, stride=1),
            layer(
                f"MaxUnpool{n}d",
                (1, 2, *(2,) * n),
                np.arange(0, 2 ** (n + 1)).reshape(1, 2, *(2,) * n),
                kernel_size=2,
            ),
        )
    ),
    *(
        layer(
            f"FractionalMaxPool{n}d",
            (1, 2, *(5,) * n),
            kernel_size=2,
            output_size=3,
            _random_samples=np.linspace(0.1, 0.9, 2 * n).reshape(1, 2, n),
        )
        for n in (2, 3)
    ),
]
