"""The Tensor around an array that a kernel has promised and not computed yet."""

from __future__ import annotations

from typing import Any

from xpnn.autograd.core import TensorBase, promise_class
from xpnn.autograd.tensor import Tensor
from xpnn.backend import Array, size_of

# The slot of every Tensor's array, which the promise lies in as long as it is not kept.
_data: Any = TensorBase.__dict__["array"]


@promise_class
class PromisedTensor(Tensor):
    """A Tensor whose elements a kernel has promised (see `xpnn.backend.Deferred`).

    Who asks for `array` has the promise kept, and the Tensor is one like all others from then on.
    """

    __slots__ = ()
    promised = True

    def settled(self) -> Tensor:
        """Itself, with its elements computed: a Tensor like all others."""
        self.array = self.promise.array()
        return self

    @property
    def promise(self) -> Any:  # type: ignore[override]
        """The promise."""
        return _data.__get__(self)

    @property
    def array(self) -> Array:  # type: ignore[override]
        """The raw array."""
        return self.settled().array

    @array.setter
    def array(self, array: Array) -> None:
        self.__class__ = Tensor  # type: ignore[assignment]
        _data.__set__(self, array)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.promise.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.promise.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return size_of(self.promise.shape)

    @property
    def dtype(self) -> Any:
        """The element type, as the backend names it."""
        return self.promise.dtype
