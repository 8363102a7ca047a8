"""Batches that are still on their way to the device when they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import Copier, is_tensor


def arriving(batches: Iterator[Any], copier: Copier, one_ahead: bool) -> Iterator[Any]:
    """The batches, each given out when the work that comes may use it.

    However the pass ends, the copies that were begun are waited for before their arrays are let go.

    Args:
        batches: a generator that makes Tensors by the copier.
        one_ahead: whether the copy of the batch that follows is begun before one is given out; batches of
            workers are ahead anyway.
    """

    try:
        for batch in _ahead(batches) if one_ahead else batches:
            for tensor in _tensors_in(batch):
                copier.arrive(tensor.array)
            yield batch
    finally:
        try:
            batches.close()  # type: ignore[attr-defined]
        finally:
            copier.close()


def _tensors_in(batch: Any) -> Iterator[Tensor]:
    if is_tensor(batch):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors_in(value)
    elif isinstance(batch, tuple | list):
        for value in batch:
            yield from _tensors_in(value)


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same, with the one that follows made before one is given out; what making it raises comes after."""
    end, failure = object(), None
    following = next(batches, end)
    while following is not end:
        batch, following = following, end
        try:
            following = next(batches, end)
        except Exception as error:
            failure = error
        yield batch
        if failure is not None:
            raise failure
