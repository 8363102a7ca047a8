"""Tables of methods: which way to compute a convolution or a gradient of it is best for which sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.backend import switched_off
from xpnn.kernels.numpy.conv.layout import Windows, channels_last_empty

Guard = Callable[[Windows], bool]


class Method(NamedTuple):
    """A row of a table.

    Args:
        name: says in one word how it computes.
        suits: the guard, by sizes alone; it is asked once for the same sizes.
        run: computes; its signature is the table's.
        empty: makes the array (N, C, H, W) for the result as the method likes it in memory.
        priority: of the row; see `Table`.
    """

    name: str
    suits: Guard
    run: Callable[..., Any]
    empty: Callable[[tuple[int, ...], Any], Any]
    priority: int


class Table:
    """The methods of one operation, in the order in which they are asked: by priority, then as added."""

    def __init__(self) -> None:
        self.methods: list[Method] = []

    def add(
        self,
        name: str,
        suits: Guard,
        run: Callable[..., Any],
        empty: Callable[[tuple[int, ...], Any], Any] = channels_last_empty,
        priority: int = 0,
    ) -> None:
        """Add a method, unless its file is switched off; those of NumPy have priority 0."""
        if switched_off(run.__module__):
            return
        self.methods.append(Method(name, suits, run, empty, priority))
        self.methods.sort(key=lambda method: -method.priority)

    def choose(self, windows: Windows) -> Method:
        """The first method that suits."""
        method = windows.chosen.get(self)
        if method is None:
            method = next(method for method in self.methods if method.suits(windows))
            windows.chosen[self] = method
        return method


# convolve(x, w, b, y, windows): write the convolution of x (N, H, W, C) with w (O, C, KH, KW), plus b, to
# y (N, OH, OW, O).
convolutions = Table()

# fold(gy, w, gx, windows): write the gradient with respect to x, from y's gradient gy, to gx.
input_gradients = Table()

# correlate(x, gy, windows) -> gw: the gradient with respect to w.
weight_gradients = Table()

# gradients(x, w, gy, gx, windows) -> gw: both in one pass over gy.
joint_gradients = Table()
