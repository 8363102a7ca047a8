"""Functions of each element on its own."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, COUNTS, INF, NAN, ODD, POSITIVE, ROW, SCALAR, UNIT, WHOLE, X, Y, row, rows

VALUES = {"gradient": 0, "edges": False, "half": False, "in_place": False}
LARGE = 1.0 + POSITIVE
HALVES = np.asarray([0.5, 1.5, -2.5, 2.25, -0.3])
COMPLEX = np.asarray([1 + 2j, -3 + 0.5j, 0j])

FRACTIONS = "cos cosh exp exp2 expm1 sin sinh tan tanh sigmoid sinc deg2rad rad2deg atan arctan asinh arcsinh"
STEPS = "ceil floor trunc fix round"
ANY_NUMBER = f"{FRACTIONS} {STEPS} abs absolute neg negative positive sign sgn signbit square relu nan_to_num"

ROWS = [
    # one operand
    *rows(ANY_NUMBER, X),
    *rows("acos arccos asin arcsin atanh arctanh", UNIT),
    *rows("acosh arccosh", LARGE),
    *rows("log log10 log1p log2 sqrt rsqrt reciprocal", POSITIVE),
    *rows("frac", X),
    *rows("logit", POSITIVE / 4),
    row("logit", np.asarray([-0.5, 0.2, 0.9, 1.5]), eps=0.125, checks={"half": False}),
    *rows(f"{FRACTIONS} log log10 log1p log2 sqrt rsqrt reciprocal square", COUNTS),
    *rows(f"{FRACTIONS} sign square relu abs neg positive ceil signbit", BITS),
    *rows(f"{STEPS} abs neg positive sign sgn signbit relu nan_to_num frac", WHOLE),
    *rows(f"{ANY_NUMBER} log log1p sqrt rsqrt reciprocal acos atanh frac", ODD, checks=VALUES),
    *rows("abs sgn", COMPLEX, checks=VALUES),
    *rows(STEPS, HALVES),
    row("round", HALVES, decimals=1, checks={"half": False}),
    row("round", 100 * HALVES, decimals=-2),
    row("round", WHOLE, decimals=1),
    row("nan_to_num", ODD, nan=2.0, posinf=5.0, neginf=-5.0, checks={"half": False}),
    row("nan_to_num", ODD, checks={"half": False}),
    *rows("softmax log_softmax", X, dim=1),
    *rows("softmax log_softmax", X, dim=0, dtype="float32", checks={"gradient": 0, "half": False}),
    *rows("softmax log_softmax", WHOLE, dim=-1, dtype="float64"),
    # two operands
    *rows("add sub subtract mul multiply div divide true_divide", X, Y),
    *rows("add sub mul div maximum minimum fmax fmin atan2 hypot copysign pow", POSITIVE, ROW[None] + 3),
    *rows("add sub mul div remainder fmod floor_divide copysign", X, COUNTS),
    *rows("add sub mul div remainder fmod floor_divide", COUNTS, SCALAR),
    *rows("add sub mul div remainder fmod floor_divide pow copysign float_power", POSITIVE, 2.5),
    *rows("add sub mul div remainder fmod floor_divide pow float_power copysign", COUNTS, 2),
    *rows("add sub mul div remainder fmod floor_divide pow", COUNTS, 0.5),
    *rows("add mul div remainder pow", BITS, 2.0),
    *rows("add mul sub maximum", BITS, WHOLE),
    *rows("add sub mul remainder fmod floor_divide maximum minimum gcd lcm pow", WHOLE, COUNTS),
    *rows("remainder fmod floor_divide div gcd", COUNTS, WHOLE, checks={"gradient": 0}),
    *rows("remainder fmod floor_divide", WHOLE, 0),
    *rows("fmax fmin maximum minimum atan2 arctan2 hypot logaddexp logaddexp2", X, Y),
    *rows("fmax fmin maximum minimum", X, X),
    *rows(
        "fmax fmin maximum minimum add mul div atan2 hypot fmod remainder pow xlogy",
        ODD,
        ODD[::-1].copy(),
        checks=VALUES,
    ),
    *rows("remainder fmod floor_divide", X, Y, checks={"half": False}),
    *rows("atan2", WHOLE, COUNTS),
    *rows("pow float_power", POSITIVE, Y),
    row("pow", 2, WHOLE + 5),
    row("pow", 2.5, X),
    row("pow", COUNTS, -1),
    row("pow", np.asarray([2, 1, -1, -1, 0]), np.asarray([-1, -2, -3, -4, -1]), checks=VALUES),
    *rows("add sub mul", np.asarray([5, 200], np.uint8), -3, checks=VALUES),
    *rows("add sub rsub", np.asarray([5, 200], np.uint8), np.asarray([1], np.uint8), alpha=-3, checks=VALUES),
    row("pow", X, 3),
    row("pow", np.asarray([0.0, 1.0, 2.0]), 0),
    row("add", X, Y, alpha=2),
    row("add", X, 3, alpha=0.5),
    row("add", WHOLE, BITS, alpha=3),
    row("add", WHOLE, COUNTS, alpha=0.5),
    row("sub", X, ROW, alpha=-1.5),
    *rows("div", X, Y, rounding_mode="trunc", checks={"half": False}),
    *rows("div divide", X, Y, rounding_mode="floor", checks={"half": False}),
    row("div", WHOLE, COUNTS, rounding_mode="trunc"),
    row("div", WHOLE, -2, rounding_mode="floor"),
    row("div", X, Y, rounding_mode="up"),
    *rows("addcmul addcdiv", X, POSITIVE, LARGE),
    *rows("addcmul addcdiv", X, ROW, SCALAR, value=0.5),
    *rows("addcmul addcdiv", WHOLE, COUNTS, COUNTS),
    row("lerp", X, Y, 0.25),
    row("lerp", X, Y, 0.75),
    row("lerp", X, Y, UNIT),
    row("lerp", WHOLE, COUNTS, 0.5),
    row("ldexp", X, COUNTS),
    row("xlogy", X, POSITIVE),
    row("xlogy", np.asarray([0.0, 0.0, 2.0]), np.asarray([0.0, -1.0, 1.5]), checks={"gradient": 0}),
    row("xlogy", 2.0, POSITIVE),
    row("xlogy", POSITIVE, 3),
    row("copysign", X, -0.0),
    row("heaviside", np.asarray([-1.0, 0.0, 2.0]), np.asarray([0.5]), checks={"edges": False}),
    # bounds
    *rows("clamp clip", X, -0.5, 1.0),
    *rows("clamp", X, min=0.0),
    *rows("clamp", X, max=0),
    *rows("clamp", WHOLE, 0.5, checks={"in_place": False}),
    *rows("clamp", WHOLE, -1, 3),
    *rows("clamp", X, 1.0, -1.0),
    *rows("clamp", X, Y, Y + 1.0),
    *rows("clamp", X, ROW[None], checks={"edges": False}),
    *rows("clamp", ODD, -1.0, 1.0, checks=VALUES),
    *rows("clamp", X, NAN),
    *rows("clamp", X),
    *rows("clamp_min clamp_max", X, 0.5),
    *rows("clamp_min clamp_max", X, Y),
    *rows("clamp_min clamp_max", WHOLE, 2),
    *rows("clamp_max", X, INF),
]
