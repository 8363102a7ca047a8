"""What registering a hook returns."""

from __future__ import annotations

from typing import Any


class RemovableHandle:
    """Takes a hook away again, by `remove()` or at the end of a `with` block.

    >>> hooks = {1: print}
    >>> RemovableHandle(hooks, 1).remove()
    >>> hooks
    {}
    """

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
