"""Products of matrices in the pieces that OpenBLAS is fastest with."""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import tuning
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.products import power_of_two, size_class

# OpenBLAS has kernels for small products, of up to 1e6 multiplications, that leave out the copies of the
# large ones. Unless measured, products are cut into such if the pieces have not too few rows.
_SMALL_PRODUCT = 1_000_000
_LEAST_ROWS = 60

# Columns of a piece in products with matrices of 6 rows; all at once they do not stay in the cache.
_PIECE_COLUMNS = 8192


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """np.matmul(a, b, out=out) of stacks, in small products of some rows of a where that is faster."""
    rows, inner, columns = *a.shape[-2:], b.shape[-1]
    most = _SMALL_PRODUCT // max(inner * columns, 1)
    if rows <= most or most < 2:
        return np.matmul(a, b, out=out)
    lie = ("t" if a.strides[-2] < a.strides[-1] else "n") + ("t" if b.strides[-2] < b.strides[-1] else "n")
    question = size_class("stack", (rows, inner, columns), lie, a.dtype)
    if (tuning.chosen(question) or _choose(question, a, b, out)) == "pieces":
        return _multiply_pieces(a, b, out)
    return np.matmul(a, b, out=out)


def _choose(question: str, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> str:
    ways = {
        "whole": lambda: np.matmul(a, b, out=out),
        "pieces": lambda: _multiply_pieces(a, b, out),
    }
    inner, columns = (1 << power_of_two(size) for size in b.shape[-2:])
    fixed = "whole" if inner * columns * _LEAST_ROWS > _SMALL_PRODUCT else "pieces"
    return tuning.choose(question, {fixed: ways[fixed], **ways})


def _multiply_pieces(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    rows, columns = a.shape[-2], b.shape[-1]
    most = _SMALL_PRODUCT // (a.shape[-1] * columns)
    piece = -(-rows // -(-rows // most))
    whole = rows // piece * piece
    np.matmul(
        a[..., :whole, :].reshape(*a.shape[:-2], -1, piece, a.shape[-1]),
        b[..., None, :, :],
        out=out[..., :whole, :].reshape(*out.shape[:-2], -1, piece, columns),
    )
    if whole < rows:
        np.matmul(a[..., whole:, :], b, out=out[..., whole:, :])
    return out


def multiply_columns(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """np.matmul(a, b, out=out) for a small matrix a and long rows of b (..., K, columns), in pieces."""
    columns = b.shape[-1]
    if columns <= _PIECE_COLUMNS:
        return np.matmul(a, b, out=out)
    piece = -(-columns // -(-columns // _PIECE_COLUMNS))
    whole = columns // piece * piece
    np.matmul(a, _pieces(b[..., :whole], piece), out=_pieces(out[..., :whole], piece))
    if whole < columns:
        np.matmul(a, b[..., whole:], out=out[..., whole:])
    return out


def _pieces(x: np.ndarray, piece: int) -> np.ndarray:
    """(..., K, columns) -> (..., columns / piece, K, piece), a view."""
    return x.reshape(*x.shape[:-1], -1, piece).swapaxes(-3, -2)


def equal_pieces(rows: int, inner: int, columns: int) -> int:
    """The least number of at least `rows` rows that `multiply` and `correlation` cut into equal pieces."""
    pieces = _number_of_pieces(rows, inner * columns)
    return pieces * -(-rows // pieces)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """np.matmul(a^T, b) of stacks of matrices (K, rows, ...), in pieces: (K, number of products, ...).

    The products of the rest of the stack's axes and those of a matrix's pieces are not added up.
    """
    pieces = _number_of_pieces(a.shape[-2], a.shape[-1] * b.shape[-1])
    a, b = (m.reshape(*m.shape[:-2], pieces, -1, m.shape[-1]) for m in (a, b))
    products = np.matmul(a.swapaxes(-1, -2), b)
    return products.reshape(len(a), -1, *products.shape[-2:])


def _number_of_pieces(rows: int, multiplications: int) -> int:
    """Into how many products of a matrix's rows it is cut, by the multiplications for each row."""
    most = _SMALL_PRODUCT // max(multiplications, 1)
    return 1 if rows <= most or most < _LEAST_ROWS else -(-rows // most)


def add_correlation(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """total += a^T b, in small products of some rows of a and b each where that is faster."""
    rows = len(a)
    most = _SMALL_PRODUCT // max(total.size, 1)
    if rows <= most or most < _LEAST_ROWS:
        total += np.matmul(a.T, b, out=scratch("correlation", total.shape, total.dtype))
        return
    piece = -(-rows // -(-rows // most))
    whole = rows // piece * piece
    products = scratch("correlation", (whole // piece, *total.shape), total.dtype)
    np.matmul(
        a[:whole].reshape(-1, piece, a.shape[1]).transpose(0, 2, 1),
        b[:whole].reshape(-1, piece, b.shape[1]),
        out=products,
    )
    total += products.sum(axis=0)
    if whole < rows:
        total += a[whole:].T @ b[whole:]


def kernel_matrix(w: np.ndarray) -> np.ndarray:
    """The kernel (O, C, KH, KW) as a matrix (KH * KW * C, O).

    A small one is copied to the order of its axes, in which products are faster; a large one to the nearest
    order of its memory, and transposed, as copying it across would take longer than the product gains.
    """
    matrix = (w[0].size, len(w))
    if math.prod(matrix) * _LEAST_ROWS <= _SMALL_PRODUCT or w.strides[0] < w.strides[1]:
        return np.ascontiguousarray(w.transpose(2, 3, 1, 0)).reshape(matrix)
    return w.transpose(0, 2, 3, 1).reshape(len(w), -1).T
