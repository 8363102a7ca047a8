"""What blocks of networks compute as one operation where their modules allow it."""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.nn.hooks import has_hooks

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def norm_relu(norm: nn.Module, relu: nn.Module, input: Any, residual: Any = None) -> Any:
    """`relu(norm(input) + residual)`: in fewer passes over memory if the modules are a batch norm and a ReLU.

    Where one of them was replaced by a module of another class, or has hooks, each is called by itself.

    >>> import xpnn
    >>> norm_relu(nn.BatchNorm1d(1), nn.ReLU(), xpnn.tensor([[1.0], [1.0]])).tolist()
    [[0.0], [0.0]]
    """
    plain = type(norm) in _BATCH_NORMS and type(relu) is nn.ReLU
    if plain and not has_hooks(norm) and not has_hooks(relu):
        return norm(input, residual=residual, relu=True)
    x = norm(input)
    return relu(x if residual is None else x + residual)


class NormReluSequential(nn.Sequential):
    """A Sequential in which a batch norm and the ReLU behind it are computed by `norm_relu`.

    >>> import xpnn
    >>> NormReluSequential(nn.BatchNorm1d(1), nn.ReLU())(xpnn.tensor([[1.0], [1.0]])).tolist()
    [[0.0], [0.0]]
    """

    def forward(self, input: Any) -> Any:
        """The input through all modules."""
        modules = list(self)
        while modules:
            module = modules.pop(0)
            if modules and type(modules[0]) is nn.ReLU and type(module) in _BATCH_NORMS:
                input = norm_relu(module, modules.pop(0), input)
            else:
                input = module(input)
        return input
