"""Checkpoints: the state of model, optimizer, schedule, data order and random numbers in one file.

The file is in the safetensors format. Its arrays have readable names (`model.conv1.weight`,
`optimizer.state.conv1.weight.exp_avg`); all else is JSON in its metadata. So it is data that cannot run
code, other programs can read the weights, and what is there is either wholly old or wholly new.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from xpnn.backend import (
    Array,
    CheckpointError,
    DTypeError,
    XpnnError,
    is_array,
    is_tensor,
    python_scalar,
    tuning,
)
from xpnn.backend import random as random_numbers
from xpnn.io.safetensors import read_safetensors, save_file

_KEY = "xpnn_checkpoint"  # of the metadata
_VERSION = 1
_ARRAY = "$array"  # {"$array": name} stands in the JSON for an array of the file


@dataclass
class Checkpoint:
    """What `read_checkpoint` found in a file; arrays are NumPy's.

    Attributes:
        path: the file.
        states: the state of each object that was saved, by the name that it was saved under.
        config: how to build the model, as it was given to `save_checkpoint`.
        extra: whatever else was given.
        random: the state of the random numbers, or None.
        tuning: the choices of `xpnn.backend.tuning` that the run computed with.
    """

    path: str
    states: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    random: dict[str, Any] | None = None
    tuning: dict[str, Any] | None = None

    def restore(self, *, random: bool = False, **objects: Any) -> None:
        """Give objects the states that were saved under their names, on whatever backend they are.

        Args:
            random: go on as the run would have: with the random numbers from where they were and, on a
                processor of the same kind, with the same choices of `xpnn.backend.tuning`.
            objects: `model=`, `optimizer=` ..., each with `state_dict` and `load_state_dict`.

        Raises: CheckpointError if the file has no state of that name, or one that does not fit; then all
        objects are as they were.
        """
        missing = [name for name in objects if name not in self.states]
        if random and self.random is None:
            missing.append("random")
        if missing:
            raise CheckpointError(
                f"has no state of {_listing(missing)}, only of {_listing(list(self.states))}",
                subject=f"'{self.path}'",
            )
        before: list[tuple[Any, Any]] = []
        for name, target in objects.items():
            try:
                now = target.state_dict()
                target.load_state_dict(self.states[name])
            except XpnnError as error:
                for changed, state in reversed(before):
                    changed.load_state_dict(state)
                raise CheckpointError(
                    f"does not fit the {name}: {error}",
                    subject=f"'{self.path}'",
                    hint=f"It was made with {json.dumps(self.config)}" if self.config else "",
                ) from error
            before.append((target, now))
        if random:
            random_numbers.load_state_dict(self.random)  # type: ignore[arg-type]
            if self.tuning is not None:
                tuning.load_state_dict(self.tuning)


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    config: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
    random: bool = True,
    **objects: Any,
) -> None:
    """Write the state of everything that a run consists of to one file.

    An older file of that name is replaced only once the new one is complete and on the disk.

    Args:
        path: the file, "last.safetensors".
        config: how to build the model again, JSON-ready: `{"model": "resnet20", "arguments": {...}}`.
        extra: numbers, strings, lists, dicts and arrays.
        random: keep the state of the random numbers, and the choices of `xpnn.backend.tuning`.
        objects: `model=`, `optimizer=`, `scheduler=`, `loader=`, or others, each with a `state_dict()`.

    Raises: DTypeError for what is neither an array nor JSON.

    >>> import tempfile
    >>> from xpnn import nn, optim
    >>> model = nn.Linear(2, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.5)
    >>> path = os.path.join(tempfile.mkdtemp(), "last.safetensors")
    >>> save_checkpoint(path, model=model, optimizer=optimizer, extra={"epoch": 3})
    >>> load_checkpoint(path, model=model, optimizer=optimizer).extra
    {'epoch': 3}
    """
    arrays: dict[str, Array] = {}
    content = {
        "version": _VERSION,
        "config": config or {},
        "extra": _take_out(extra or {}, "extra", arrays),
        "random": random_numbers.state_dict() if random else None,
        "tuning": tuning.state_dict() if random else None,
        "objects": {name: _take_out(target.state_dict(), name, arrays) for name, target in objects.items()},
    }
    save_file(arrays, path, metadata={"format": "np", _KEY: json.dumps(content)})


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint, without loading it into anything yet.

    A safetensors file that is no checkpoint of xpnn (torchvision's weights, say) counts as the state of
    a model.

    Raises: CheckpointError if the file is missing, damaged, cut short, or of a later version.
    """
    arrays, metadata = read_safetensors(path)
    if _KEY not in metadata:
        return Checkpoint(os.fspath(path), {"model": arrays})
    try:
        content = json.loads(metadata[_KEY])
        version = content["version"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError("is damaged: its metadata is not JSON", subject=f"'{path}'") from None
    if version > _VERSION:
        raise CheckpointError(
            f"is of version {version}, this xpnn reads up to {_VERSION}",
            subject=f"'{path}'",
            hint="Update it with: pip install -U xpnn",
        )
    content = _put_back(content, arrays)
    return Checkpoint(
        os.fspath(path),
        content["objects"],
        content["config"],
        content["extra"],
        content["random"],
        content.get("tuning"),
    )


def load_checkpoint(path: str | os.PathLike[str], *, random: bool = False, **objects: Any) -> Checkpoint:
    """Read a checkpoint and give objects the states that were saved under their names.

    Args:
        path: the file. random, objects: see `Checkpoint.restore`.

    Returns: the whole content.

    Raises: CheckpointError if the file cannot be read, or does not fit; then all objects are as they were.
    """
    checkpoint = read_checkpoint(path)
    checkpoint.restore(random=random, **objects)
    return checkpoint


def _take_out(tree: Any, path: str, arrays: dict[str, Array]) -> Any:
    """`tree` with each array moved to `arrays` under its path, and a reference left in its place."""
    tree = python_scalar(tree)
    if is_array(tree):
        name = path
        while name in arrays:  # {"a.b": {"c": x}, "a": {"b.c": y}}
            name += "'"
        arrays[name] = tree.array if is_tensor(tree) else tree
        return {_ARRAY: name}
    if isinstance(tree, dict):
        if not all(isinstance(key, str) for key in tree):
            raise DTypeError(
                f"cannot save '{path}': the keys of a dict must be strings", subject="A checkpoint"
            )
        return {key: _take_out(value, _join(path, key), arrays) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_take_out(value, _join(path, str(index)), arrays) for index, value in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise DTypeError(
        f"cannot save '{path}': expected an array, number, string, list or dict, got {type(tree).__name__}",
        subject="A checkpoint",
    )


def _put_back(tree: Any, arrays: dict[str, Array]) -> Any:
    """The inverse of `_take_out`."""
    if isinstance(tree, dict):
        if tree.keys() == {_ARRAY}:
            return arrays[tree[_ARRAY]]
        return {key: _put_back(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_put_back(value, arrays) for value in tree]
    return tree


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _listing(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"
