"""Devices by a word, as PyTorch has them: `xpnn.device("cuda:0")`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from xpnn.backend.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    from xpnn.backend.registry import Backend

_WORD = re.compile(r"([a-zA-Z_]\w*)(?::(\d+))?")


class device(str):  # noqa: N801 - PyTorch's name
    """A device: its kind, and its number where there are several of a kind.

    It is its word, a string, and can be given wherever a word can. `t.device` is one as well, which knows the
    library's own object. In a `with` block new arrays are made on it, in this thread.

    Args:
        type: "cpu", "cuda", "cuda:1", another device, or the number of a GPU.
        index: the number, where the first argument is a kind.

    Attributes:
        type: "cpu", "cuda" ...
        index: the number, or None.
        native: the library's own object, where the device is that of a Tensor; else None.

    >>> device("cuda:1").type, device("cuda", 1).index, device("cpu") == "cpu"
    ('cuda', 1, True)
    """

    type: str
    index: int | None  # type: ignore[assignment]
    native: Any
    block_on: ClassVar[Callable[[str], AbstractContextManager]]  # the registry's, which is loaded after

    def __new__(cls, type: Any, index: int | None = None) -> device:
        """The device of that word."""
        word = f"cuda:{type}" if isinstance(type, int) and not isinstance(type, bool) else type
        match = _WORD.fullmatch(word.word if isinstance(word, device) else str(word))
        if match is None or (index is not None and match[2] is not None):
            raise ArgumentError(
                f"expects a kind and a number, such as 'cuda:0', got {type!r:.60}"
                + ("" if index is None else f" and {index!r:.60}"),
                subject="device",
            )
        if index is not None and (not isinstance(index, int) or index < 0):
            raise DTypeError(f"expects the number of a device, got {index!r:.60}", subject="device")
        number = index if index is not None else None if match[2] is None else int(match[2])
        made = super().__new__(cls, match[1] if number is None else f"{match[1]}:{number}")
        made.type, made.index, made.native = match[1], number, None
        return made

    @property
    def word(self) -> str:
        """Its word, as a plain string."""
        return str.__str__(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.word == str.__str__(other)
        if other is None:
            return False
        if type(other) is type(self.native) and other == self.native:
            return True  # of CuPy's devices each array has an object of its own, whose word is not ours
        return self.word == str(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{number})"

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.word,)

    def __enter__(self) -> device:
        block = type(self).block_on(self.word)
        block.__enter__()
        _blocks.entered.append(block)
        return self

    def __exit__(self, *exception: Any) -> None:
        _blocks.entered.pop().__exit__(*exception)


class _Blocks(threading.local):
    """The `with` blocks of devices that a thread is in."""

    def __init__(self) -> None:
        self.entered: list[AbstractContextManager] = []


def device_named(native: Any, backend: Backend) -> device:
    """A library's own device as xpnn's."""
    key = (
        backend.name,
        native if isinstance(native, Hashable) else backend.device_name(native),
    )  # CuPy's has none
    try:
        return _known[key]
    except KeyError:
        known = device(backend.device_name(native))
        known.native = native
        return _known.setdefault(key, known)


_blocks = _Blocks()
_known: dict[tuple[str, Any], device] = {}
