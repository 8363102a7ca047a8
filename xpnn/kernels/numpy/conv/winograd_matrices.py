"""The constant matrices of Winograd's convolution, from the points of an interpolation.

A kernel g of r cells over m + r - 1 inputs d makes m outputs by

    y = A^T [(G g) * (B^T d)]                                                       (* cell by cell)

This is the transpose of Toom and Cook's product of two polynomials of m and r coefficients: take the values
of both at m + r - 2 points and at infinity (their leading coefficients), multiply them, and interpolate.
A and G evaluate, B interpolates; the denominators of Lagrange's polynomials stand in G.

Any points give the right outputs; the rounding error depends on them. Powers of a point stand in the
matrices, so that all should be near 1, but also far from each other, because their differences are the
denominators. 0, ±2/3, ±3/2 and infinity, where reciprocals balance each other, have half of the error of
the usual 0, ±1, ±2 in the mean, and a quarter at its largest. Rows scaled by powers of two would change
nothing: in floating-point numbers that is exact.

See: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016; Barabasz, Anderson, Soodhalter
and Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks", 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def winograd_matrices(
    points: Sequence[Fraction], outputs: int, kernel: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (n, n), G (n, kernel) and A^T (outputs, n) in float32, for n - 1 = outputs + kernel - 2 points."""
    differences = [math.prod(p - q for q in points if q != p) for p in points]
    others = [[q for q in points if q != p] for p in points]
    inputs = [[*_polynomial(roots), Fraction(0)] for roots in others] + [_polynomial(points)]
    kernels = [[Fraction(p**j / d) for j in range(kernel)] for p, d in zip(points, differences)] + [
        _last_of(kernel)
    ]
    values = [[p**i for i in range(outputs)] for p in points] + [_last_of(outputs)]
    return _rounded(inputs), _rounded(kernels), np.ascontiguousarray(_rounded(values).T)


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of all x - root, that of x^0 first."""
    coefficients = [Fraction(1)]
    for root in roots:
        pairs = zip([Fraction(0), *coefficients], [*coefficients, Fraction(0)])
        coefficients = [before - root * same for before, same in pairs]
    return coefficients


def _last_of(count: int) -> list[Fraction]:
    """The value at infinity of a polynomial is its last coefficient."""
    return [Fraction(0)] * (count - 1) + [Fraction(1)]


def _rounded(rows: Sequence[Sequence[Fraction]]) -> np.ndarray:
    return np.array([[float(cell) for cell in row] for row in rows], dtype=np.float32)


# Cells of outputs of a tile along an axis; and B^T, G and A^T for a kernel of three.
TILE = 4
POINTS = tuple(map(Fraction, ("0", "2/3", "-2/3", "3/2", "-3/2")))
INPUT, KERNEL, OUTPUT = winograd_matrices(POINTS, TILE, 3)
UPSTREAM = np.ascontiguousarray(OUTPUT.T)
