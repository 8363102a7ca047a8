"""The old forms of weight norm and spectral norm, which add parameters beside the weight.

`parametrizations` has the new ones; checkpoints of old programs have the names of these.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer, Parameter
from xpnn.nn.utils.parametrizations import PowerIteration, norm_except
from xpnn.nn.utils.recomputed import Recomputed, end_recomputing, recompute, take_parameter

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


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
    _restore(module, name, way.compute(module), f"{name}_g", f"{name}_v")
    return module


class _SpectralNorm(Recomputed):
    def __init__(self, name: str, iteration: PowerIteration) -> None:
        super().__init__(name)
        self.iteration = iteration

    def compute(self, module: Module) -> Tensor:
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        weight = getattr(module, f"{self.name}_orig")
        if module.training:
            self.iteration.advance(weight, u, v)
        return weight / self.iteration.sigma(weight, u, v)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value; trained is `weight_orig`.

    The arguments and the formula are those of `parametrizations.spectral_norm`.

    >>> from xpnn import nn
    >>> list(spectral_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = take_parameter(module, name, "spectral_norm")
    iteration = PowerIteration.of(module, weight, n_power_iterations, eps, dim)._replace(v_first=True)
    u, v = iteration.start(weight)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", Buffer(u))
    module.register_buffer(f"{name}_v", Buffer(v))
    recompute(module, _SpectralNorm(name, iteration))
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make a plain Parameter of a weight again. Raises: ArgumentError if it has no spectral norm."""
    way = end_recomputing(module, _SpectralNorm, name, "spectral_norm")
    u, v = getattr(module, f"{name}_u"), getattr(module, f"{name}_v")
    weight: Any = getattr(module, f"{name}_orig")
    value = weight / way.iteration.sigma(weight, u, v)
    _restore(module, name, value, f"{name}_orig", f"{name}_u", f"{name}_v")
    return module


def _restore(module: Module, name: str, value: Tensor, *gone: str) -> None:
    for other in gone:
        delattr(module, other)
    module.register_parameter(name, Parameter(value.detach()))
