"""Gradient clipping: the norm of many arrays, and many arrays times one number."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.parallel import parallel

# Elements of a large array that are worked on at a time, so that threads can share it. Sums are in float32
# within a piece only, and keep their digits however large the array is.
_PIECE = 128 * 1024


def _are_plain(gradients: list[np.ndarray], _: object) -> bool:
    return all(type(gradient) is np.ndarray and gradient.dtype.char in "fd" for gradient in gradients)


@kernel("numpy", "norm_of_all", when=lambda gradients, order: order == 2 and _are_plain(gradients, order))
def norm_of_all(gradients: list[np.ndarray], order: float) -> np.ndarray:
    """The root of the sum of all squares, which are products of the BLAS: one pass, no array of squares."""
    pieces = [piece for gradient in gradients for piece in _pieces(gradient.ravel(order="K"))]

    def squares(part: slice) -> float:
        return sum([float(np.dot(piece, piece)) for piece in pieces[part]])

    total = sum(parallel(squares, len(pieces), work=sum([gradient.size for gradient in gradients])))
    return np.asarray(math.sqrt(total), dtype=gradients[0].dtype)


@kernel("numpy", "scaled", when=_are_plain)
def scaled(gradients: list[np.ndarray], factor: np.ndarray) -> list[np.ndarray]:
    """Each array times the factor: the very same arrays where it is 1, as it mostly is when clipping."""
    if factor == 1:
        return gradients
    results = [np.empty_like(gradient) for gradient in gradients]
    pieces = [pair for both in zip(gradients, results) for pair in _pairs_of_pieces(*both)]

    def scale(part: slice) -> None:
        for piece, result in pieces[part]:
            np.multiply(piece, float(factor), out=result)

    parallel(scale, len(pieces), work=sum([gradient.size for gradient in gradients]))
    return results


def _pieces(flat: np.ndarray) -> Iterator[np.ndarray]:
    if flat.size <= _PIECE:
        return iter((flat,))
    return (flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE))


def _pairs_of_pieces(array: np.ndarray, result: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pieces at the same places of both; an array with gaps is one piece."""
    if not array.flags.forc:
        return iter(((array, result),))
    return zip(_pieces(array.ravel(order="K")), _pieces(result.ravel(order="K")))
