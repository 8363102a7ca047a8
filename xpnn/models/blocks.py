"""Parts that several networks for images are made of."""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.fusion import NormReluSequential


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A convolution that keeps the size but for its stride, batch norm, and an activation if there is one.

    >>> [type(module).__name__ for module in conv_norm(3, 8)]
    ['Conv2d', 'BatchNorm2d', 'ReLU']
    """
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=kernel_size // 2,
        groups=groups,
        bias=False,
    )
    last = [] if activation is None else [activation()]
    return NormReluSequential(conv, nn.BatchNorm2d(out_channels), *last)


class SqueezeExcitation(nn.Module):
    """Each channel times a factor between 0 and 1 that is found from the means of all channels.

    Args:
        channels: of the input and the output.
        hidden: of the layer between.
        activation: of that layer.

    See: Hu, Shen & Sun (2018), "Squeeze-and-excitation networks".
    """

    def __init__(self, channels: int, hidden: int, activation: type[nn.Module] = nn.ReLU) -> None:
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.activation = activation()
        self.scale_activation = nn.Sigmoid()

    def forward(self, input: Any) -> Tensor:
        """(N, channels, H, W) to the same."""
        hidden = self.activation(self.fc1(self.avgpool(input)))
        return input * self.scale_activation(self.fc2(hidden))


def rounded_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` next to `channels`, but not less than nine tenths of it.

    >>> rounded_channels(32 * 0.35), rounded_channels(16 * 1.1)
    (16, 16)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def initialise_by_fan_out(model: nn.Module, linear_std: float = 0.01, uniform: float | None = None) -> None:
    """He's normal weights, by fan-out, for convolutions; small ones for linear layers; biases of zero.

    Args:
        linear_std: the standard deviation of a linear layer's weights; or
        uniform: they are drawn from [-uniform / sqrt(out_features), ...) instead.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear) and uniform is not None:
            bound = uniform / module.out_features**0.5
            nn.init.uniform_(module.weight, -bound, bound)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, linear_std)
        zero_bias(module)


def zero_bias(module: nn.Module) -> None:
    """Set the bias of a convolution or a linear layer to 0, if it has one."""
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)
