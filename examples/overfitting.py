"""Overfitting and early stopping: the loss on data that the network has not seen ends the training.

With few samples and many weights the training loss falls for ever; on the validation part it turns at some
epoch. Early stopping ends the run some epochs after the best one, and takes back the weights of that epoch.
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim, viz
from xpnn.data import DataLoader, TensorDataset
from xpnn.data.synthetic import moons
from xpnn.nn import functional as F
from xpnn.train import EarlyStopping, Trainer


def fit(parts: list[TensorDataset], epochs: int, callbacks: list) -> tuple[nn.Module, dict[str, list[float]]]:
    """A network that is much too large for its data, and the losses of each epoch."""
    xpnn.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
    )  # fmt: skip
    trainer = Trainer(
        model, optim.Adam(model.parameters(), lr=2e-3), F.cross_entropy, callbacks=callbacks, progress=False
    )
    loaders = [DataLoader(part, batch_size=30, shuffle=k == 0) for k, part in enumerate(parts)]
    history = trainer.fit(*loaders, epochs=epochs)
    model.eval()
    return model, history


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    epochs = 150 if options.fast else 400
    parts = [moons(60, noise=0.35, seed=1), moons(1000, noise=0.35, seed=2)]
    test_x, test_y = moons(2000, noise=0.35, seed=3).tensors
    found, figures = {}, []
    for name, callbacks in (("to the end", []), ("early stopping", [EarlyStopping(patience=20)])):
        model, history = fit(parts, epochs, callbacks)
        with xpnn.no_grad():
            scores = model(test_x)
        accuracy = (scores.argmax(1) == test_y).float().mean().item()
        loss = F.cross_entropy(scores, test_y).item()
        found |= {
            f"{name}, epochs": len(history["val_loss"]),
            f"{name}, loss": loss,
            f"{name}, right": accuracy,
        }
        print(
            f"{name}: {len(history['val_loss'])} epochs, test loss {loss:.3f}, test accuracy {accuracy:.1%}"
        )
        if not callbacks:
            best = min(history["val_loss"])
            found["best epoch"] = history["val_loss"].index(best) + 1
            lines = {
                "training": (range(1, epochs + 1), history["loss"]),
                "validation": (range(1, epochs + 1), history["val_loss"]),
                f"best epoch: {found['best epoch']}": ([found["best epoch"]] * 2, [0, best]),
            }
            figures.append(plot_lines(lines, "epoch", "loss", "Training and validation"))
        figures.append(viz.plot_decision_regions(model, *parts[0].tensors, title=f"{name}: {accuracy:.1%}"))
    save(options.out / "overfitting.png", *figures)
    return found


if __name__ == "__main__":
    main()
