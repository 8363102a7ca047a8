"""A conditional generative adversarial network: digits of the class that is asked for.

A generator makes images of noise and a class; a discriminator learns to tell them from real ones of that
class, and its gradient tells the generator what gives it away. Neither loss says how good the images are, as
each depends on the other network: a classifier that has seen real digits only reads what was drawn.

    python gan.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import optim, viz
from xpnn.data import DataLoader
from xpnn.data.synthetic import stroke_digits
from xpnn.models import Discriminator, Generator, create
from xpnn.models.gan import discriminator_loss, generator_loss

SIZE, LATENT, CLASSES = 16, 32, 10
BATCH = 64


def train_gan(generator, discriminator, digits, epochs: int) -> dict[str, list[float]]:
    """The losses of both after every tenth step."""
    optimizers = [
        optim.Adam(model.parameters(), lr=lr, betas=(0.5, 0.999))
        for model, lr in ((generator, 1e-3), (discriminator, 4e-4))
    ]
    losses = {"discriminator": [], "generator": []}
    for epoch in range(1, epochs + 1):
        for step, (images, labels) in enumerate(DataLoader(digits, BATCH, shuffle=True, drop_last=True)):
            real = 2 * images - 1  # the generator ends in tanh
            fake = generator(xpnn.randn(BATCH, LATENT), labels)

            optimizers[1].zero_grad()
            told = discriminator_loss(discriminator(real, labels), discriminator(fake.detach(), labels))
            told.backward()
            optimizers[1].step()

            optimizers[0].zero_grad()
            fooled = generator_loss(discriminator(fake, labels))
            fooled.backward()
            optimizers[0].step()
            if step % 10 == 0:
                losses["discriminator"].append(told.item())
                losses["generator"].append(fooled.item())
        print(f"epoch {epoch}: discriminator {told.item():.3f}, generator {fooled.item():.3f}")
    return losses


def train_reader(digits, epochs: int):
    """A classifier of real digits."""
    reader = create("mlp", num_classes=CLASSES, in_channels=1, image_size=SIZE)
    optimizer = optim.Adam(reader.parameters(), lr=1e-3)
    for _ in range(epochs):
        for images, labels in DataLoader(digits, BATCH, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(reader(images), labels).backward()
            optimizer.step()
    return reader.eval()


def share_read(reader, images, labels) -> float:
    return (reader(images).argmax(1) == labels).float().mean().item()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    digits = stroke_digits(1280 if options.fast else 12800, size=SIZE, seed=1)
    generator = Generator(LATENT, side=SIZE, width=32, num_classes=CLASSES)
    discriminator = Discriminator(side=SIZE, width=24, num_classes=CLASSES)
    losses = train_gan(generator, discriminator, digits, epochs=1 if options.fast else 8)
    reader = train_reader(digits, epochs=5)

    with xpnn.no_grad():
        labels = xpnn.arange(1000) % CLASSES
        drawn = (generator(xpnn.randn(1000, LATENT), labels) + 1) / 2
        images, classes = stroke_digits(1000, size=SIZE, seed=2).tensors
        found = {
            "generated digits read": share_read(reader, drawn, labels),
            "real digits read": share_read(reader, images, classes),
            "spread of the generated": drawn.std(0).mean().item(),
            "spread of the real": images.std(0).mean().item(),
        }
    for name, value in found.items():
        print(f"{name}: {value:.3f}")

    steps = [10 * i for i in range(len(losses["generator"]))]
    save(
        options.out / "gan.png",
        viz.plot_images(drawn[:60], columns=10, title="Drawn by the generator: a class in each column"),
        plot_lines({name: (steps, loss) for name, loss in losses.items()}, "step", "loss", "A balance"),
        width=1300,
        colours=64,
    )
    return found


if __name__ == "__main__":
    main()
