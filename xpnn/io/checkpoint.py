"""Checkpoints: the state of model, optimizer, schedule, data order and random numbers in one file.

The file is in the safetensors format. Its arrays have readable names (`model.conv1.weight`,
`optimizer.state.conv1.weight.exp_avg`); all else is JSON in its metadata. So it is data that cannot run
code, other programs can read the weights, and what is there is either wholly old or wholly new.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from xpnn.backend import (
    Array,
    CheckpointError,
    DType,
    DTypeError,
    XpnnError,
    expect_state,
    is_array,
    is_count,
    is_tensor,
    python_scalar,
    tuning,
)
from xpnn.backend import random as random_numbers
from xpnn.io.safetensors import digest_of, host_arrays, json_of, read_file, write_file
from xpnn.optim.zero_redundancy import own_states

_KEY = "xpnn_checkpoint"  # of the metadata
_VERSION = 1
_ARRAY = "$array"  # {"$array": name} stands in the JSON for an array of the file
_DEEPEST = 100  # so many dicts and lists may be in each other


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
        verified: whether the file has a digest of all that it holds, which was found to be right. Files of
            other programs and of older versions have none: within their bytes no damage can be noticed.
    """

    path: str
    states: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    random: dict[str, Any] | None = None
    tuning: dict[str, Any] | None = None
    verified: bool = False

    def restore(self, *, random: bool | None = None, **objects: Any) -> None:
        """Give objects the states that were saved under their names, on whatever backend they are.

        Args:
            random: go on as the run would have: with the random numbers from where they were and, on a
                processor of the same kind, with the same choices of `xpnn.backend.tuning`. None does so if
                the file has them, True expects them, and False leaves them, to look at a model only.
            objects: `model=`, `optimizer=` ..., each with `state_dict` and `load_state_dict`.

        Raises: CheckpointError if the file has no state of that name, or one that does not fit; then all
        objects are as they were.
        """
        _expect_stateful(objects)
        missing = [name for name in objects if name not in self.states]
        if random is None:
            random = self.random is not None
        if random and self.random is None:
            missing.append("random")
        if missing:
            raise CheckpointError(
                f"has no state of {_listing(missing)}, only of {_listing(list(self.states))}",
                subject=f"'{self.path}'",
            )
        if random:
            with self._fitting("random numbers"):
                random_numbers.check_state_dict(self.random)  # type: ignore[arg-type]
                if self.tuning is not None:
                    tuning.check_state_dict(self.tuning)
        for name, target in objects.items():
            if hasattr(target, "check_state_dict"):
                with self._fitting(name):
                    target.check_state_dict(self.states[name])
        with own_states(objects.values()):  # of what several processes share, each puts its own part back
            before = [(target, copy.deepcopy(target.state_dict())) for target in objects.values()]
        try:
            for name, target in objects.items():
                with self._fitting(name):
                    target.load_state_dict(self.states[name])
        except BaseException:  # Ctrl-C, or an object that cannot check before it loads
            for target, state in before:
                target.load_state_dict(state)
            raise
        if random:
            random_numbers.load_state_dict(self.random)  # type: ignore[arg-type]
            if self.tuning is not None:
                tuning.load_state_dict(self.tuning)

    @contextmanager
    def _fitting(self, name: str) -> Iterator[None]:
        """Whatever goes wrong with a state out of a file, the file does not fit."""
        try:
            yield
        except Exception as error:
            problem = str(error) if isinstance(error, XpnnError) else f"{type(error).__name__}: {error}"
            raise CheckpointError(
                f"does not fit the {name}: {problem}",
                subject=f"'{self.path}'",
                hint=f"It was made with {json.dumps(self.config):.500}" if self.config else "",
            ) from error


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
    config, extra = ({} if given is None else given for given in (config, extra))
    for name, given in (("config", config), ("extra", extra)):
        if not isinstance(given, dict):
            raise DTypeError(f"expects a dict as {name}, got {type(given).__name__}", subject="A checkpoint")
    _expect_stateful(objects)
    found: dict[str, Array] = {}
    content = {
        "version": _VERSION,
        "config": _plain(config),
        "extra": _take_out(extra, "extra", found),
        "random": random_numbers.state_dict() if random else None,
        "tuning": tuning.state_dict() if random else None,
        "objects": {name: _take_out(target.state_dict(), name, found) for name, target in objects.items()},
    }
    arrays = host_arrays(found)
    content["digest"] = digest = digest_of(arrays)
    write_file(arrays, path, {"format": "np", _KEY: json.dumps(content)}, digest)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint, without loading it into anything yet.

    A safetensors file that is no checkpoint of xpnn (torchvision's weights, say) counts as the state of
    a model.

    Raises: CheckpointError if the file is missing, damaged, cut short, or of a later version.
    """
    file = read_file(path)
    if _KEY not in file.metadata:
        return Checkpoint(os.fspath(path), {"model": file.arrays}, verified=file.verified)
    try:
        content = json_of(file.metadata[_KEY])
    except ValueError as error:
        raise _damaged(path, f"its metadata is not JSON ({error})") from None
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > _VERSION:
        raise CheckpointError(
            f"is of version {version}, this xpnn reads up to {_VERSION}",
            subject=f"'{path}'",
            hint="Update it with: pip install -U xpnn",
        )
    expect_state(content, f"'{path}'", **_FIELDS)
    # Both digests are written together: where one is gone, the file was changed.
    if content.get("digest", file.digest) != file.digest or ("digest" in content) != file.verified:
        raise _damaged(path, "its arrays are not those that were saved in it")
    rest = dict(file.arrays)
    try:
        states = {name: _put_back(state, name, rest) for name, state in content["objects"].items()}
        extra = _put_back(content["extra"], "extra", rest)
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    if rest:
        raise _damaged(path, f"nothing refers to {_listing(list(rest))}")
    return Checkpoint(
        os.fspath(path),
        states,
        content["config"],
        extra,
        content["random"],
        content.get("tuning"),
        file.verified,
    )


def load_checkpoint(
    path: str | os.PathLike[str], *, random: bool | None = None, **objects: Any
) -> Checkpoint:
    """Read a checkpoint and give objects the states that were saved under their names.

    Args:
        path: the file. random, objects: see `Checkpoint.restore`.

    Returns: the whole content.

    Raises: CheckpointError if the file cannot be read, or does not fit; then all objects are as they were.
    """
    checkpoint = read_checkpoint(path)
    checkpoint.restore(random=random, **objects)
    return checkpoint


_FIELDS = {
    "version": lambda value: is_count(value) and value > 0,
    "config": lambda value: isinstance(value, dict),
    "extra": lambda value: isinstance(value, dict),
    "random": lambda value: value is None or isinstance(value, dict),
    "objects": lambda value: isinstance(value, dict),
}


def _expect_stateful(objects: dict[str, Any]) -> None:
    for name, target in objects.items():
        if not hasattr(target, "state_dict"):
            raise DTypeError(
                f"expects objects with a state_dict(), got {type(target).__name__} as {name}",
                subject="A checkpoint",
                hint="Other values can be saved in extra",
            )


def _plain(config: dict[str, Any]) -> Any:
    """A config as JSON has it."""
    arrays: dict[str, Array] = {}
    config = _take_out(config, "config", arrays)
    if arrays:
        raise DTypeError(
            f"expects numbers, strings, lists and dicts, got an array as '{next(iter(arrays))}'",
            subject="A checkpoint's config",
            hint="Arrays can be saved in extra",
        )
    return config


def _take_out(tree: Any, path: str, arrays: dict[str, Array], depth: int = 0) -> Any:
    """`tree` with each array moved to `arrays` under its path, and a reference left in its place."""
    if depth > _DEEPEST:
        raise DTypeError(f"cannot save '{path:.80}...': it is nested too deeply", subject="A checkpoint")
    tree = python_scalar(tree)
    if is_array(tree):
        name = path
        while name in arrays:  # {"a.b": {"c": x}, "a": {"b.c": y}}
            name += "'"
        arrays[name] = tree.array if is_tensor(tree) else tree
        return {_ARRAY: name}
    if isinstance(tree, dict):
        if not all(isinstance(key, str) and key != _ARRAY for key in tree):
            raise DTypeError(
                f"cannot save '{path}': the keys of a dict must be strings, other than '{_ARRAY}'",
                subject="A checkpoint",
            )
        return {key: _take_out(value, _join(path, key), arrays, depth + 1) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_take_out(value, _join(path, str(i)), arrays, depth + 1) for i, value in enumerate(tree)]
    if isinstance(tree, DType):
        return tree.name
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise DTypeError(
        f"cannot save '{path}': expected an array, number, string, list or dict, got {type(tree).__name__}",
        subject="A checkpoint",
    )


def _put_back(tree: Any, path: str, arrays: dict[str, Array], depth: int = 0) -> Any:
    """The inverse of `_take_out`; takes the arrays that it has put back out of `arrays`.

    Raises: ValueError for what `_take_out` cannot have left.
    """
    if depth > _DEEPEST:
        raise ValueError("its metadata is nested too deeply")
    if isinstance(tree, dict):
        if _ARRAY in tree:
            name = tree[_ARRAY]
            if len(tree) > 1 or not isinstance(name, str) or name.rstrip("'") != path.rstrip("'"):
                raise ValueError(f"at '{path}' it refers to {tree!r:.80}")
            if name not in arrays:
                raise ValueError(f"it has no array '{name}'")
            return arrays.pop(name)
        return {key: _put_back(value, _join(path, key), arrays, depth + 1) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_put_back(value, _join(path, str(i)), arrays, depth + 1) for i, value in enumerate(tree)]
    return tree


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _listing(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"


def _damaged(path: Any, problem: str) -> CheckpointError:
    return CheckpointError(
        f"is damaged: {problem}", subject=f"'{path}'", hint="Go on from an older checkpoint"
    )
