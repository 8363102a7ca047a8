"""The array libraries that xpnn knows by itself, a file each, with all that is special about it.

Nothing here imports a library before the user asks for it: each backend holds a function that does.
"""

from xpnn.backend.libraries import numpy, cupy, torch, jax, strict, dpnp, mlx  # noqa: I001 - as users see them listed

__all__ = ["cupy", "dpnp", "jax", "mlx", "numpy", "strict", "torch"]
