"""TensorBoard's `SummaryWriter` under PyTorch's name; needs tensorboardX."""

from __future__ import annotations

from typing import Any

from xpnn.backend import is_array, optional_import, to_numpy

__all__ = ["SummaryWriter"]


class SummaryWriter(optional_import("tensorboardX", extra="tensorboard").SummaryWriter):  # type: ignore[misc]
    """tensorboardX's writer, whose methods take Tensors and arrays of all libraries."""

    def __getattribute__(self, name: str) -> Any:
        """The writer's own; what adds something is given NumPy's arrays."""
        found = super().__getattribute__(name)
        if not name.startswith("add_") or name == "add_graph":
            return found
        return lambda *args, **options: found(
            *map(_plain, args), **{key: _plain(value) for key, value in options.items()}
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return to_numpy(value) if is_array(value) else value
