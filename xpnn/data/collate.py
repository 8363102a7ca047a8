"""From samples to a batch: stacking what the samples of a dataset hold, of whatever structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xpnn.backend import DTypeError, ShapeError, admit, is_array, to_numpy


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first axis, inside of tuples, named tuples, lists and dicts.

    Args:
        batch: samples of one structure. Arrays and numbers are stacked on the host; Python floats become
            float32; strings and bytes stay a list.

    Raises: ShapeError for samples of different shapes or structures; DTypeError for a sample of another type.

    >>> images, labels = default_collate([(np.zeros((1, 2, 2)), 3), (np.ones((1, 2, 2)), 8)])
    >>> images.shape, labels.tolist()
    ((2, 1, 2, 2), [3, 8])
    """
    first = batch[0]
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        _require_same("keys", [tuple(sample) for sample in batch])
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple | list):
        _require_same("lengths", [len(sample) for sample in batch])
        return _rebuild(first, [default_collate(column) for column in zip(*batch)])
    if isinstance(first, bool | int | float | np.generic) or is_array(first):
        arrays = [
            to_numpy(admit(sample, "default_collate") if is_array(sample) else sample) for sample in batch
        ]
        _require_same("shapes", [array.shape for array in arrays])
        return np.stack(arrays)
    raise DTypeError(
        f"expects samples of arrays, numbers, strings, tuples, lists or dicts, got {type(first).__name__}",
        subject="default_collate",
        hint="Give the DataLoader a collate_fn of your own",
    )


def map_arrays(function: Callable[[np.ndarray], Any], batch: Any) -> Any:
    """`batch` with `function` applied to each numeric NumPy array inside of it.

    >>> map_arrays(lambda x: x + 1, {"x": np.zeros(2), "name": ["a"]})
    {'x': array([1., 1.]), 'name': ['a']}
    """
    if isinstance(batch, np.ndarray):
        return function(batch) if batch.dtype.kind in "biufc" else batch
    if isinstance(batch, Mapping):
        return {key: map_arrays(function, value) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return _rebuild(batch, [map_arrays(function, value) for value in batch])
    return batch


def _rebuild(like: tuple[Any, ...] | list[Any], values: list[Any]) -> Any:
    """`values` as a list, a tuple or a named tuple, as `like` is."""
    return type(like)(*values) if hasattr(like, "_fields") else type(like)(values)


def _require_same(what: str, found: list[Any]) -> None:
    for number, value in enumerate(found):
        if value != found[0]:
            raise ShapeError(
                f"expects samples of equal {what}, got {found[0]} for sample 0 of the batch "
                f"and {value} for sample {number}",
                subject="default_collate",
                hint="Bring images to one size with Resize or CenterCrop, or pass a collate_fn",
            )
