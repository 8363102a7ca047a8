"""PyTorch's wrapper for several GPUs of one machine: here the module computes on the device that it is on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.backend import DTypeError, refusing
from xpnn.nn.module import Module

__all__ = ["DataParallel", "data_parallel"]


class DataParallel(Module):
    """Call `module` on the device that it is on, as PyTorch does where there are no GPUs.

    Its parameters have their names in `module` with "module." before them, as in PyTorch's checkpoints.

    Args:
        module: the network.
        device_ids, output_device, dim: are accepted; a batch is not spread over devices.

    Raises: DTypeError if `module` is no Module.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.nn import Linear
    >>> net = DataParallel(Linear(2, 1))
    >>> [name for name, _ in net.named_parameters()], net(tensor([[1.0, 2.0]])).shape
    (['module.weight', 'module.bias'], (1, 1))
    """

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        if not isinstance(module, Module):
            raise DTypeError(f"expects a Module, got {type(module).__name__}", subject="DataParallel")
        self.module = module
        self.device_ids: list[Any] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.module(*inputs, **kwargs)


@refusing
def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Call `module` with one input or a tuple of them, on the device that it is on; see `DataParallel`.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.nn import ReLU
    >>> data_parallel(ReLU(), tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    words = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*words, **(module_kwargs or {}))
