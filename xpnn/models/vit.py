"""The vision transformer: an image is a sequence of patches; names and shapes are torchvision's.

See: Dosovitskiy et al. (2021), "An image is worth 16x16 words".
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.backend import ArgumentError, ShapeError
from xpnn.models.blocks import zero_bias
from xpnn.models.registry import register
from xpnn.nn.parameter import full

_EPS = 1e-6


class EncoderBlock(nn.Module):
    """Attention and two linear layers with GELU, each behind a layer norm and with its input added.

    Args:
        num_heads: of the attention.
        hidden_dim, mlp_dim: features of a step, and between the linear layers.
        dropout, attention_dropout: probabilities, behind each part and of the attention's weights.
    """

    def __init__(
        self, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float, attention_dropout: float
    ) -> None:
        self.ln_1 = nn.LayerNorm(hidden_dim, eps=_EPS)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(hidden_dim, eps=_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, hidden_dim),
            nn.Dropout(dropout),
        )
        for layer in (self.mlp[0], self.mlp[3]):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, input: Any) -> Tensor:
        """(N, T, hidden_dim) to the same."""
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = input + self.dropout(x)
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Trained positions, blocks, and a layer norm.

    Args:
        seq_length: steps of the sequence.
        num_layers: blocks.
        num_heads, hidden_dim, mlp_dim, dropout, attention_dropout: as in `EncoderBlock`.
    """

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        self.pos_embedding = nn.Parameter(full((1, seq_length, hidden_dim), 0.0))
        nn.init.normal_(self.pos_embedding, std=0.02)
        self.dropout = nn.Dropout(dropout)
        blocks = [
            EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout)
            for _ in range(num_layers)
        ]
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", block) for i, block in enumerate(blocks))
        )
        self.ln = nn.LayerNorm(hidden_dim, eps=_EPS)

    def forward(self, input: Any) -> Tensor:
        """(N, seq_length, hidden_dim) to the same."""
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Patches as vectors, a class token before them, an encoder, and a linear layer on the token.

    Args:
        image_size, patch_size: the sides of the square image and of a patch.
        num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout: of the encoder.
        num_classes, in_channels: of the scores and of the images.

    Shapes: (N, in_channels, image_size, image_size) to the scores (N, num_classes).

    Raises: ArgumentError where patches don't divide the image; ShapeError for images of another size.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        if image_size % patch_size:
            raise ArgumentError(
                f"expects an image_size that patch_size divides, got {image_size} and {patch_size}",
                subject="VisionTransformer",
            )
        self.image_size = image_size
        self.conv_proj = nn.Conv2d(in_channels, hidden_dim, patch_size, patch_size)
        self.class_token = nn.Parameter(full((1, 1, hidden_dim), 0.0))
        length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(hidden_dim, num_classes)))
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (in_channels * patch_size**2)))
        nn.init.zeros_(self.heads.head.weight)
        zero_bias(self.conv_proj)
        zero_bias(self.heads.head)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, image_size, image_size) to the scores (N, num_classes)."""
        if tuple(input.shape[-2:]) != (self.image_size, self.image_size):
            raise ShapeError(
                f"expects images of {self.image_size} x {self.image_size}, got shape {tuple(input.shape)}",
                subject="VisionTransformer",
                hint="Positions are trained for one size; resize the images, or set image_size",
            )
        patches = self.conv_proj(input).flatten(2).mT
        batch, _, features = patches.shape
        token = xp.broadcast_to(self.class_token, (batch, 1, features))
        x = self.encoder(xp.concat([token, patches], axis=1))
        return self.heads(x[:, 0])


@register(input_shape=(3, 224, 224))
def vit_b_16(
    num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, **options: Any
) -> VisionTransformer:
    """ViT-B/16: 86,567,656 parameters with 1000 classes; options as in `VisionTransformer`."""
    sizes = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    return VisionTransformer(
        image_size, 16, num_classes=num_classes, in_channels=in_channels, **{**sizes, **options}
    )


@register(input_shape=(3, 32, 32))
def small_vit(
    num_classes: int = 10, in_channels: int = 3, image_size: int = 32, patch_size: int = 4, **options: Any
) -> VisionTransformer:
    """A ViT for images of 32 x 32, six layers of 128 features and 4 heads: 1,205,898 parameters."""
    sizes = {"num_layers": 6, "num_heads": 4, "hidden_dim": 128, "mlp_dim": 512}
    return VisionTransformer(
        image_size, patch_size, num_classes=num_classes, in_channels=in_channels, **{**sizes, **options}
    )
