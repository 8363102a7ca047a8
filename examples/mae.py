"""A masked autoencoder: most of an image is hidden, and what is learned by drawing it helps to read digits.

No label is needed for that. Then a linear layer is trained on the encoder's features of few labelled digits
(a probe), and another one on their pixels.

    python mae.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import nn, optim, viz
from xpnn.data import DataLoader, Digits
from xpnn.models import MaskedAutoencoder

LABELS = (2, 5, 10, 20)  # digits of each class that have a label
SEEDS = 5


def pretrain(model, digits, epochs: int) -> float:
    optimizer = optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.95), weight_decay=0.05)
    loader = DataLoader(digits, batch_size=128, shuffle=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader), pct_start=0.1)
    for epoch in range(1, epochs + 1):
        for batch, _ in loader:
            optimizer.zero_grad()
            loss = model(batch).loss
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 25 == 0:
            print(f"epoch {epoch}: squared error of hidden pixels {loss.item():.4f}")
    return loss.item()


def features(model, images):
    """What the encoder says of all patches."""
    with xpnn.no_grad():
        return model.encoder(model.embedding(model.patches_of(images)) + model.positions).flatten(1)


def probe(train, labels, test, truth) -> float:
    """The part of the test digits that a linear layer reads rightly."""
    mean, std = train.mean(0), train.std(0) + 1e-2
    scale = train.shape[1] ** -0.5
    train, test = (train - mean) / std * scale, (test - mean) / std * scale
    layer = nn.Linear(train.shape[1], 10)
    optimizer = optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(train), labels) + 5e-3 * (layer.weight**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with xpnn.no_grad():
        return (layer(test).argmax(1) == truth).float().mean().item()


def some_of_each(labels, count: int, seed: int):
    """The numbers of `count` samples of each class, drawn by lot."""
    order = xpnn.randperm(len(labels), generator=xpnn.Generator().manual_seed(seed))
    rows = [order[labels[order] == digit][:count] for digit in range(10)]
    return xpnn.cat(rows)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    digits, held_out = Digits(), Digits(train=False)
    model = MaskedAutoencoder(8, 2, 1, 3, 4, 64, 1, 4, 32, mask_ratio=0.6, normalise=False)
    error = pretrain(model, digits, 3 if options.fast else 100)
    model.eval()
    images, test = xpnn.as_tensor(digits.data), xpnn.as_tensor(held_out.data)
    labels, truth = xpnn.as_tensor(digits.targets), xpnn.as_tensor(held_out.targets)
    sides = {
        "pixels": (images.flatten(1), test.flatten(1)),
        "encoder": (features(model, images), features(model, test)),
    }
    rights: dict[str, list[float]] = {name: [] for name in sides}
    for count in LABELS:
        for name, (train, other) in sides.items():
            rows = [some_of_each(labels, count, seed) for seed in range(SEEDS)]
            values = [probe(train[row], labels[row], other, truth) for row in rows]
            rights[name].append(sum(values) / SEEDS)
        print(f"{count} labels of each digit: " + ", ".join(f"{n} {v[-1]:.1%}" for n, v in rights.items()))

    with xpnn.no_grad():
        out = model(test[:12])
    hidden = model.images_of(xpnn.broadcast_to(out.hidden[:, :, None], out.patches.shape))
    drawn = model.images_of(out.patches).clamp(0, 1)
    rows = [test[:12], test[:12] * (1 - hidden) + 0.4 * hidden, test[:12] * (1 - hidden) + drawn * hidden]
    titles = [name for name in ("true", "seen", "drawn") for _ in range(12)]
    save(
        options.out / "mae.png",
        viz.plot_images(xpnn.cat(rows), titles=titles, columns=12, title="Held-out digits"),
        plot_lines(
            {name: (LABELS, values) for name, values in rights.items()},
            "labels of each digit",
            "right",
            "A linear layer on pixels and on features",
        ),
        width=1400,
        colours=64,
    )
    return {"error": error} | {f"{name}, {n}": v for name, vs in rights.items() for n, v in zip(LABELS, vs)}


if __name__ == "__main__":
    main()
