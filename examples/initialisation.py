"""First weights: activations and gradients through five layers under several schemes, and equal weights.

Weights that are too small make the signal die out from layer to layer, too large ones saturate sigmoid and
tanh or make ReLU's values explode. A variance of 1/n keeps the variance of activations in linear layers;
Glorot's 2/(in + out) is between what activations and gradients need; He's 2/n makes up for the half that ReLU
cuts off. Weights that start equal get equal gradients, and never part.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim
from xpnn.nn import functional as F
from xpnn.viz import style

SCHEMES = {
    "std 0.01": lambda weight: nn.init.normal_(weight, std=0.01),
    "std 1": lambda weight: nn.init.normal_(weight, std=1.0),
    "1/n": lambda weight: nn.init.normal_(weight, std=weight.shape[1] ** -0.5),
    "Glorot": nn.init.xavier_normal_,
    "He": nn.init.kaiming_normal_,
}
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU, "linear": nn.Identity}


def through_layers(scheme: str, activation: str, sizes: list[int], samples: int) -> tuple[list, list]:
    """The activations of each layer, and the gradients with respect to them of a random last gradient."""
    hidden = xpnn.randn(samples, sizes[0])
    activations = []
    for fan_in, fan_out in pairwise(sizes):
        layer = nn.Linear(fan_in, fan_out, bias=False)
        SCHEMES[scheme](layer.weight)
        hidden = ACTIVATIONS[activation]()(layer(hidden))
        activations.append(hidden)
    last = xpnn.randn(*hidden.shape)
    gradients = xpnn.grad((hidden * last).sum(), activations)
    return [xpnn.to_numpy(a.detach()) for a in activations], [xpnn.to_numpy(g) for g in gradients]


@style.styled
def plot_activations(found: dict[tuple[str, str], list[np.ndarray]]) -> style.Figure:
    """A row for each activation, a column for each scheme, and in it a curve for each layer."""
    rows, columns = (list(dict.fromkeys(key[k] for key in found)) for k in (0, 1))
    figure = style.new_figure(2.2 * len(columns), 1.9 * len(rows))
    panels = figure.subplots(len(rows), len(columns))
    for (activation, scheme), layers in found.items():
        axes = panels[rows.index(activation)][columns.index(scheme)]
        edges = {"sigmoid": (0, 1), "tanh": (-1, 1)}.get(activation, (0, 3))
        for number, values in enumerate(layers):
            counts, bounds = np.histogram(np.clip(values, *edges), bins=40, range=edges)
            shade = 0.75 - 0.75 * number / (len(layers) - 1)
            axes.stairs(counts / values.size, bounds, color=(shade, shade, (1 + shade) / 2), linewidth=1.5)
        axes.set(title=f"{activation}, {scheme}", yticks=[], ylim=(0, 0.3))
        axes.set_xlabel(f"std {layers[0].std():.2g} -> {layers[-1].std():.2g}")
    return style.finished(figure, None, "Activations of layers 1 (light) to 5 (dark)")


def train(equal: bool, steps: int) -> np.ndarray:
    """The weights (steps, 4) from the first input to four hidden units, which start equal or at random."""
    x = xpnn.randn(256, 2)
    y = (x[:, :1] * x[:, 1:]).tanh()
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    if equal:
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.5)
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    weights = []
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
        weights.append(xpnn.to_numpy(model[0].weight.detach())[:, 0].copy())
    return np.stack(weights)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    samples, width, steps = (200, 100, 60) if options.fast else (2000, 500, 400)
    histograms = {
        (activation, scheme): through_layers(scheme, activation, [width] * 6, samples)[0]
        for activation in ("sigmoid", "tanh", "ReLU")
        for scheme in SCHEMES
    }
    found = {f"{a}, {s}": float(layers[-1].std() / layers[0].std()) for (a, s), layers in histograms.items()}
    halving = [width >> layer for layer in range(6)]  # each layer has half as many units as the one before
    for scheme in ("1/n", "Glorot"):
        activations, gradients = through_layers(scheme, "linear", halving, samples)
        found[f"{scheme}, forward"] = float(activations[-1].std() / activations[0].std())
        found[f"{scheme}, backward"] = float(gradients[0].std() / gradients[-1].std())
    for name, ratio in found.items():
        print(f"{name}: the standard deviation changes by a factor of {ratio:.2g} in four layers")

    curves = []
    for equal, title in ((True, "All weights start at 0.5"), (False, "Random first weights")):
        weights = train(equal, steps)
        found[f"spread, {'equal' if equal else 'random'}"] = float(np.ptp(weights[-1]))
        lines = {f"unit {k + 1}": (range(steps), weights[:, k]) for k in range(4)}
        curves.append(plot_lines(lines, "step", "weight of the first input", title))
    print(f"spread of the units' weights: {found['spread, equal']:.1g}, random {found['spread, random']:.1g}")
    save(options.out / "initialisation.png", plot_activations(histograms))
    save(options.out / "symmetry.png", *curves)
    return found


if __name__ == "__main__":
    main()
