"""Operations of arrays, in NumPy."""

from xpnn.kernels.numpy.ops import clip, cumulative, elementwise, reductions

__all__ = ["clip", "cumulative", "elementwise", "reductions"]
