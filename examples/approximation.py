"""Universal approximation: the wider the hidden layer, the closer a network comes to a curve.

Each tanh unit of the hidden layer is a smooth step; the output adds up steps of any height, place and slope.
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim
from xpnn.nn import functional as F


def curve(x):
    return xpnn.sin(3 * x) + 0.5 * xpnn.sin(8 * x + 1)


def fit(width: int, x, y, steps: int):
    """What a network of `width` units gives after training, and its mean squared error."""
    model = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))
    slope = max(1, width / 4)
    with xpnn.no_grad():  # the steps, at -bias / weight, begin in a row from one end to the other
        model[0].weight.fill_(slope)
        model[0].bias.copy_(-slope * xpnn.linspace(-2, 2, width + 2)[1:-1])
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
        schedule.step()
    with xpnn.no_grad():
        return model(x), F.mse_loss(model(x), y).item()


def main(arguments: list[str] | None = None) -> dict[int, float]:
    options = parse(__doc__, arguments)
    x = xpnn.linspace(-2, 2, 400)[:, None]
    y = curve(x)
    widths, steps = ([2, 8, 32], 300) if options.fast else ([1, 2, 4, 8, 16, 32, 64], 4000)
    shown = {"curve": (x[:, 0], y[:, 0])}
    errors = {}
    for width in widths:
        fitted, errors[width] = fit(width, x, y, steps)
        print(f"{width} hidden units: mean squared error {errors[width]:.2g}")
        if width in (2, 4, 8):
            shown[f"{width} units"] = (x[:, 0], fitted[:, 0])
    save(
        options.out / "approximation.png",
        plot_lines(shown, "x", "y", "A curve and its approximations"),
        plot_lines(
            {"error": (widths, list(errors.values()))}, "hidden units", "mean squared error", "Width", "xy"
        ),
    )
    return errors


if __name__ == "__main__":
    main()
