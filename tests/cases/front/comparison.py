"""Which elements are equal, smaller, finite; logic, bits, and the choice by a condition."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, COUNTS, NAN, ODD, ROW, SCALAR, WHOLE, X, Y, row, rows

ORDER = "eq ne lt le gt ge not_equal less less_equal greater greater_equal"
QUESTIONS = "isnan isinf isfinite isposinf isneginf isreal"
NEAR = X + np.asarray([1e-7, 0.1, -1e-9])

ROWS = [
    *rows(ORDER, X, Y),
    *rows(ORDER, X, X),
    *rows("eq lt ge", X, ROW),
    *rows("eq ne lt", WHOLE, COUNTS),
    *rows("eq lt", WHOLE, X),
    *rows("eq lt", WHOLE, SCALAR),
    *rows("eq lt ge", WHOLE, 0.5),
    *rows("eq le", X, 2),
    *rows("eq gt", BITS, 1),
    *rows("eq ne", BITS, True),
    *rows("eq ge", ODD, ODD),
    *rows(QUESTIONS, ODD),
    *rows(QUESTIONS, WHOLE),
    *rows(QUESTIONS, BITS),
    *rows("isreal isnan isfinite", np.asarray([1 + 2j, 3 + 0j, complex(NAN, 0)]), checks={"in_place": False}),
    row("equal", X, X),
    row("equal", X, Y),
    row("equal", X, ROW),
    *rows("isclose allclose", X, NEAR),
    *rows("isclose allclose", X, X + 1e-9),
    *rows("isclose allclose", ODD, ODD),
    *rows("isclose allclose", ODD, ODD, equal_nan=True),
    *rows("isclose allclose", WHOLE, COUNTS, rtol=0.5, atol=1.0),
    *rows("isclose", X, WHOLE),
    row("isclose", X, X, rtol=-0.5),
    row("isclose", X, X, atol=-0.5),
    row("is_nonzero", np.asarray([2.0])),
    row("is_nonzero", np.asarray(0)),
    row("is_nonzero", X),
    row("where", BITS, X, Y),
    row("where", BITS, X, ROW),
    row("where", BITS, X, 1.5),
    row("where", BITS, 2, X),
    row("where", BITS, WHOLE, 0.5),
    row("where", BITS, WHOLE, X),
    row("where", BITS, 1, 2),
    row("where", BITS, 1.0, 2),
    row("where", BITS, checks={"half": False}),
    row("where", np.asarray(True), checks={"half": False}),
    row("where", X, X, Y),
    *rows("logical_and logical_or logical_xor", BITS, ~BITS),
    *rows("logical_and logical_or logical_xor", X, WHOLE),
    *rows("logical_not", BITS),
    *rows("logical_not", X),
    *rows("logical_not", WHOLE),
    *rows("bitwise_and bitwise_or bitwise_xor", WHOLE, COUNTS),
    *rows("bitwise_and bitwise_or bitwise_xor", BITS, ~BITS),
    *rows("bitwise_and bitwise_or bitwise_xor", BITS, WHOLE, checks={"in_place": False}),
    *rows("bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift", WHOLE, 3),
    *rows("bitwise_left_shift bitwise_right_shift", WHOLE, COUNTS),
    *rows("bitwise_and", X, WHOLE),
    *rows("bitwise_not", WHOLE),
    *rows("bitwise_not", BITS),
    *rows("bitwise_not", X),
]
