"""Weight norm in its old form, by parameters beside the weight; `parametrizations` has the new one."""

from __future__ import annotations

from xpnn.autograd import Tensor, no_grad
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter
from xpnn.nn.utils.parametrizations import norm_except
from xpnn.nn.utils.recomputed import Recomputed, end_recomputing, recompute, restore_parameter, take_parameter

__all__ = ["remove_weight_norm", "weight_norm"]


class _WeightNorm(Recomputed):
    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / norm_except(v, self.dim))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length and direction of a weight apart, as `weight_g` and `weight_v`: w = g v / ||v||.

    The arguments and the formula are those of `parametrizations.weight_norm`.

    >>> from xpnn import nn
    >>> list(weight_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = take_parameter(module, name, "weight_norm")
    with no_grad():
        g = norm_except(weight, dim)
    module.register_parameter(f"{name}_g", Parameter(g))
    module.register_parameter(f"{name}_v", weight)
    recompute(module, _WeightNorm(name, dim))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make a plain Parameter of a weight again. Raises: ArgumentError if it has no weight norm."""
    way = end_recomputing(module, _WeightNorm, name, "weight_norm")
    restore_parameter(module, name, way.compute(module), f"{name}_g", f"{name}_v")
    return module
