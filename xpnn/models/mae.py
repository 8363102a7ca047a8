"""The masked autoencoder: most patches of an image are hidden, and drawn from the few that are left.

See: He, Chen, Xie, Li, Dollar & Girshick (2022), "Masked autoencoders are scalable vision learners".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.autograd.functions.random import rand
from xpnn.backend import ArgumentError
from xpnn.models.vit import EncoderBlock
from xpnn.nn.parameter import full


class MAEOutputs(NamedTuple):
    """The loss; patches as drawn, (N, T, patch^2 C); and which were hidden, (N, T), 1 where so."""

    loss: Tensor
    patches: Tensor
    hidden: Tensor


class MaskedAutoencoder(nn.Module):
    """An encoder that sees the patches that are left, and a smaller decoder that sees all places.

    Args:
        image_size, patch_size, in_channels: sides of the square image and of a patch, and the channels.
        num_layers, num_heads, hidden_dim: of the encoder, whose blocks are a ViT's.
        decoder_layers, decoder_heads, decoder_dim: of the decoder.
        mask_ratio: the part of the patches that is hidden.
        normalise: whether the patches to be drawn are brought to mean 0 and variance 1 each.

    Shapes: (N, in_channels, image_size, image_size) to `MAEOutputs`.

    Raises: ArgumentError where patches don't divide the image, or nothing would be hidden or left.
    """

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 4,
        in_channels: int = 3,
        num_layers: int = 6,
        num_heads: int = 4,
        hidden_dim: int = 128,
        decoder_layers: int = 2,
        decoder_heads: int = 4,
        decoder_dim: int = 64,
        mask_ratio: float = 0.75,
        normalise: bool = True,
    ) -> None:
        if image_size % patch_size:
            raise ArgumentError(
                f"expects an image_size that patch_size divides, got {image_size} and {patch_size}",
                subject="MaskedAutoencoder",
            )
        count = (image_size // patch_size) ** 2
        self.left = count - int(count * mask_ratio)
        if not 0 < self.left < count:
            raise ArgumentError(
                f"expects a mask_ratio that hides some of {count} patches, not all, got {mask_ratio}",
                subject="MaskedAutoencoder",
            )
        self.patch_size, self.normalise = patch_size, normalise
        pixels = in_channels * patch_size**2
        self.embedding = nn.Linear(pixels, hidden_dim)
        self.positions = nn.Parameter(full((1, count, hidden_dim), 0.0))
        self.encoder = _blocks(num_layers, num_heads, hidden_dim)
        self.bridge = nn.Linear(hidden_dim, decoder_dim)
        self.mask_token = nn.Parameter(full((1, 1, decoder_dim), 0.0))
        self.decoder_positions = nn.Parameter(full((1, count, decoder_dim), 0.0))
        self.decoder = _blocks(decoder_layers, decoder_heads, decoder_dim)
        self.head = nn.Linear(decoder_dim, pixels)
        for parameter in (self.positions, self.decoder_positions, self.mask_token):
            nn.init.normal_(parameter, std=0.02)

    def patches_of(self, images: Any) -> Tensor:
        """(N, C, H, W) to (N, T, C patch^2)."""
        return F.unfold(images, self.patch_size, stride=self.patch_size).mT

    def images_of(self, patches: Any) -> Tensor:
        """The inverse of `patches_of`."""
        side = round(patches.shape[1] ** 0.5) * self.patch_size
        return F.fold(patches.mT, (side, side), self.patch_size, stride=self.patch_size)

    def encode(self, images: Any) -> Tensor:
        """The features (N, hidden_dim) of whole images, the mean of all patches': what a probe is given."""
        return self.encoder(self.embedding(self.patches_of(images)) + self.positions).mean(1)

    def forward(self, input: Any, generator: Any = None) -> MAEOutputs:
        """Hide patches at random and draw them; the loss is the mean squared error of the hidden ones."""
        patches = self.patches_of(input)
        batch, count, _ = patches.shape
        order = rand(batch, count, generator=generator, device=patches.device).argsort(1)
        seen, places = order[:, : self.left], order.argsort(1)
        x = self.embedding(patches) + self.positions
        x = self.bridge(self.encoder(_at(x, seen)))
        tokens = xp.broadcast_to(self.mask_token, (batch, count - self.left, x.shape[2]))
        x = _at(xp.concat([x, tokens], axis=1), places) + self.decoder_positions
        drawn = self.head(self.decoder(x))
        hidden = (places >= self.left).to(drawn.dtype)
        target = patches
        if self.normalise:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        losses = ((drawn - target) ** 2).mean(-1)
        return MAEOutputs((losses * hidden).sum() / hidden.sum(), drawn, hidden)


def _blocks(count: int, heads: int, features: int) -> nn.Sequential:
    blocks = [EncoderBlock(heads, features, 4 * features, 0.0, 0.0) for _ in range(count)]
    return nn.Sequential(*blocks, nn.LayerNorm(features, eps=1e-6))


def _at(x: Any, places: Any) -> Tensor:
    """(N, T, E) at (N, S) places of each sequence: (N, S, E)."""
    return x.gather(1, xp.broadcast_to(places[:, :, None], (*places.shape, x.shape[2])))
