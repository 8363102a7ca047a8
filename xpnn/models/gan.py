"""Generative adversarial networks: DCGAN's nets, with or without a class, and the losses.

See: Goodfellow et al. (2014), "Generative adversarial nets"; Radford, Metz & Chintala (2016), "Unsupervised
representation learning with deep convolutional generative adversarial networks"; Mirza & Osindero (2014),
"Conditional generative adversarial nets"; Gulrajani et al. (2017), "Improved training of Wasserstein GANs".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, grad, xp
from xpnn.autograd.functions.random import rand
from xpnn.backend import ArgumentError
from xpnn.models.fusion import NormReluSequential


def _halvings(side: int, subject: str) -> int:
    """How often a side of 4 cells is doubled."""
    count = (side // 4).bit_length() - 1
    if count < 1 or side != 4 * 2**count:
        raise ArgumentError(f"expects a side of 8, 16, 32, 64 ... pixels, got {side}", subject=subject)
    return count


class Generator(nn.Module):
    """Noise to images: transposed convolutions with batch norm and ReLU, tanh at the end.

    Args:
        latent: numbers of the noise.
        channels: of the images.
        side: of the images, 4 times a power of two.
        width: channels before the last convolution; each one before has twice as many.
        num_classes: 0, or the number of classes, of which one is asked for.

    Shapes: (N, latent), and labels (N,) where there are classes, to (N, channels, side, side) in [-1, 1].
    """

    def __init__(
        self, latent: int = 100, channels: int = 1, side: int = 32, width: int = 32, num_classes: int = 0
    ) -> None:
        count = _halvings(side, "Generator")
        self.latent, self.num_classes = latent, num_classes
        self.embedding = nn.Embedding(num_classes, latent) if num_classes else None
        wide = width * 2 ** (count - 1)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent, wide, 4, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        for _ in range(count - 1):
            narrow = wide // 2
            layers.append(nn.ConvTranspose2d(wide, narrow, 4, 2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(narrow), nn.ReLU()]
            wide = narrow
        layers += [nn.ConvTranspose2d(wide, channels, 4, 2, padding=1), nn.Tanh()]
        self.layers = NormReluSequential(*layers)
        initialise(self)

    def forward(self, noise: Any, labels: Any = None) -> Tensor:
        """Images of such noise, and of these classes."""
        if self.embedding is not None:
            noise = noise * self.embedding(labels)
        return self.layers(noise.reshape(*noise.shape, 1, 1))


class Discriminator(nn.Module):
    """Images to one score each: strided convolutions with leaky ReLU, batch norm between them.

    Args:
        channels, side: of the images.
        width: channels of the first convolution; each one behind it has twice as many.
        num_classes: 0, or the number of classes, each of which is a further channel of ones or zeros.
        batch_norm: whether there is batch norm; a critic of WGAN-GP must not have it.

    Shapes: (N, channels, side, side), and labels (N,) where there are classes, to the logits (N,).
    """

    def __init__(
        self,
        channels: int = 1,
        side: int = 32,
        width: int = 32,
        num_classes: int = 0,
        batch_norm: bool = True,
    ) -> None:
        count = _halvings(side, "Discriminator")
        self.num_classes = num_classes
        layers: list[nn.Module] = [
            nn.Conv2d(channels + num_classes, width, 4, 2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for _ in range(count - 1):
            layers.append(nn.Conv2d(width, 2 * width, 4, 2, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(2 * width)] if batch_norm else []
            layers.append(nn.LeakyReLU(0.2))
            width *= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 4))
        initialise(self)

    def forward(self, images: Any, labels: Any = None) -> Tensor:
        """The logits of the images' being real."""
        if self.num_classes:
            hot = F.one_hot(labels, self.num_classes).to(images.dtype)[:, :, None, None]
            maps = xp.broadcast_to(hot, (*hot.shape[:2], *images.shape[2:]))
            images = xp.concat([images, maps], axis=1)
        return self.layers(images).reshape(-1)


def initialise(model: nn.Module) -> None:
    """DCGAN's: weights from N(0, 0.02^2), those of batch norms from N(1, 0.02^2), biases of 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def discriminator_loss(real: Any, fake: Any) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), means over the batches, from the logits of real and made images."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Any) -> Tensor:
    """-log D(G(z)), which does not saturate, from the logits of made images."""
    return F.softplus(-fake).mean()


def gradient_penalty(critic: Any, real: Any, fake: Any, generator: Any = None) -> Tensor:
    """WGAN-GP's (|gradient of the critic| - 1)^2, at points between real and made images; a mean.

    Args:
        critic: gives a score for each image; without batch norm, by which images would see each other.
        real, fake: (N, C, H, W) each.
        generator: what the points are drawn from.
    """
    share = rand(
        real.shape[0], *[1] * (real.ndim - 1), generator=generator, dtype=real.dtype, device=real.device
    )
    between = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_()
    (gradient,) = grad(critic(between).sum(), between, create_graph=True)
    return ((gradient.reshape(gradient.shape[0], -1).norm(dim=1) - 1) ** 2).mean()
