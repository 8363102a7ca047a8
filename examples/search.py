"""A search over hyper-parameters: learning rate, width and dropout of a network for digits.

The search draws learning rates on a logarithmic scale, learns from the trials so far where good ones are
(TPE), and ends hopeless trials early (ASHA). It is kept in a folder: run again, it goes on, and several
processes and machines can share it.
"""

from __future__ import annotations

import tempfile

from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim
from xpnn.data import DataLoader, TensorDataset, load_digits
from xpnn.nn import functional as F
from xpnn.search import Int, LogUniform, ReportToTrial, Search, Uniform
from xpnn.train import Trainer
from xpnn.viz import style

SPACE = {"lr": LogUniform(1e-4, 1.0), "width": Int(4, 128), "dropout": Uniform(0.0, 0.8)}
EPOCHS = 12


def objective(trial) -> float:
    """The validation loss of one choice of values."""
    xpnn.manual_seed(0)
    images, labels = load_digits()
    parts = [TensorDataset(images[s], labels[s]) for s in (slice(600), slice(600, 1200))]
    lr, width, dropout = (trial.params[name] for name in SPACE)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10)
    )
    trainer = Trainer(
        model, optim.Adam(model.parameters(), lr=lr), F.cross_entropy,
        callbacks=[ReportToTrial(trial)], nan_loss="ignore", progress=False,
    )  # fmt: skip
    history = trainer.fit(DataLoader(parts[0], 50, shuffle=True), DataLoader(parts[1], 600), epochs=EPOCHS)
    return history["val_loss"][-1]


@style.styled
def plot_points(series) -> style.Figure:
    """The value against the learning rate, one mark for each trial."""
    figure = style.new_figure(5.2, 4.2)
    axes = figure.subplots()
    for number, (state, (rates, values)) in enumerate(series.items()):
        axes.plot(rates, values, style.MARKERS[number], color=style.colour(number), label=state)
    style.log_scale(axes, "x")
    style.log_scale(axes, "y")
    axes.grid(True)
    axes.set(xlabel="learning rate", ylabel="validation loss")
    figure.legend(loc="outside lower center", ncols=2)
    return style.finished(figure, None, "Trials")


def main(arguments: list[str] | None = None) -> dict:
    options = parse(__doc__, arguments)
    with tempfile.TemporaryDirectory() as folder:
        search = Search(SPACE, folder, method="tpe", pruner="asha", seed=1, metric="validation loss")
        results = search.run(objective, trials=6 if options.fast else 40)
    for trial in results.ranked("done")[:5]:
        print(f"trial {trial.number}: {trial.value:.3f}, {trial.params}")
    print(f"{len(results)} trials, {results.count('pruned')} ended early")
    shown = [trial for trial in results if trial.value is not None and trial.value < 10]
    rates = {
        state: ([t.params["lr"] for t in trials], [t.value for t in trials])
        for state in ("done", "pruned")
        if (trials := sorted((t for t in shown if t.state == state), key=lambda t: t.params["lr"]))
    }
    best = [min(t.value for t in shown[: k + 1]) for k in range(len(shown))]
    save(
        options.out / "search.png",
        plot_points(rates),
        plot_lines(
            {"best so far": ([t.number for t in shown], best)}, "trial", "validation loss", "Progress"
        ),
    )
    return {"best": results.best.value, "trials": len(results)}


if __name__ == "__main__":
    main()
