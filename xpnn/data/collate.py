"""From samples to a batch: stacking what the samples of a dataset hold, of whatever structure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.autograd.core import new_tensor
from xpnn.backend import (
    Array,
    Backend,
    Copier,
    DTypeError,
    ShapeError,
    admit,
    get_backend,
    get_device,
    is_array,
    move,
    namespace,
    to_numpy,
)


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first axis, inside of tuples, named tuples, lists and dicts.

    Args:
        batch: samples of one structure. Arrays and Tensors keep their element type, Python floats become
            float64, integers int64; strings and bytes stay as they come.

    Returns: Tensors of the current backend, in the structure of a sample; a plain tuple becomes a list.

    Raises: ShapeError for samples of different shapes or structures; DTypeError for a sample of another
        type; GradientError for Tensors that require a gradient.

    >>> images, labels = default_collate([(np.zeros((1, 2, 2)), 3), (np.ones((1, 2, 2)), 8)])
    >>> images.shape, labels
    ((2, 1, 2, 2), tensor([3, 8]))
    """
    return stack_samples(batch, tensor_maker(get_backend(), get_device()))


def default_convert(data: Any) -> Any:
    """A sample with its arrays as Tensors of the current backend, as a DataLoader without batches gives it.

    >>> default_convert({"x": np.ones(2), "name": "a", "count": 3})
    {'x': tensor([1., 1.], dtype=xpnn.float64), 'name': 'a', 'count': 3}
    """
    return map_arrays(tensor_maker(get_backend(), get_device()), data)


class PadCollate:
    """A `collate_fn` for sequences of different lengths: pads them to the longest, inside of any structure.

    Args:
        padding_value: of the places after a sequence's end.
        batch_first: give (n, longest, ...); else (longest, n, ...), as recurrent layers take it by default.
        lengths: give (padded, lengths) in place of each padded array, with int64 lengths (n,).

    Samples' arrays may differ in their first axis alone; such as are all of one shape are stacked like
    `default_collate` does it.

    Raises: ShapeError for arrays that differ in other axes, and what `default_collate` raises.

    >>> PadCollate(padding_value=-1)([(np.array([1, 2]), 0), (np.array([3]), 1)])
    [tensor([[ 1,  2],
            [ 3, -1]]), tensor([0, 1])]
    """

    def __init__(self, padding_value: float = 0.0, batch_first: bool = True, lengths: bool = False) -> None:
        self.padding_value = padding_value
        self.batch_first = batch_first
        self.lengths = lengths

    def __call__(self, batch: Sequence[Any]) -> Any:
        """The batch of some samples, as Tensors of the current backend."""
        first = batch[0]
        if isinstance(first, Mapping):
            _require_same("keys", [list(sample) for sample in batch], [set(sample) for sample in batch])
            return _rebuild_mapping(first, {key: self([sample[key] for sample in batch]) for key in first})
        if isinstance(first, tuple | list):
            _require_same("lengths", [len(sample) for sample in batch])
            return _rebuild(first, [self(column) for column in zip(*batch)])
        if not is_array(first) or first.ndim == 0:
            return default_collate(batch)
        arrays = [host_array(sample) for sample in batch]
        counts = [len(array) for array in arrays if array.ndim]
        if len(counts) < len(arrays) or (len(set(counts)) == 1 and not self.lengths):
            return default_collate(batch)
        _require_same("shapes after the first axis", [array.shape[1:] for array in arrays])
        padded = np.full(
            (len(arrays), max(counts), *arrays[0].shape[1:]), self.padding_value, arrays[0].dtype
        )
        for row, array in zip(padded, arrays):
            row[: len(array)] = array
        result = default_convert(padded if self.batch_first else padded.swapaxes(0, 1))
        return (result, default_convert(np.array(counts, dtype=np.int64))) if self.lengths else result


