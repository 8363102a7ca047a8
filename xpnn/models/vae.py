"""Autoencoders and variational autoencoders, of linear layers and of convolutions.

See: Kingma & Welling (2014), "Auto-encoding variational Bayes"; Higgins et al. (2017), "beta-VAE".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.autograd.functions.random import randn, randn_like
from xpnn.backend import ArgumentError


def dense_coder(pixels: int, hidden: int, latent: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """An encoder and a decoder of two linear layers each.

    Args:
        pixels: of an image, (N, ...) with so many elements in all.
        hidden, latent: features between the layers, and of the code.
        outputs: features that the encoder gives, twice `latent` for a VAE.
    """
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))
    return encoder, decoder


def convolutional_coder(
    image: tuple[int, int, int], channels: int, latent: int, outputs: int
) -> tuple[nn.Module, nn.Module]:
    """An encoder of two convolutions with stride 2 and a linear layer, and its mirror image.

    Args:
        image: (C, H, W), H and W multiples of 4.
        channels: of the first convolution; the second has twice as many.
        latent, outputs: as in `dense_coder`.
    """
    depth, height, width = image
    if height % 4 or width % 4:
        raise ArgumentError(
            f"expects sides that are multiples of 4, got {image}", subject="convolutional_coder"
        )
    small = (2 * channels, height // 4, width // 4)
    size = small[0] * small[1] * small[2]
    encoder = nn.Sequential(
        *(nn.Conv2d(depth, channels, 4, 2, padding=1), nn.ReLU()),
        *(nn.Conv2d(channels, 2 * channels, 4, 2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(size, outputs)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(latent, size), nn.ReLU(), nn.Unflatten(1, small)),
        *(nn.ConvTranspose2d(2 * channels, channels, 4, 2, padding=1), nn.ReLU()),
        nn.ConvTranspose2d(channels, depth, 4, 2, padding=1),
    )
    return encoder, decoder


class _Coded(nn.Module):
    """An encoder and a decoder; arguments as of `Autoencoder`."""

    _numbers = 1  # that the encoder gives for each of the code

    def __init__(
        self, image: tuple[int, int, int], latent: int, hidden: int = 64, convolutional: bool = False
    ) -> None:
        self.image, self.latent = tuple(image), latent
        outputs = self._numbers * latent
        self.encoder, self.decoder = (
            convolutional_coder(image, hidden, latent, outputs)
            if convolutional
            else dense_coder(image[0] * image[1] * image[2], hidden, latent, outputs)
        )

    def decode(self, codes: Any) -> Tensor:
        """Codes (N, latent) to the logits of images (N, C, H, W)."""
        return self.decoder(codes).reshape(-1, *self.image)


class Autoencoder(_Coded):
    """An image through a code of a few numbers, and back.

    Args:
        image: (C, H, W) of an image.
        latent: numbers of the code.
        hidden: features between the linear layers, or channels of the first convolution.
        convolutional: whether coders are convolutional; see `convolutional_coder`.

    Shapes: (N, C, H, W) to the logits of its pixels, (N, C, H, W).

    >>> from xpnn.autograd import xp
    >>> Autoencoder((1, 8, 8), 2)(xp.ones((3, 1, 8, 8))).shape
    (3, 1, 8, 8)
    """

    def forward(self, input: Any) -> Tensor:
        """Images to the logits of what their codes say."""
        return self.decode(self.encoder(input))


class VAEOutputs(NamedTuple):
    """Logits of the images (N, C, H, W), and the mean and log variance of their codes, (N, latent) each."""

    logits: Tensor
    mean: Tensor
    log_variance: Tensor


class VAE(_Coded):
    """An autoencoder whose codes are normal distributions, drawn towards the unit one.

    Args: as of `Autoencoder`.

    Shapes: (N, C, H, W) to `VAEOutputs`.
    """

    _numbers = 2  # a mean and a log variance

    def encode(self, input: Any) -> tuple[Tensor, Tensor]:
        """The mean and the log variance of the codes of images, (N, latent) each."""
        both = self.encoder(input)
        return both[:, : self.latent], both[:, self.latent :]

    def forward(self, input: Any) -> VAEOutputs:
        """Images through codes that are drawn: z = mean + exp(log_variance / 2) * noise."""
        mean, log_variance = self.encode(input)
        codes = mean + (log_variance / 2).exp() * randn_like(mean)
        return VAEOutputs(self.decode(codes), mean, log_variance)

    def loss(self, images: Any, beta: float = 1.0) -> Tensor:
        """Minus the evidence lower bound, in nats for an image; pixels of [0, 1] are probabilities.

        Args:
            beta: how much the divergence counts; 1 is the bound, more gives a beta-VAE.
        """
        logits, mean, log_variance = self(images)
        pixels = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        return (pixels + beta * kl_to_unit_normal(mean, log_variance).sum()) / images.shape[0]

    def sample(self, count: int, generator: Any = None) -> Tensor:
        """Images (count, C, H, W) in [0, 1] from codes that are drawn from the unit normal distribution."""
        return F.sigmoid(self.decode(randn(count, self.latent, generator=generator)))


def kl_to_unit_normal(mean: Any, log_variance: Any) -> Tensor:
    """The divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the last axis.

    KL = 1/2 sum (mean^2 + exp(log_variance) - log_variance - 1).

    >>> from xpnn.autograd import xp
    >>> kl_to_unit_normal(xp.zeros((1, 2)), xp.zeros((1, 2))).tolist()
    [0.0]
    """
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(-1)
