"""Keys and values of earlier steps, kept so that a sequence grows by a step for the cost of a step.

Step t of a causal model needs the keys and values of the steps up to t. They do not change when later steps
come, so that a model that writes a text projects each step once: T steps cost T projections in place of
T (T + 1) / 2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

from xpnn.autograd import Tensor, is_grad_enabled
from xpnn.autograd.functions.indexing import index_select
from xpnn.backend import (
    ArgumentError,
    Array,
    BackendMismatchError,
    DTypeError,
    GradientError,
    ShapeError,
    backend_of,
    device_of,
    is_array,
    namespace,
)
from xpnn.backend.idioms import set_at
from xpnn.functional.arguments import raw_array, shape_of, type_name, whole

__all__ = ["KeyValueCache"]

_SUBJECT = "KeyValueCache"


class KeyValueCache:
    """The keys and values of the steps that a model has seen, layer by layer; one object serves all layers.

    Pass it as `cache=` to `MultiheadAttention` and to the layers and stacks of the transformer, first with
    the steps of the prompt, then with each further step alone. With `is_causal=True` the outputs are those
    of the whole sequence at once. Masks cover all keys, those of earlier steps first: attn_mask is
    (L, length + L), key_padding_mask (N, length + L). An attention of one's own calls `update`:

        k, v = cache.update(self, k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(q.shape[-2], k.shape[-2]))

    It holds no graph: it is for use inside of `with xpnn.no_grad():`. What it holds belongs to the weights
    that made it: call `reset()` when they have changed, and for another prompt.

    Args:
        max_length: the most steps; None lets it grow.

    Attributes:
        length: how many steps are held, which is the position of the next one. During a pass it is that of
            the layer that has seen fewest.

    Raises: ArgumentError for a max_length below 1.

    See: Pope et al. (2022), "Efficiently scaling transformer inference".

    >>> import xpnn
    >>> attention, x = xpnn.nn.MultiheadAttention(8, 2, batch_first=True), xpnn.ones(1, 3, 8)
    >>> with xpnn.no_grad():
    ...     cache = KeyValueCache()
    ...     for step in range(3):
    ...         y, _ = attention(*[x[:, step : step + 1]] * 3, is_causal=True, cache=cache)
    >>> y.shape, cache
    ((1, 1, 8), KeyValueCache(length=3, layers=1, max_length=None))
    """

    def __init__(self, max_length: int | None = None) -> None:
        if max_length is not None and whole(max_length, "max_length", _SUBJECT) < 1:
            raise ArgumentError(f"expects max_length of at least 1, got {max_length}", subject=_SUBJECT)
        self.max_length = max_length
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._layers: dict[Hashable, _Steps] = {}
        self._memories: dict[Hashable, _Memory] = {}
        self._before = self._after = 0  # the length before this pass through the layers, and after it

    @property
    def length(self) -> int:
        """How many steps are held."""
        return min((steps.length for steps in self._layers.values()), default=0)

    def update(self, layer: Hashable, key: Any, value: Any) -> tuple[Any, Any]:
        """Add steps to those of a layer; returns the keys and values of all steps so far.

        Args:
            layer: whose they are, such as the module itself. Of a layer that a pass calls twice, each call
                has keys and values of its own: pass `(self, 0)` and `(self, 1)`.
            key: (N, ..., T, E). value: (N, ..., T, EV). In the next call only T may differ.

        Raises: ShapeError for other sizes, for more steps than max_length, or if the layers are out of step;
        DTypeError or BackendMismatchError for other types than those held; GradientError if a gradient
        is to pass.
        """
        for name, x in {"key": key, "value": value}.items():
            if x.ndim < 3:
                raise ShapeError(
                    f"expects {name} of 3 axes or more (N, ..., T, E), got shape {shape_of(x)}",
                    subject=_SUBJECT,
                )
            if isinstance(x, Tensor) and x.requires_grad and is_grad_enabled():
                raise GradientError(
                    "expects no gradients with a cache, which holds no graph of the steps before",
                    subject=_SUBJECT,
                    hint="Generate inside of `with xpnn.no_grad():`, or train without a cache",
                )
        if key.shape[:-1] != value.shape[:-1]:
            raise ShapeError(
                f"expects a value for every key, got shapes {shape_of(key)} and {shape_of(value)}",
                subject=_SUBJECT,
            )
        steps = self._layers.get(layer) or _Steps(raw_array(key), raw_array(value))
        steps.check(raw_array(key), raw_array(value))
        self._keep_step(steps.length, key.shape[-2])
        found = steps.extended(raw_array(key), raw_array(value), self.max_length)
        self._layers[layer] = steps
        keys, values = (Tensor(x) if isinstance(key, Tensor) else x for x in found)
        return keys, values

    def memory(
        self, layer: Hashable, sources: tuple[Any, ...], project: Callable[[], tuple[Any, Any]]
    ) -> tuple[Any, Any]:
        """The keys and values that a layer looks up in something fixed, such as an encoder's output.

        They are computed by `project` when `sources` are other arrays than in the call before, or have been
        written into; a NumPy array that is written into from outside must be passed as a new one.
        """
        now = tuple(raw_array(x) for x in sources)
        known = self._memories.get(layer)
        if (
            known is None
            or len(known.sources) != len(now)
            or any(a is not b for a, b in zip(known.sources, now))
        ):
            keys, values = (x.detach() if isinstance(x, Tensor) else x for x in project())
            known = self._memories[layer] = _Memory(now, keys, values)
        return known.keys, known.values

    def reorder(self, indices: Any) -> None:
        """Keep those sequences of the batch that `indices` name, in their order: the beams of a beam search.

        Args:
            indices: (M,), integers below N, each as often as wanted. What layers look up in a memory is
                that of the memory they are given; reorder it too if its sequences differ.
        """
        for steps in self._layers.values():
            steps.reorder(indices)

    def crop(self, length: int) -> None:
        """Forget the steps from position `length` on, as after tokens that are taken back."""
        if not 0 <= whole(length, "length", _SUBJECT) <= self.length:
            raise ArgumentError(f"expects a length of 0 to {self.length}, got {length}", subject=_SUBJECT)
        for steps in self._layers.values():
            steps.crop(length)
        self._before = self._after = length

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyValueCache:
        """Copies what it holds; the layers stay those of the model."""
        other = copy.copy(self)
        other._layers = {layer: steps.copied() for layer, steps in self._layers.items()}
        other._memories = dict(self._memories)
        return other

    def __repr__(self) -> str:
        return f"{_SUBJECT}(length={self.length}, layers={len(self._layers)}, max_length={self.max_length})"

    def _keep_step(self, held: int, new: int) -> None:
        """Check that all layers take the same steps."""
        if self.max_length is not None and held + new > self.max_length:
            raise ShapeError(
                f"expects {self.max_length} steps at most, got {new} steps behind {held}",
                subject=_SUBJECT,
                hint="Call reset(), or crop(...), or make it with a larger max_length",
            )
        if held == self._after and all(steps.length == held for steps in self._layers.values()):
            self._before, self._after = held, held + new  # a new pass
        elif (held, held + new) != (self._before, self._after):
            raise ShapeError(
                f"expects layers of one length, got {new} steps for a layer that holds {held}, where others "
                f"went from {self._before} to {self._after}",
                subject=_SUBJECT,
                hint="After a pass that was broken off, or a change of the model, call reset(). A layer that "
                "is called twice in a pass needs an object of its own for each call",
            )


class _Steps:
    """The keys and values of one layer, at the start of arrays that may have room for more."""

    __slots__ = ("keys", "length", "values")

    def __init__(self, keys: Array, values: Array) -> None:
        self.keys, self.values = keys[..., :0, :], values[..., :0, :]
        self.length = 0

    def check(self, keys: Array, values: Array) -> None:
        """Raise unless these continue what is held."""
        for name, held, new in (("key", self.keys, keys), ("value", self.values, values)):
            if backend_of(held) is not backend_of(new) or device_of(held) != device_of(new):
                raise BackendMismatchError(
                    f"expects {name} of the library and device of the steps before, got {type(new).__name__} "
                    f"behind {type(held).__name__}",
                    subject=_SUBJECT,
                    hint="Call reset() after the model has moved",
                )
            if held.dtype != new.dtype:
                raise DTypeError(
                    f"expects {name} of {type_name(held)}, as the steps before, got {type_name(new)}",
                    subject=_SUBJECT,
                    hint="Call reset() after the model's type has changed",
                )
            wanted = (*held.shape[:-2], new.shape[-2] if new.ndim > 1 else 0, held.shape[-1])
            if tuple(new.shape) != wanted:
                raise ShapeError(
                    f"expects {name} of shape {wanted}, as the steps before, got {tuple(new.shape)}",
                    subject=_SUBJECT,
                    hint="Call reset() before another batch",
                )

    def extended(self, keys: Array, values: Array, most: int | None) -> tuple[Array, Array]:
        """Hold these too; returns all that is held."""
        start, stop = self.length, self.length + keys.shape[-2]
        self.keys = _written(self.keys, keys, start, stop, most)
        self.values = _written(self.values, values, start, stop, most)
        self.length = stop
        return self.held()

    def held(self) -> tuple[Array, Array]:
        """Without the room behind."""
        return self.keys[..., : self.length, :], self.values[..., : self.length, :]

    def reorder(self, indices: Any) -> None:
        """As `KeyValueCache.reorder`."""
        if not is_array(indices):
            indices = namespace(self.keys).asarray(list(indices), device=device_of(self.keys))
        self.keys, self.values = (raw_array(index_select(x, 0, indices)) for x in self.held())

    def crop(self, length: int) -> None:
        """As `KeyValueCache.crop`; into new arrays, as what was given out shows the old ones."""
        self.length = length
        self.keys, self.values = (namespace(x).asarray(x, copy=True) for x in self.held())

    def copied(self) -> _Steps:
        """With arrays of its own."""
        other = _Steps(self.keys, self.values)
        other.keys, other.values = self.keys, self.values
        other.crop(self.length)
        return other


class _Memory:
    """Keys and values that a layer made of `sources`."""

    __slots__ = ("keys", "sources", "values")

    def __init__(self, sources: tuple[Array, ...], keys: Any, values: Any) -> None:
        self.sources, self.keys, self.values = sources, keys, values


def _written(room: Array, new: Array, start: int, stop: int, most: int | None) -> Array:
    """`room` with `new` from `start` to `stop`; twice as large where it is too small."""
    have = room.shape[-2]
    if stop > have:
        have = max(stop, 2 * have if most is None else min(2 * have, most))
        xp, shape = namespace(room), (*room.shape[:-2], have, room.shape[-1])
        larger = xp.zeros(shape, dtype=room.dtype, device=device_of(room))
        room = set_at(larger, (..., slice(0, start), slice(None)), room[..., :start, :])
    return set_at(room, (..., slice(start, stop), slice(None)), new)
