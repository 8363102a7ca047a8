"""Kernels for JAX: XLA's own convolution, window reductions and loops."""

from xpnn.kernels.jax import conv, pool, recurrent

__all__ = ["conv", "pool", "recurrent"]
