"""Tensors for einops: its functions ask for a backend of its own kind, made when einops is imported.

xpnn never imports einops. If it is there already, the backend is made at once; else Python is asked to tell
when the module that knows the backends is imported, and from then on is asked no more.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from xpnn.autograd.functions.creation import arange
from xpnn.autograd.functions.joining import cat, stack
from xpnn.autograd.functions.linalg import einsum
from xpnn.autograd.tensor import Tensor, tensor

_MODULE = "einops._backends"


class _Operations:
    """What einops asks of a library: the methods of its `AbstractBackend`."""

    framework_name = "xpnn"

    def is_appropriate_type(self, value: Any) -> bool:
        return isinstance(value, Tensor)

    def from_numpy(self, values: Any) -> Tensor:
        return tensor(values)

    def to_numpy(self, x: Tensor) -> Any:
        return x.detach().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        return arange(start, stop)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(axes)

    def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Tensor:
        """Equal extremes share the gradient, as in `amax` and `amin`."""
        axes = tuple(axes)
        if operation != "prod":
            return getattr(x, {"max": "amax", "min": "amin"}.get(operation, operation))(axes)
        for axis in sorted(axes, reverse=True):
            x = x.prod(axis)
        return x

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        return stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        return x.unsqueeze(new_position)

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
        return x.repeat(*repeats)

    def concat(self, tensors: list[Tensor], axis: int) -> Tensor:
        return cat(tensors, dim=axis)

    def is_float_type(self, x: Tensor) -> bool:
        return x.is_floating_point()

    def einsum(self, pattern: str, *operands: Tensor) -> Tensor:
        return einsum(pattern, *operands)


class _Announcement:
    """Python asks it for each module that is imported; it waits until one is not only looked for, but run."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _MODULE:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)  # type: ignore[arg-type]

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _register(module: ModuleType) -> None:
    """Make the class that einops finds among the subclasses of its own."""
    module.XpnnBackend = type("XpnnBackend", (_Operations, module.AbstractBackend), {})  # type: ignore[attr-defined]


if _MODULE in sys.modules:
    _register(sys.modules[_MODULE])
else:
    sys.meta_path.insert(0, _Announcement())  # type: ignore[arg-type]
