"""Kernels for JAX: XLA's own convolution, window reductions and loops."""

from xpnn.kernels.jax import conv, pool, rnn

__all__ = ["conv", "pool", "rnn"]
