"""XOR: a linear model fails, a fixed basis function or a learned hidden layer makes it linear.

No line parts the corners of a square by the exclusive or. With the product x1 x2 as a third input, chosen by
hand, one weight is enough; a hidden layer of a few units finds such features by itself.
"""

from __future__ import annotations

from common import parse, save

import xpnn
from xpnn import nn, optim, viz
from xpnn.data.synthetic import xor
from xpnn.nn import functional as F


class FixedBasis(nn.Module):
    """A linear model of x1, x2 and x1 x2."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(xpnn.cat([x, x[:, :1] * x[:, 1:]], dim=1))


def train(model, x, y, steps: int) -> float:
    """Logistic regression on what the model gives; returns the accuracy."""
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(x)[:, 0], y.float()).backward()
        optimizer.step()
    return ((model(x)[:, 0] > 0) == (y > 0)).float().mean().item()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    x, y = xor(400, noise=0.3).tensors
    models = {
        "linear": nn.Linear(2, 1),
        "with x1 x2": FixedBasis(),
        "2 hidden units": nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)),
        "8 hidden units": nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)),
    }
    found, figures = {}, []
    for name, model in models.items():
        found[name] = train(model, x, y, 200 if options.fast else 1000)
        print(f"{name}: accuracy {found[name]:.1%}")
        figures.append(viz.plot_decision_regions(model, x, y, title=f"{name}: {found[name]:.1%}"))
    save(options.out / "xor.png", *figures, columns=2)
    return found


if __name__ == "__main__":
    main()
