"""Dropout before batch norm: the variance that the norm has learned is not that of the test.

Inverted dropout keeps the mean of a unit and widens it in training: with mean m and variance v of a unit and
probability p of a zero, v becomes v + (v + m^2) p / (1 - p). Batch norm learns that variance; at test time,
without dropout, the unit has v alone. Behind the norm dropout does no such harm. See: Li et al. (2019),
"Understanding the disharmony between dropout and batch normalization by variance shift".
"""

from __future__ import annotations

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim
from xpnn.data import load_digits
from xpnn.nn import functional as F


def network(where: str, p: float) -> nn.Sequential:
    """Two hidden layers, with dropout before or behind each batch norm."""
    layers = [nn.Flatten(), nn.Linear(64, 128), nn.ReLU()]
    for width in (128, 10):
        pair = [nn.Dropout(p), nn.BatchNorm1d(128)]
        layers += pair if where == "before" else pair[::-1]
        layers += [nn.Linear(128, width)] + [nn.ReLU()] * (width == 128)
    return nn.Sequential(*layers)


def train(model: nn.Sequential, images, labels, epochs: int) -> None:
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(epochs):
        for batch in xpnn.randperm(len(images)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def shift(model: nn.Sequential, images) -> tuple[float, float]:
    """Variance at test time over the learned one at the first norm: measured, and by the formula."""
    place = next(i for i, layer in enumerate(model) if isinstance(layer, nn.BatchNorm1d))
    with xpnn.no_grad():
        units = model.eval()[:place](images).numpy().astype(np.float64)
    learned = model[place].running_var.numpy()
    alive = (learned > 1e-3) & (units.max(axis=0) > 0)  # a unit that is always 0 tells nothing
    units, learned = units[:, alive], learned[alive]
    mean, variance = units.mean(axis=0), units.var(axis=0)
    p = model[place - 1].p if isinstance(model[place - 1], nn.Dropout) else 0.0
    expected = variance + (variance + mean**2) * p / (1 - p)
    return float((variance / learned).mean()), float((variance / expected).mean())


def errors_of(model: nn.Sequential, train_images, images, labels) -> tuple[float, float]:
    """The share of wrong test images: with the learned statistics, and with some renewed without dropout."""

    def error() -> float:
        with xpnn.no_grad():
            return (model.eval()(images).argmax(1) != labels).float().mean().item()

    learned = error()
    norms = [layer for layer in model if isinstance(layer, nn.BatchNorm1d)]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    with xpnn.no_grad():
        for _ in range(3):  # the second norm sees what the first makes of its new statistics
            for layer in norms:
                layer.reset_running_stats()
            for batch in train_images.split(128):
                model.eval()
                for layer in norms:
                    layer.train()
                model(batch)
    return learned, error()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    images, labels = (xpnn.tensor(array) for array in load_digits())
    order = xpnn.randperm(len(images))
    images, labels = images[order], labels[order]
    count, epochs, seeds = (600, 8, 1) if options.fast else (600, 25, 2)
    rates = [0.0, 0.5] if options.fast else [0.0, 0.2, 0.4, 0.6, 0.8]
    ratios = {"before, measured": [], "before, by the formula": [], "behind, measured": []}
    errors = {"before": [], "before, statistics renewed": [], "behind": []}
    for p in rates:
        rows = []
        for seed in range(seeds):
            row = []
            for where in ("before", "behind"):
                xpnn.manual_seed(seed)
                model = network(where, p)
                train(model, images[:count], labels[:count], epochs)
                row += shift(model, images[:count])
                row += errors_of(model, images[:count], images[count:], labels[count:])
            rows.append(row)
        before, formula, wrong, renewed, behind, _, wrong_behind, _ = np.mean(rows, axis=0)
        for series, value in zip((*ratios.values(), *errors.values()),
                                 (before, formula, behind, wrong, renewed, wrong_behind)):  # fmt: skip
            series.append(float(value))
        print(f"p = {p}: variance x {before:.2f} (formula {formula:.2f}), behind x {behind:.2f}; "
              f"errors {wrong:.1%}, renewed {renewed:.1%}, behind {wrong_behind:.1%}")  # fmt: skip
    share = "variance in the test / learned one"
    save(
        options.out / "variance_shift.png",
        plot_lines({n: (rates, y) for n, y in ratios.items()}, "p of dropout", share, "First batch norm"),
        plot_lines(
            {n: (rates, [100 * v for v in y]) for n, y in errors.items()}, "p of dropout", "test error in %",
            "Dropout before or behind batch norm",
        ),
    )  # fmt: skip
    return {name: series[-1] for name, series in (ratios | errors).items()}


if __name__ == "__main__":
    main()
