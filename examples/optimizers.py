"""Optimizers in a race: down a curved valley, and on digits, each at the best of a few learning rates.

The valley is Rosenbrock's: steep walls, and a floor that hardly falls. Plain gradient descent must take steps
that the walls allow, and creeps along the floor; momentum gathers speed there; adaptive methods scale each
coordinate by the gradients that it has seen.
"""

from __future__ import annotations

import math

from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim, viz
from xpnn.data import load_digits
from xpnn.nn import functional as F

RULES = {
    "SGD": optim.SGD,
    "momentum": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9),
    "Nesterov": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
    "Adam": optim.Adam,
}
START = (-1.2, 1.0)


def valley(point):
    x, y = point
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def descend(rule, rate: float, steps: int):
    """The path down the valley, and the height at its end; infinite if the path left the valley."""
    path = viz.optimizer_path(valley, lambda p: rule(p, lr=rate), START, steps)
    return path, float(valley(path[-1])) if len(path) == steps + 1 else math.inf


def train(rule, rate: float, images, labels, epochs: int):
    """The losses of a small network by epoch, always from the same weights and batches, and the last one."""
    xpnn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )
    optimizer = rule(model.parameters(), lr=rate)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for batch in xpnn.randperm(len(images)).split(64):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(images))
    return losses, losses[-1] if math.isfinite(losses[-1]) else math.inf


def race(run, rates):
    """What each rule comes to at its best rate: {"name, rate": (course, value at the end)}."""
    found = {}
    for name, rule in RULES.items():
        courses = {rate: run(rule, rate) for rate in rates}
        best = min(rates, key=lambda rate: courses[rate][1])
        found[f"{name}, rate {best:g}"] = courses[best]
        print(f"{name}: {courses[best][1]:.2g} with a learning rate of {best:g}")
    return found


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    rates = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    steps = 100 if options.fast else 200
    print("the valley")
    paths = race(lambda rule, rate: descend(rule, rate, steps), rates)
    images, labels = (xpnn.tensor(array[: 200 if options.fast else 1500]) for array in load_digits())
    epochs = 3 if options.fast else 15
    print("digits")
    losses = race(lambda rule, rate: train(rule, rate, images, labels, epochs), rates)
    valley_paths = {name: path for name, (path, _) in paths.items()}
    curves = {name: (range(1, epochs + 1), series) for name, (series, _) in losses.items()}
    save(
        options.out / "optimizers.png",
        viz.plot_optimizer_paths(valley, valley_paths, title="Rosenbrock's valley", minimum=[1, 1]),
        plot_lines(curves, "epoch", "training loss", "Digits", log="y"),
    )
    return {
        f"{part} {name.partition(',')[0]}": value
        for part, ways in (("valley", paths), ("digits", losses))
        for name, (_, value) in ways.items()
    }


if __name__ == "__main__":
    main()
