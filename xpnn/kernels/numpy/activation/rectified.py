"""A relu that is pooled next: the maximum of a window is rectified, not every cell of it.

`max(relu(x)) = relu(max(x))`. The relu of an image is promised, therefore, and max-pooling takes x itself: a
quarter of the elements are left to rectify for windows of 2x2, and to mask in the backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn.backend import (
    Deferred,
    array_of,
    choose_kernel,
    find_backend,
    kernel,
    saves_as_reference,
    takes_deferred,
)
from xpnn.kernels.numpy.activation.pointwise import LARGE


class Rectified(Deferred):
    """relu of an image x."""

    __slots__ = ("dtype", "shape", "x")

    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        self.x, self.shape, self.dtype = x, x.shape, x.dtype

    def compute(self) -> np.ndarray:
        """What the kernel for arrays computes."""
        return kernel_at_once("relu", self.x).forward(self.x)[0]

    def absorb(self, name: str, args: tuple, options: dict[str, Any]) -> tuple[Any, tuple, Callable] | None:
        """A max-pooling."""
        if name != "max_pool" or self._array is not None:
            return None
        largest, saved = kernel_at_once("max_pool", self.x, **options).forward(self.x, **options)
        y = np.maximum(largest, np.zeros((), dtype=largest.dtype))
        return y, (self, saved, y), _pool_backward


class Spread(Deferred):
    """The gradient of `max(relu(x))` with respect to relu(x): `gy` at the winners of the windows."""

    __slots__ = ("dtype", "gy", "options", "rectified", "saved", "shape", "y")

    def __init__(
        self, gy: np.ndarray, rectified: Rectified, saved: tuple, y: np.ndarray, options: dict[str, Any]
    ) -> None:
        super().__init__()
        self.gy, self.rectified, self.saved, self.y, self.options = gy, rectified, saved, y, options
        self.shape, self.dtype = rectified.shape, rectified.dtype

    def compute(self) -> np.ndarray:
        """Itself, for who looks at it: then relu(x) is needed, whose zeros win in other places than x's."""
        x = self.rectified.array()
        _, saved = kernel_at_once("max_pool", x, **self.options).forward(x, **self.options)
        return self._spread(self.gy, saved)

    def rectify(self) -> np.ndarray:
        """The gradient with respect to x: where the maximum was not positive, nothing."""
        return self._spread(self.gy * (self.y > 0), self.saved)

    def _spread(self, gy: np.ndarray, saved: tuple) -> np.ndarray:
        pool = kernel_at_once("max_pool", self.rectified.x, **self.options)
        return pool.backward_function(gy, saved, (True,), **self.options)[0]


def _pool_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    rectified, pooled, y = saved
    return (Spread(gy, rectified, pooled, y, options),)


def _is_image(x: np.ndarray) -> bool:
    return x.ndim > 2 and x.size >= LARGE


@kernel("numpy", "relu", when=_is_image, defers=True)
def relu(x: np.ndarray) -> tuple[Rectified, tuple]:
    """The reference's `_relu`, as a promise."""
    y = Rectified(x)
    return y, (y,)


@relu.backward
@saves_as_reference
@takes_deferred
def _relu_backward(gy: Any, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    (y,) = saved
    if isinstance(gy, Spread) and gy.rectified is y:
        return (gy.rectify(),)
    array = array_of(y)
    return kernel_at_once("relu", array).backward_function(array_of(gy), (array,), needs)


def kernel_at_once(name: str, *args: Any, **options: Any) -> Any:
    """What computes a call at once, compiled or not."""
    return choose_kernel(find_backend("numpy"), name, *args, **options)