def stack_samples(batch: Sequence[Any], finish: Callable[[Array], Any] = lambda array: array) -> Any:
    """What `default_collate` does, with `finish` applied to each array that was stacked.

    >>> stack_samples([(1, "a"), (2, "b")])
    [array([1, 2]), ('a', 'b')]
    """
    if not isinstance(batch, Sequence) or not batch:
        raise DTypeError(f"expects a list of samples, got {batch!r:.60}", subject="default_collate")
    first = batch[0]
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        _require_same("keys", [list(sample) for sample in batch], [set(sample) for sample in batch])
        return _rebuild_mapping(
            first, {key: stack_samples([sample[key] for sample in batch], finish) for key in first}
        )
    if isinstance(first, tuple | list):
        _require_same("lengths", [len(sample) for sample in batch])
        return _rebuild(first, [stack_samples(column, finish) for column in zip(*batch)])
    if isinstance(first, bool | int | float | np.generic) or is_array(first):
        return finish(_stacked(batch))
    raise DTypeError(
        f"expects samples of arrays, numbers, strings, tuples, lists or dicts, got {type(first).__name__}",
        subject="default_collate",
        hint="Give the DataLoader a collate_fn of your own",
    )


def tensor_maker(backend: Backend, device: Any, copier: Copier | None = None) -> Callable[[Any], Tensor]:
    """The function that makes Tensors of `backend` on `device` out of arrays and Tensors.

    Args:
        copier: begins to copy what comes from the host; who takes the Tensors out lets them `arrive`.
    """

    def tensor(array: Any) -> Tensor:
        raw = admit(array, "DataLoader") if is_array(array) else np.asarray(array)
        if copier is not None and type(raw) is np.ndarray and raw.size and raw.dtype.isnative:
            return new_tensor(copier.start(raw))
        return new_tensor(move(raw, backend, device))

    return tensor


def host_array(array: Any) -> np.ndarray:
    """An array or Tensor on the host. Raises: GradientError for a Tensor that requires a gradient."""
    return to_numpy(admit(array, "DataLoader") if is_array(array) else array)


def map_arrays(function: Callable[[Any], Any], batch: Any) -> Any:
    """`batch` with `function` applied to each numeric array and Tensor inside of it."""
    if isinstance(batch, np.ndarray | np.generic):
        return function(batch) if batch.dtype.kind in "biufc" else batch
    if isinstance(batch, Mapping):
        return _rebuild_mapping(batch, {key: map_arrays(function, value) for key, value in batch.items()})
    if isinstance(batch, tuple | list):
        return _rebuild(batch, [map_arrays(function, value) for value in batch])
    return function(batch) if is_array(batch) else batch


def _stacked(samples: Sequence[Any]) -> Array:
    """Arrays or numbers along a new first axis."""
    first = samples[0]
    if type(first) is np.ndarray and all(
        type(sample) is np.ndarray and sample.dtype == first.dtype and sample.shape == first.shape
        for sample in samples
    ):
        return admit(np.stack(samples), "default_collate")
    arrays = [
        admit(sample, "default_collate") if is_array(sample) else np.asarray(sample) for sample in samples
    ]
    _require_same("shapes", [tuple(array.shape) for array in arrays])
    if type(arrays[0]) is np.ndarray:
        return np.stack([to_numpy(array) for array in arrays])
    return namespace(*arrays).stack(arrays)


def _rebuild(like: tuple[Any, ...] | list[Any], values: list[Any]) -> Any:
    """`values` as a named tuple if `like` is one, else as a list, which PyTorch makes of tuples as well."""
    return type(like)(*values) if hasattr(like, "_fields") else values


def _rebuild_mapping(like: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """`values` as a mapping of the same kind, if it lets itself be filled."""
    if type(like) is dict or not isinstance(like, MutableMapping):
        return values
    mapping = copy.copy(like)
    mapping.update(values)
    return mapping


def _require_same(what: str, shown: list[Any], found: list[Any] | None = None) -> None:
    found = shown if found is None else found
    for number, value in enumerate(found):
        if value != found[0]:
            raise ShapeError(
                f"expects samples of equal {what}, got {shown[0]} for sample 0 of the batch "
                f"and {shown[number]} for sample {number}",
                subject="default_collate",
                hint="Bring images to one size with Resize or CenterCrop, or pass a collate_fn",
            )
