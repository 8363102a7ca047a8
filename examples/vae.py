"""A variational autoencoder on digits: new ones from noise, and a walk from one digit to another.

The encoder gives a normal distribution of codes for each image; the bound on the likelihood holds them near
the unit one. So a code drawn from the unit normal distribution is read as a digit, and what lies between the
codes of two digits, too. An autoencoder without that bound copies images better, but draws nothing new.
Beside them stands a mixture of normal distributions of the pixels, fitted by expectation maximisation.

    python vae.py
"""

from __future__ import annotations

from common import parse, save

import xpnn
from xpnn import functional as F
from xpnn import linalg, optim, viz
from xpnn.data import DataLoader, Digits
from xpnn.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from xpnn.models import VAE, Autoencoder

LATENT = 6
WALKS = ((0, 1), (3, 8), (4, 5), (7, 2))


def train(model, loss_of, images, epochs: int) -> None:
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loader = DataLoader(images, batch_size=64, shuffle=True)
    for epoch in range(1, epochs + 1):
        for batch, _ in loader:
            optimizer.zero_grad()
            loss = loss_of(batch)
            loss.backward()
            optimizer.step()
        schedule.step()
        if epoch % 50 == 0:
            print(f"{type(model).__name__}, epoch {epoch}: loss {loss.item():.2f} nats for an image")


def copying_loss(model, images):
    return F.binary_cross_entropy_with_logits(model(images), images, reduction="sum") / len(images)


def gaussian_mixture(images, parts: int, rounds: int):
    """Normal distributions of the pixels, fitted by expectation maximisation: `parts` of them, mixed."""
    x = images.flatten(1)
    ridge = 0.01 * xpnn.eye(x.shape[1])  # some pixels never change
    means, weights = x[xpnn.randperm(len(x))[:parts]], xpnn.full((parts,), 1 / parts)
    scale = linalg.cholesky(xpnn.cov(x.T) + ridge).expand(parts, *ridge.shape)
    for _ in range(rounds):
        mixture = MixtureSameFamily(Categorical(weights), MultivariateNormal(means, scale_tril=scale))
        log_p = mixture.component_distribution.log_prob(x[:, None]) + weights.log()
        share = F.softmax(log_p, 1)  # of each part in each image
        weights = share.mean(0)
        means = share.T @ x / share.sum(0)[:, None]
        apart = (x[:, None] - means).transpose(0, 1) * share.T[:, :, None].sqrt()
        scale = linalg.cholesky(apart.mT @ apart / share.sum(0)[:, None, None] + ridge)
    return mixture


def walk(model, start, end, steps: int = 16):
    """The images of the codes on the line from one code to another."""
    share = xpnn.linspace(0, 1, steps)[:, None]
    return F.sigmoid(model.decode((1 - share) * start + share * end))


def sheet(images, columns: int, title: str):
    """Images of 8 x 8, which the eye reads more easily without the edges of the cells."""
    return viz.plot_images(
        F.interpolate(images, scale_factor=8, mode="bicubic").clamp(0, 1), columns=columns, title=title
    )


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    digits, held_out = Digits(), Digits(train=False)
    images = xpnn.as_tensor(held_out.data)
    epochs = 10 if options.fast else 200
    model, plain = VAE((1, 8, 8), LATENT, hidden=512), Autoencoder((1, 8, 8), LATENT, hidden=512)
    train(model, model.loss, digits, epochs)
    train(plain, lambda batch: copying_loss(plain, batch), digits, epochs)

    with xpnn.no_grad():
        codes, log_variance = model.encode(images)
        found = {
            "bound": -model.loss(images).item(),
            "VAE copies": copying_loss(lambda batch: model.decode(model.encode(batch)[0]), images).item(),
            "autoencoder copies": copying_loss(plain, images).item(),
            "spread of the codes": (codes.var(0) + log_variance.exp().mean(0)).mean().sqrt().item(),
            "spread of the autoencoder's codes": plain.encoder(images).std(0).mean().item(),
        }
        for name, value in found.items():
            print(f"{name}, on held-out digits: {value:.2f}")
        first = [int((held_out.targets == digit).argmax()) for digit in range(10)]
        walks = xpnn.cat([walk(model, codes[first[a]], codes[first[b]]) for a, b in WALKS])
        samples = model.sample(40)
        noise = xpnn.randn(40, LATENT)
        mixture = gaussian_mixture(xpnn.as_tensor(digits.data), parts=10, rounds=2 if options.fast else 10)
        save(
            options.out / "vae.png",
            sheet(samples, 8, "VAE: drawn from noise"),
            sheet(F.sigmoid(plain.decode(noise)), 8, "Autoencoder: from noise"),
            sheet(mixture.sample((40,)).reshape(40, 1, 8, 8), 8, "Mixture of Gaussians"),
            sheet(walks, 16, "VAE: walks from digit to digit"),
            columns=2,
            width=1000,
            colours=16,
        )
    return found


if __name__ == "__main__":
    main()
