"""Regularisation side by side: the same network on few digits, without and with each of the means.

The network has 85,000 weights for 400 images, of which three in ten have a label drawn by lot: what it learns
by heart does harm. Early stopping has an example of its own, `overfitting.py`.
"""

from __future__ import annotations

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim
from xpnn.data import load_digits
from xpnn.data.transforms import RandomAffine
from xpnn.nn import functional as F
from xpnn.viz import style

MEANS = {  # dropout, L1 of the weights, L2 in the loss, decoupled weight decay, augmentation
    "nothing": {},
    "L1": {"l1": 1e-3},
    "L2 in the loss": {"l2": 1e-2},
    "weight decay": {"decay": 2.0},
    "dropout": {"dropout": 0.5},
    "augmentation": {"augment": True},
    "last three": {"decay": 1.0, "dropout": 0.3, "augment": True},
}


def train(data, epochs: int, seed: int, dropout=0.0, l1=0.0, l2=0.0, decay=0.0, augment=False):
    """A network after training, and its error on the test images after each epoch."""
    xpnn.manual_seed(seed)
    images, labels, test_images, test_labels = data
    layers = [
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
    ]
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, 10))
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=decay)
    shake = RandomAffine(8, translate=(0.1, 0.1), interpolation="bilinear")
    errors = []
    for _ in range(epochs):
        model.train()
        for batch in xpnn.randperm(len(images)).split(50):
            x = shake(images[batch]) if augment else images[batch]  # each image in its own way
            loss = F.cross_entropy(model(x), labels[batch])
            for parameter in model.parameters():
                if l1:
                    loss = loss + l1 * parameter.abs().sum()
                if l2:
                    loss = loss + l2 / 2 * (parameter**2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append(error(probabilities(model, test_images), test_labels))
    return model, errors


def probabilities(model, images, sampled: bool = False):
    """Class probabilities; `sampled` leaves dropout on."""
    model.train(sampled)
    with xpnn.no_grad():
        return F.softmax(model(images), dim=1)


def error(scores, labels) -> float:
    return (scores.argmax(1) != labels).float().mean().item()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    count, epochs, seeds = (400, 25, 1) if options.fast else (400, 40, 3)
    images, labels = (xpnn.tensor(array) for array in load_digits())
    order = xpnn.randperm(len(images))
    images, labels = images[order], labels[order]
    wrong = xpnn.rand(count) < 0.3
    noisy = xpnn.where(wrong, xpnn.randint(0, 10, (count,)), labels[:count])
    data = images[:count], noisy, images[count:], labels[count:]
    found, curves, models = {}, {}, {}
    for name, means in MEANS.items():
        runs = [train(data, epochs, seed, **means) for seed in range(seeds)]
        models[name] = [model for model, _ in runs]
        mean = np.mean([errors for _, errors in runs], axis=0)
        found[name], curves[name] = float(mean[-1]), (range(1, epochs + 1), mean)
    for name in ("nothing", "last three"):
        together = sum(probabilities(model, data[2]) for model in models[name])
        found[f"{name}, ensemble of {seeds}"] = error(together, data[3])
    sampled = [
        sum(probabilities(model, data[2], sampled=True) for _ in range(30)) for model in models["dropout"]
    ]
    found["dropout, 30 samples"] = float(np.mean([error(scores, data[3]) for scores in sampled]))
    for name, value in found.items():
        print(f"{name}: {value:.1%} of the test digits wrong")
    save(
        options.out / "regularisation.png",
        plot_lines(curves, "epoch", "test error", f"{count} training digits, 30 % of labels by lot"),
        plot_bars({name: 100 * value for name, value in found.items()}, "test error in %", "At the end"),
    )
    return found


@style.styled
def plot_bars(values: dict[str, float], xlabel: str, title: str) -> style.Figure:
    figure = style.new_figure(5.2, 4.2)
    axes = figure.subplots()
    bars = axes.barh(list(values), list(values.values()), color=style.colour(0))
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    return style.finished(figure, None, title)


if __name__ == "__main__":
    main()
