"""What one cell of AlexNet sees: the receptive field of each layer, by its formula and by gradients.

The formula counts what can reach a cell. How much of it does, the gradients say: most comes from the middle.
"""

from __future__ import annotations

import numpy as np
from common import parse, plot_lines, save

from xpnn import models, nn, viz
from xpnn.nn import functional as F

SIDE = 291  # of the image, so large that the last field does not meet the edge
DRAWN = ("conv1", "conv2", "conv5")


def named_layers(features: nn.Sequential) -> dict[str, int]:
    """The places of convolutions and poolings, with the names that the paper gives them."""
    names, number = {}, 0
    for place, layer in enumerate(features):
        if isinstance(layer, nn.Conv2d):
            number += 1
            names[f"conv{number}"] = place
        elif isinstance(layer, nn.MaxPool2d):
            names[f"pool{number}"] = place
    return names


def middle_half(field: np.ndarray) -> float:
    """The width of the middle columns that half of the gradient comes from."""
    below = np.cumsum(field.sum(axis=0)) / field.sum()
    first, last = np.interp((0.25, 0.75), below, np.arange(len(below)))
    return float(last - first)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    features = models.alexnet(num_classes=10).features
    found, formula, reached, pictures = {}, [], [], []
    layers = named_layers(features)
    for name, place in layers.items():
        first = features[: place + 1]
        formula.append(F.receptive_field(first))
        field = viz.receptive_field(first, (1, 3, SIDE, SIDE))
        seen = np.flatnonzero(field.any(axis=0))
        found[name], found[f"{name}, by gradients"] = formula[-1], int(np.ptp(seen)) + 1
        reached.append(middle_half(field))
        print(f"{name}: {formula[-1]} columns, half of the gradient from the middle {reached[-1]:.0f}")
        if name in DRAWN:
            pictures.append(viz.plot_receptive_field(field, title=f"One cell of {name}"))
    found["middle half of the last"] = reached[-1]
    numbers = range(1, len(layers) + 1)
    curves = {
        "the field, by the formula": (numbers, formula),
        "where half of the gradient comes from": (numbers, reached),
    }
    save(
        options.out / "receptive_fields.png",
        *pictures,
        plot_lines(curves, ", ".join(layers), "columns", "AlexNet, layer by layer"),
        columns=2,
        colours=96,
    )
    return found


if __name__ == "__main__":
    main()
