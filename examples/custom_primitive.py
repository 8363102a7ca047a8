"""An operation of one's own: a forward/backward pair, checked, and used in a network on two backends.

The snake, y = x + sin(a x)^2 / a, is an activation with a learned frequency `a`, which lets a network
continue a periodic signal. See: Ziyin, Hartwig & Ueda (2020), "Neural networks fail to learn periodic
functions and how to fix it".

    python examples/custom_primitive.py
"""

from __future__ import annotations

import numpy as np

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.testing import gradcheck, gradgradcheck


@xpnn.primitive
def _snake(x, a):
    xp = xpnn.namespace(x, a)
    return x + xp.sin(a * x) ** 2 / a, (x, a)


@_snake.backward
def _snake_backward(gy, saved, needs):
    x, a = saved
    xp = xpnn.namespace(x, a)
    gx = gy * (1 + xp.sin(2 * a * x)) if needs[0] else None
    ga = xp.sum(gy * (x * xp.sin(2 * a * x) - xp.sin(a * x) ** 2 / a) / a) if needs[1] else None
    return gx, ga


class Snake(nn.Module):
    """The activation with its frequency as a parameter."""

    def __init__(self, a: float = 2.0):
        super().__init__()
        self.a = nn.Parameter(xpnn.asarray(a))

    def forward(self, x):
        return _snake(x, self.a)


def train(backend: str, steps: int) -> list[float]:
    """Fit a sine on one backend; returns the losses."""
    with xpnn.use_backend(backend):
        xpnn.manual_seed(0)
        x = np.linspace(-3, 3, 128, dtype=np.float32)[:, None]
        x, y = xpnn.tensor(x), xpnn.tensor(np.sin(3 * x))
        model = nn.Sequential(nn.Linear(1, 32), Snake(), nn.Linear(32, 1))
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(steps):
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def main(steps: int = 200) -> dict[str, list[float]]:
    available = [name for name, status in xpnn.available_backends().items() if status.available]
    backends = ["numpy", *[name for name in available if name != "numpy"][:1]]
    losses = {}
    for backend in backends:
        with xpnn.use_backend(backend):
            inputs = xpnn.asarray([-1.3, 0.0, 0.4], dtype="float64"), xpnn.asarray(0.7, dtype="float64")
            gradcheck(_snake, inputs)
            gradgradcheck(_snake, inputs)
        losses[backend] = train(backend, steps)
        print(
            f"{backend}: first and second derivatives are right; "
            f"loss {losses[backend][0]:.4f} -> {losses[backend][-1]:.4f}"
        )
    return losses


if __name__ == "__main__":
    main()
