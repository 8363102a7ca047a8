"""Kernels for JAX: XLA's own convolution and window reductions."""

from xpnn.kernels.jax import conv, pool

__all__ = ["conv", "pool"]
