"""Operations of arrays, in NumPy."""

from xpnn.kernels.numpy.ops import clip, elementwise, reductions

__all__ = ["clip", "elementwise", "reductions"]
