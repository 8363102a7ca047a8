"""Regression on a table from a CSV file, with categories and missing values; and why a table is standardised.

The prices of flats are made up: a rate for each square metre that depends on the district, less for age and
for storeys without a lift, and noise. `xpnn train` takes such a file from the command line.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim, viz
from xpnn.data import DataLoader, TabularDataset
from xpnn.nn import functional as F
from xpnn.train import Trainer

RATES = {"centre": 6.0, "north": 4.5, "south": 4.0, "harbour": 5.2}  # thousands a square metre
NOISE = 20.0  # standard deviation, in thousands


def write_flats(path: Path, count: int) -> None:
    """A CSV file of flats; one age in ten is not known."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["area", "age", "storey", "lift", "district", "price"])
        for _ in range(count):
            area, age, storey = rng.uniform(30, 150), rng.uniform(0, 100), int(rng.integers(0, 9))
            lift, district = rng.choice(["yes", "no"]), rng.choice(list(RATES))
            price = area * RATES[district] * (1 - 0.003 * age) - (8 * storey if lift == "no" else -2 * storey)
            known = "" if rng.random() < 0.1 else f"{age:.0f}"
            writer.writerow(
                [f"{area:.1f}", known, storey, lift, district, f"{price + rng.normal(0, NOISE):.1f}"]
            )


def loss_in_hundreds(output, price):
    return F.mse_loss(output, price / 100)  # outputs of about one are learned soonest


def fit(path: Path, model_of, epochs: int, standardize: bool = True):
    """A model trained on four fifths of the table: errors by epoch, prices and predictions of the rest."""
    xpnn.manual_seed(0)
    table = TabularDataset(path, target="price", standardize=standardize)
    train_part, test_part = table.split(0.8)
    model = model_of(len(table.feature_names))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    trainer = Trainer(model, optimizer, loss_in_hundreds, scheduler=schedule, progress=False)
    history = trainer.fit(DataLoader(train_part, 64, shuffle=True), DataLoader(test_part, 500), epochs=epochs)
    features, prices = next(iter(DataLoader(test_part, len(test_part))))
    with xpnn.no_grad():
        predicted = 100 * model(features)
    return [100 * value**0.5 for value in history["val_loss"]], prices[:, 0], predicted[:, 0]


def network(features: int):
    return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def linear(features: int):
    return nn.Linear(features, 1)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    count, epochs = (1000, 15) if options.fast else (4000, 40)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flats.csv"
        write_flats(path, count)
        runs = {
            "network": fit(path, network, epochs),
            "network, not standardised": fit(path, network, epochs, standardize=False),
            "linear model": fit(path, linear, epochs),
        }
    found = {name: errors[-1] for name, (errors, _, _) in runs.items()}
    for name, error in found.items():
        print(f"{name}: root of the mean squared error {error:.1f} thousand (the noise is {NOISE:.0f})")
    _, prices, predicted = runs["network"]
    curves = {name: (range(1, epochs + 1), errors) for name, (errors, _, _) in runs.items()}
    save(
        options.out / "tabular.png",
        plot_lines(
            curves, "epoch", "root mean squared error (thousands)", "Flats not seen in training", log="y"
        ),
        viz.plot_predictions(prices, predicted, name="price", title="The network's predictions"),
    )
    return found


if __name__ == "__main__":
    main()
