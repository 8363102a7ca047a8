"""Kernels for dpnp: fewer operations, as each number of Python's is sent to the device."""

from xpnn.kernels.dpnp import optim

__all__ = ["optim"]
