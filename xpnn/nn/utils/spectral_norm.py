"""Spectral norm in its old form, by buffers beside the weight; `parametrizations` has the new one."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer
from xpnn.nn.utils.parametrizations import PowerIteration
from xpnn.nn.utils.recomputed import Recomputed, end_recomputing, recompute, restore_parameter, take_parameter

__all__ = ["remove_spectral_norm", "spectral_norm"]


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
    restore_parameter(module, name, value, f"{name}_orig", f"{name}_u", f"{name}_v")
    return module
