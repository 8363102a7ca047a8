"""Operations of arrays, for CuPy."""

from xpnn.kernels.cupy.ops import gradients

__all__ = ["gradients"]
