"""Operations of arrays, in NumPy."""

from xpnn.kernels.numpy.ops import clip, cumulative, distances, elementwise, indexing, reductions, sorting

__all__ = ["clip", "cumulative", "distances", "elementwise", "indexing", "reductions", "sorting"]
