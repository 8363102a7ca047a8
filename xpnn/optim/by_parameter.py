"""The state of an optimizer, asked for by the name of a parameter or by the parameter itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from xpnn.autograd import Tensor


class StateByParameter(MutableMapping[Any, dict[str, Any]]):
    """A view of a state by name, in which a parameter stands for its name.

    `state[p]` is an empty dict for a parameter of which nothing is kept yet; writing into it fills the state.

    Args:
        slots: what is kept for each parameter, by its name.
        name_of: the name of a parameter; raises KeyError for a Tensor that is none.
    """

    def __init__(self, slots: dict[str, dict[str, Any]], name_of: Callable[[Tensor], str]) -> None:
        self._slots = slots
        self._name_of = name_of

    def __getitem__(self, key: Any) -> dict[str, Any]:
        if isinstance(key, Tensor):
            return self._slots.setdefault(self._name_of(key), {})
        return self._slots[key]

    def __setitem__(self, key: Any, slots: dict[str, Any]) -> None:
        self._slots[self._name(key)] = slots

    def __delitem__(self, key: Any) -> None:
        del self._slots[self._name(key)]

    def __contains__(self, key: object) -> bool:
        return self._name(key) in self._slots

    def get(self, key: Any, default: Any = None) -> Any:
        """What is kept, or `default` if nothing is."""
        return self._slots.get(self._name(key), default)

    def pop(self, key: Any, *default: Any) -> Any:
        """Forget what is kept, and return it."""
        return self._slots.pop(self._name(key), *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """What is kept; `default` from now on if nothing is."""
        return self._slots.setdefault(self._name(key), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __repr__(self) -> str:
        return repr(self._slots)

    def _name(self, key: Any) -> Any:
        return self._name_of(key) if isinstance(key, Tensor) else key
