"""Densities: six networks say how likely a digit is, in bits for a held-out pixel, and draw new ones.

Four give each pixel's probability from those before it, so that the likelihood of an image is exact: NADE and
MADE on the pixels in a row, PixelCNN and PixelRNN on the image. Two are chains: a restricted Boltzmann
machine, whose constant is estimated by annealing, and a generative stochastic network, whose bits are bounde

    python densities.py
"""

from __future__ import annotations

from common import parse, save

import xpnn
from xpnn import optim, viz
from xpnn.data import DataLoader, Digits, TensorDataset
from xpnn.models import GSN, MADE, NADE, RBM, PixelCNN, PixelRNN


def binary(train: bool):
    """Digits of zeros and ones: (N, 1, 8, 8)."""
    return (xpnn.as_tensor(Digits(train).data) > 0.5).float()


def train(loss_of, model, images, epochs: int, lr: float, weight_decay: float = 0.01) -> None:
    optimizer = optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for (batch,) in DataLoader(TensorDataset(images), batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss_of(batch).backward()
            optimizer.step()
        schedule.step()


class Independent:
    """Pixels that know nothing of each other: each has the share of ones among the images."""

    def __init__(self, images) -> None:
        self.p = (images.sum(0) + 1) / (len(images) + 2)

    def bits_per_pixel(self, images):
        return -(images * self.p.log2() + (1 - images) * (1 - self.p).log2()).mean()

    def sample(self, count: int):
        return (xpnn.rand(count, *self.p.shape) < self.p).float()


def autoregressive(images, fast: bool):
    """Each model under its name, with its epochs and learning rate."""
    models = {"NADE": (NADE(64, 100), 25, 3e-3), "MADE": (MADE(64, (300,)), 40, 3e-3)}
    models |= {"PixelCNN": (PixelCNN(channels=16, blocks=3), 25, 5e-3)}
    models |= {"PixelRNN": (PixelRNN(channels=16, layers=2), 15, 5e-3)}
    for name, (model, epochs, lr) in models.items():
        on_image = name.startswith("Pixel")
        bits = (lambda x, m=model: m.bits_per_pixel(x.long())) if on_image else model.bits_per_pixel
        train(bits, model, images, 1 if fast else epochs, lr)
        yield name, bits, (lambda n, m=model: m.sample(n, 8, 8)) if on_image else model.sample


def chains(images, fast: bool):
    machine = RBM(64, 128, chains=100)
    p = Independent(images).p.flatten()
    machine.bias.data = (p / (1 - p)).log()
    train(lambda x: machine.loss(x, steps=2), machine, images, 2 if fast else 100, 3e-3, 1e-3)
    log_z = machine.annealed_log_partition(100, 100 if fast else 1000)
    yield "RBM", lambda x: machine.bits_per_pixel(x, log_z), machine.sample

    network = GSN(64, (300,), corruption=0.15, walkback=4)
    train(network.loss, network, images, 2 if fast else 60, 3e-3)
    states = network.chain(images[:100], 20 if fast else 300)[20 // 2 :]
    yield "GSN", lambda x: network.bits_per_pixel(x, states), lambda n: network.sample(n, 200)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    images, held_out = binary(True), binary(False)
    alone = Independent(images)
    count = 8 if options.fast else 40
    found, drawn = {}, {"Real": held_out[:count]}
    rows = [("independent pixels", alone.bits_per_pixel, alone.sample)]
    for name, bits, sample in (*rows, *autoregressive(images, options.fast), *chains(images, options.fast)):
        with xpnn.no_grad():
            found[name] = bits(held_out).item()
            drawn[name] = sample(count).float().reshape(-1, 1, 8, 8)
        print(f"{name}: {found[name]:.3f} bits for a held-out pixel, {64 * found[name]:.1f} for an image")
    titles = {name: f"{name}: {value:.3f} bits" for name, value in found.items()} | {"Real": "Real digits"}
    save(
        options.out / "densities.png",
        *(viz.plot_images(sheet, columns=8, title=titles[name]) for name, sheet in drawn.items()),
        columns=4,
        width=1300,
        colours=8,
    )
    return found


if __name__ == "__main__":
    main()
