"""A classifier of small images that is slid over large ones: its linear layers become convolutions.

See: Sermanet et al. (2014), "OverFeat"; Long, Shelhamer & Darrell (2015), "Fully convolutional networks".
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions.creation import arange
from xpnn.backend import ArgumentError

_SUBJECT = "as_convolution"
_TOLERANCE = 1e-3  # of scores of half precision, relative to the largest


def as_convolution(model: nn.Module, input_shape: Sequence[int]) -> nn.Sequential:
    """A network that gives, for an image of any size, the classifier's scores of all its windows at once.

    The first linear layer behind the maps becomes a convolution with a kernel as large as they are, those
    behind it become 1 x 1 convolutions, global average pooling an average over such windows. The scores are
    those of windows whose distance is the product of all strides. Where a convolution is padded, they differ
    from those of the cut out window, which has zeros around it in place of the image.

    Args:
        model: an `nn.Sequential` of layers of maps, `Flatten`, linear layers, and what acts on numbers or
            features one by one between them; Sequentials in it are opened.
        input_shape: (C, H, W) of the images that it classifies.

    Returns: (N, C, H', W') to (N, classes, rows, columns); one row and column for an image of H x W. It has
        copies of the weights, and is in the model's mode.

    Raises: ArgumentError for a model that has no such form.

    >>> from xpnn.autograd import xp
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 3 * 3, 10))
    >>> as_convolution(net, (1, 8, 8))(xp.ones((1, 1, 12, 10))).shape
    (1, 10, 3, 2)
    """
    like = next(iter(model.parameters()), None)
    if like is None:
        raise ArgumentError("expects a model with linear layers", subject=_SUBJECT)
    training, own = model.training, copy.deepcopy(model).eval()
    image = _image((1, *input_shape), like)
    layers: list[nn.Module] = []
    kernel: tuple[int, ...] | None = None  # of the next linear layer, once there are no maps any more
    with no_grad():
        x = image
        for layer in _opened(own):
            if isinstance(layer, nn.Flatten):
                kernel = tuple(x.shape[2:])
            elif kernel is None:
                layers.append(_over_windows(layer, tuple(x.shape[2:])))
            elif isinstance(layer, nn.Linear):
                layers.append(_convolution(layer, kernel))
                kernel = (1, 1)
            elif isinstance(layer, nn.BatchNorm1d):
                layers.append(_norm_of_maps(layer))
            else:
                layers.append(layer)
            x = layer(x)
        net = nn.Sequential(*layers)
        _require_same(net(image), x)
    return net.train(training)


def _opened(module: nn.Module) -> Iterator[nn.Module]:
    """The layers, in order, those of Sequentials too."""
    if isinstance(module, nn.Sequential):
        for layer in module:
            yield from _opened(layer)
    else:
        yield module


def _image(shape: tuple[int, ...], like: Any) -> Tensor:
    """An image of which no two cells are alike."""
    size = 1
    for count in shape:
        size *= count
    return (arange(size, device=like.device) * 0.37).sin().reshape(shape).to(like.dtype)


def _over_windows(layer: nn.Module, size: tuple[int, ...]) -> nn.Module:
    """A layer of maps; in place of global pooling, an average over windows of the maps' size."""
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return nn.AvgPool2d(size, stride=1) if layer.output_size in (1, (1, 1)) else nn.Identity()
    return layer


def _convolution(linear: nn.Linear, kernel: tuple[int, ...]) -> nn.Conv2d:
    """The convolution that computes a linear layer of windows."""
    channels = linear.in_features // max(kernel[0] * kernel[1], 1)
    conv = nn.Conv2d(channels, linear.out_features, kernel, bias=linear.bias is not None)
    conv.weight = nn.Parameter(linear.weight.detach().reshape(linear.out_features, channels, *kernel))
    conv.bias = linear.bias
    return conv


def _norm_of_maps(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    """The same norm, of maps."""
    maps = nn.BatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    ).eval()
    maps.weight, maps.bias = norm.weight, norm.bias
    maps.running_mean, maps.running_var = norm.running_mean, norm.running_var
    maps.num_batches_tracked = norm.num_batches_tracked
    return maps


def _require_same(scores: Tensor, expected: Tensor) -> None:
    """Raise an ArgumentError unless both say the same of the one window: some layer has no such form."""
    shape = (*expected.shape, 1, 1)
    size = float(abs(expected).max().item()) + 1e-6
    if tuple(scores.shape) != shape or abs(scores[..., 0, 0] - expected).max().item() > _TOLERANCE * size:
        raise ArgumentError(
            f"expects layers that have a form over windows, got scores {tuple(scores.shape)} that are not "
            f"those of the model, {tuple(expected.shape)}",
            subject=_SUBJECT,
            hint="Behind the maps: Flatten, linear layers, and what acts on numbers or features one by one",
        )
