"""Domain adaptation by gradient reversal: labels for digits drawn by strokes, none for the scanned ones.

A second head learns to tell the two sets apart; its gradient reaches the features with the sign reversed, so
that they become such that it cannot. Batch norm takes each set by its own mean and variance.
"""

from __future__ import annotations

import math

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim, viz
from xpnn.data import Digits
from xpnn.data.synthetic import stroke_digits
from xpnn.nn import functional as F

SIZE = 64  # of a batch of each set


class Network(nn.Module):
    """Features, a head for the labels, and one behind the reversal that tells the sets apart."""

    def __init__(self) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(768, 64), nn.BatchNorm1d(64), nn.ReLU(),
        )  # fmt: skip
        self.labels = nn.Linear(64, 10)
        self.reversal = nn.GradientReversal(alpha=0.0)
        self.which = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, images):
        features = self.features(images)
        return self.labels(features), self.which(self.reversal(features))


def train(source, target, test, epochs: int, strength: float, seed: int) -> tuple[list[float], list[float]]:
    """The accuracy on the test images by epoch, with the statistics of the source and of the target."""
    xpnn.manual_seed(seed)
    model = Network()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    images, labels = source
    steps = len(images) // SIZE
    by_source, by_target = [], []
    for epoch in range(epochs):
        order, other = xpnn.randperm(len(images)), xpnn.randint(0, len(target), (steps * SIZE,))
        model.train()
        for step, (here, there) in enumerate(zip(order.split(SIZE), other.split(SIZE))):
            done = (epoch + step / steps) / epochs
            model.reversal.alpha = strength * (2 / (1 + math.exp(-10 * done)) - 1)  # the paper's schedule
            scores, first = model(images[here])
            _, second = model(target[there])
            loss = F.cross_entropy(scores, labels[here])
            loss = loss + (F.softplus(first).mean() + F.softplus(-second).mean()) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        by_source.append(accuracy(model, images, *test))
        by_target.append(accuracy(model, target, *test))
    return by_source, by_target


def accuracy(model: nn.Module, like, images, labels) -> float:
    """The share of right labels, with batch norm's statistics from the images `like`."""
    with xpnn.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.reset_running_stats()
                module.momentum = None  # an average
        model.train()(like)
        return (model.eval()(images)[0].argmax(1) == labels).float().mean().item()


def drawn(count: int):
    """Digits by strokes in the form of the scanned ones: without a margin, 8 x 8."""
    images, labels = (xpnn.tensor(array) for array in stroke_digits(count, size=24, seed=0).tensors)
    return F.avg_pool2d(images[:, :, 4:20, 4:20], 2), labels


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    count, epochs, seeds = (1280, 4, 1) if options.fast else (2560, 10, 3)
    source = drawn(count)
    scanned, held_out = Digits(train=True), Digits(train=False)
    target, test = xpnn.tensor(scanned.data), (xpnn.tensor(held_out.data), xpnn.tensor(held_out.targets))
    runs = {
        strength: np.array([train(source, target, test, epochs, strength, seed) for seed in range(seeds)])
        for strength in (0.0, 1.0)
    }
    curves = {
        "source only": runs[0.0][:, 0],
        "source only, the target's statistics": runs[0.0][:, 1],
        "gradient reversal": runs[1.0][:, 1],
    }
    found = {}
    for name, curve in curves.items():
        ends = curve[:, -1]
        found[name] = float(ends.mean())
        print(f"{name}: {ends.mean():.1%} of the test digits right ({ends.min():.1%} to {ends.max():.1%})")
    lines = {name: (range(1, epochs + 1), curve.mean(0)) for name, curve in curves.items()}
    save(
        options.out / "domain_adaptation.png",
        viz.plot_images(source[0][:16], columns=4, title="With labels"),
        viz.plot_images(target[:16], columns=4, title="Without"),
        plot_lines(lines, "epoch", "accuracy on scanned digits", "Held-out scanned digits", ylim=(0, 1.02)),
        colours=64,
    )
    return found


if __name__ == "__main__":
    main()
