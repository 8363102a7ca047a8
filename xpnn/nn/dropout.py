"""Dropout: modules that set a random part to zero while training, and nothing in evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.arguments import check_probability
from xpnn.nn.module import Module

__all__ = [
    "AlphaDropout",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "StochasticDepth",
    "monte_carlo_dropout",
]


@contextmanager
def monte_carlo_dropout(module: Module) -> Iterator[Module]:
    """Let all that drops in a module drop in evaluation too, inside of the block.

    The spread of several predictions then says how sure the model is; all else, such as batch norm, stays in
    its mode. It puts those parts into training mode whose only random act is to drop: the modules of this
    file, and all layers with an attribute `dropout` (recurrent layers, attention).

    Args:
        module: a model in evaluation mode.

    See: Gal & Ghahramani (2016), "Dropout as a Bayesian approximation".

    >>> from xpnn import nn
    >>> from xpnn.autograd import xp
    >>> model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(9)).eval()
    >>> with monte_carlo_dropout(model):
    ...     model[0].training, model[1].training
    (True, False)
    >>> model[0].training
    False
    """
    parts = [part for part in module.modules() if _drops(part) and not part.training]
    for part in parts:
        part.training = True
    try:
        yield module
    finally:
        for part in parts:
            part.training = False


def _drops(module: Module) -> bool:
    rate = getattr(module, "dropout", 0.0)
    return isinstance(module, _Dropping) or (isinstance(rate, float | int) and rate > 0)


class _Dropping(Module):
    """What the modules share that drop by chance."""


class Dropout(_Dropping):
    """In training, set each element to zero with probability p and scale the rest by 1 / (1 - p).

    The masks come from `xpnn.random.default_stream()`, the same on every backend; see `functional.dropout`.

    Args:
        p: the probability of a zero.
        inplace: whether the result replaces the values of the Tensor that the module is called with.

    Raises: ArgumentError unless 0 <= p <= 1.

    >>> from xpnn.autograd import tensor
    >>> Dropout(0.5).eval()(tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        check_probability(p, type(self).__name__)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """`Dropout` of whole channels of sequences (N, C, L).

    >>> from xpnn.autograd import xp
    >>> len(set(Dropout1d()(xp.ones((1, 1, 9))).reshape(9).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, L) or (C, L) to the same."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(Dropout):
    """`Dropout` of whole channels of images (N, C, H, W).

    >>> from xpnn.autograd import xp
    >>> len(set(Dropout2d()(xp.ones((1, 1, 3, 3))).reshape(9).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to the same; others with a warning, see `functional.dropout2d`."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(Dropout):
    """`Dropout` of whole channels of volumes (N, C, D, H, W).

    >>> from xpnn.autograd import xp
    >>> len(set(Dropout3d()(xp.ones((1, 1, 2, 2, 2))).reshape(8).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) to the same."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(Dropout):
    """Dropout for SELU: what is dropped is set to where SELU ends, and mean and variance are kept.

    >>> from xpnn.autograd import tensor
    >>> AlphaDropout(0.5).eval()(tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels (N, C, ...).

    >>> from xpnn.autograd import xp
    >>> len(set(FeatureAlphaDropout()(xp.ones((1, 1, 3, 3))).reshape(9).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, ...) to the same."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)


class StochasticDepth(_Dropping):
    """In training, set whole samples to zero with probability p, and scale up the rest; torchvision has it.

    Args:
        p: the probability of a zero.
        mode: "row" decides for each sample on its own, "batch" for all of them at once.

    >>> from xpnn.autograd import tensor
    >>> StochasticDepth(1.0, "row")(tensor([[1.0, 2.0]]))
    tensor([[0., 0.]])
    """

    def __init__(self, p: float, mode: str) -> None:
        check_probability(p, type(self).__name__)
        self.p = p
        self.mode = mode

    def forward(self, input: Any) -> Tensor:
        """(N, ...) to the same."""
        return F.stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, mode={self.mode}"


class DropPath(_Dropping):
    """In training, set whole samples to zero with probability `drop_prob`; vision transformers call it so.

    Args:
        drop_prob: the probability of a zero.
        scale_by_keep: whether the rest is scaled by 1 / (1 - drop_prob).

    >>> from xpnn.autograd import tensor
    >>> DropPath(1.0)(tensor([[1.0, 2.0]]))
    tensor([[0., 0.]])
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        check_probability(drop_prob, type(self).__name__, "drop_prob")
        self.drop_prob = drop_prob
        self.scale_by_keep = scale_by_keep

    def forward(self, input: Any) -> Tensor:
        """(N, ...) to the same."""
        return F.drop_path(input, self.drop_prob, self.training, self.scale_by_keep)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"drop_prob={round(self.drop_prob, 3):0.3f}"
