"""`xpnn.save` and `xpnn.load`: nested dicts, lists and Tensors in one safetensors file.

Tensors have their place in the structure as names (`model.conv1.weight`), so that a saved `state_dict()` is a
safetensors file that other programs read. The structure around them is JSON in the metadata: data that
cannot run code.
"""

from __future__ import annotations

import json
import math
import os
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import (
    CheckpointError,
    DType,
    DTypeError,
    XpnnError,
    asarray,
    device,
    dtype_name,
    get_backend,
    is_array,
    is_tensor,
    python_scalar,
    to_numpy,
)
from xpnn.io.safetensors import digest_of, host_arrays, json_of, read_bytes, read_file, write_file, write_to
from xpnn.io.torch_files import MAGIC, read_torch_file

_KEY = "xpnn_saved"  # of the metadata
_TYPE = "$type"  # {"$type": "tuple", ...} stands in the JSON for what JSON has not
_DEEPEST = 100  # so many dicts and lists may be in each other
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO, **options: Any) -> None:
    """Save a structure of dicts, lists, tuples, Tensors, arrays, numbers, strings, bytes and None.

    The `argparse.Namespace` of a program's options is taken as well.

    A Tensor that occurs twice is saved once, and is one Tensor again when it is loaded. A file is replaced
    only once the new one is complete.

    Args:
        obj: such as `model.state_dict()` or `{"epoch": 3, "model": model.state_dict()}`.
        f: a path, or a file that is open for writing bytes.
        options: PyTorch's, about pickling; are not looked at.

    Raises: DTypeError for other objects, such as a whole module.

    >>> from io import BytesIO
    >>> file = BytesIO()
    >>> save({"epoch": 3, "weights": [Tensor([1.0, 2.0])]}, file)
    >>> _ = file.seek(0)
    >>> load(file)
    {'epoch': 3, 'weights': [tensor([1., 2.])]}
    """
    writer = _Writer()
    structure = writer.encode(obj, "")
    metadata = {_KEY: json.dumps(structure, separators=(",", ":"))}
    arrays = host_arrays(writer.arrays)
    if hasattr(f, "write"):
        write_to(f, arrays, metadata, digest_of(arrays))  # type: ignore[arg-type]
    else:
        write_file(arrays, f, metadata, digest_of(arrays))


def load(
    f: str | os.PathLike[str] | BinaryIO,
    map_location: Any = None,
    *,
    weights_only: bool = True,
    **options: Any,
) -> Any:
    """What `save` has saved; of another program's safetensors file the Tensors by name.

    A file of `torch.save` (.pth, .pt) is read, too, as far as it holds Tensors, dicts, lists and numbers; see
    `io.torch_files`.

    Args:
        f: a path, or a file that is open for reading bytes.
        map_location: the device of the Tensors, which are of the current backend; None, a function or a dict
            is the current device.
        weights_only: is accepted; nothing but data is ever loaded.
        options: PyTorch's, about pickling; are not looked at.

    Raises: CheckpointError for a file that is damaged, or a pickle.
    """
    place = None if callable(map_location) or isinstance(map_location, dict) else map_location
    if isinstance(f, str | os.PathLike):
        name: Any = f
        if os.path.isfile(f):
            with open(f, "rb") as file:
                start = file.read(4)
                if start == MAGIC:
                    return read_torch_file(file, name, place)
            _refuse_pickle(start, name)
        contents = read_file(f)
    else:
        if not hasattr(f, "read"):
            raise DTypeError(f"expects a path or an open file, got {f!r:.60}", subject="load()")
        name, data = getattr(f, "name", "the file"), f.read()
        if data[:4] == MAGIC:
            return read_torch_file(BytesIO(data), name, place)
        _refuse_pickle(data[:4], name)
        contents = read_bytes(data, str(name))
    reader = _Reader(contents.arrays, place)
    if _KEY not in contents.metadata:
        if "xpnn_checkpoint" in contents.metadata:
            raise CheckpointError(
                "was written by save_checkpoint()",
                subject=f"'{name}'",
                hint="Use xpnn.io.load_checkpoint(...)",
            )
        return {key: reader.tensor(key) for key in contents.arrays}
    try:
        return reader.decode(json_of(contents.metadata[_KEY]))
    except (KeyError, TypeError, ValueError, XpnnError) as error:
        raise CheckpointError(
            f"is damaged: its structure cannot be read ({error})", subject=f"'{name}'"
        ) from error


class _Writer:
    """Takes a structure apart: arrays by name, and a JSON value of all else."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.names: dict[int, str] = {}  # by the identity of the Tensor
        self.kept: list[Any] = []  # so that no identity comes twice

    def encode(self, value: Any, path: str, depth: int = 0) -> Any:
        """The JSON value that stands for `value`; `path` is where it is."""
        if depth > _DEEPEST:
            raise DTypeError(f"cannot save '{path:.80}...': it is nested too deeply", subject="save()")
        if isinstance(value, DType | device):
            return {
                _TYPE: type(value).__name__,
                "value": value.name if isinstance(value, DType) else value.word,
            }
        value = python_scalar(value)
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {_TYPE: "float", "value": str(value)}
        if isinstance(value, complex):
            return {_TYPE: "complex", "value": [str(value.real), str(value.imag)]}
        if isinstance(value, bytes | bytearray):
            return {_TYPE: "bytes", "value": value.hex()}
        if is_array(value):
            return self._encode_array(value, path)
        if isinstance(value, dict):
            return self._encode_dict(value, path, depth)
        if isinstance(value, list | tuple | set | frozenset):
            items = [self.encode(item, _join(path, i), depth + 1) for i, item in enumerate(value)]
            if isinstance(value, list):
                return items
            kind = "tuple" if isinstance(value, tuple) else "set"
            return {_TYPE: kind, "items": items}
        if isinstance(value, Namespace):
            return {_TYPE: "Namespace", "items": [self._encode_dict(vars(value), path, depth)]}
        hint = "Save its state_dict(), and load that into a new one" if hasattr(value, "state_dict") else ""
        raise DTypeError(
            f"cannot save '{path}': expected Tensors, numbers, strings, lists and dicts, got "
            f"{type(value).__name__}"
            if path
            else f"cannot save a {type(value).__name__}",
            subject="save()",
            hint=hint,
        )

    def _encode_array(self, value: Any, path: str) -> Any:
        name = self.names.get(id(value))
        if name is None:
            name = path or "tensor"
            while name in self.arrays or name == "__metadata__":
                name += "'"
            self.names[id(value)] = name
            self.kept.append(value)
            self.arrays[name] = _storable(to_numpy(value))
        described: dict[str, Any] = {_TYPE: "tensor" if is_tensor(value) else "array", "name": name}
        kind = dtype_name(value.dtype)
        if kind in ("bfloat16", "complex128"):  # which NumPy, or the format, has not
            described["dtype"] = kind
        if is_tensor(value) and value.requires_grad and value.edge is None:
            described["requires_grad"] = True
        return described

    def _encode_dict(self, value: dict, path: str, depth: int) -> Any:
        plain = type(value) is not OrderedDict and all(type(key) is str and key != _TYPE for key in value)
        encoded = [(key, self.encode(item, _join(path, key), depth + 1)) for key, item in value.items()]
        if plain:
            return dict(encoded)
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        pairs = [[self.encode(key, f"{path}: a key", depth + 1), item] for key, item in encoded]
        return {_TYPE: kind, "items": pairs}


class _Reader:
    """Puts a structure together again."""

    def __init__(self, arrays: dict[str, np.ndarray], place: Any) -> None:
        self.arrays = arrays
        self.place = place
        self.made: dict[tuple[str, str], Any] = {}

    def decode(self, value: Any, depth: int = 0) -> Any:
        """The inverse of `_Writer.encode`. Raises: ValueError, KeyError or TypeError for anything else."""
        if depth > 2 * _DEEPEST:
            raise ValueError("it is nested too deeply")
        if isinstance(value, list):
            return [self.decode(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if _TYPE not in value:
            return {key: self.decode(item, depth + 1) for key, item in value.items()}
        kind = value[_TYPE]
        if kind in ("tensor", "array"):
            return self._decode_array(kind, value)
        if kind in _FROM_TEXT:
            return _FROM_TEXT[kind](value["value"])
        items = [self.decode(item, depth + 1) for item in value["items"]]
        return _FROM_ITEMS[kind](items)

    def tensor(self, name: str) -> Tensor:
        """The Tensor of a file that has no structure."""
        return Tensor(asarray(self.arrays[name], device=self.place))

    def _decode_array(self, kind: str, described: dict[str, Any]) -> Any:
        name = described["name"]
        made = self.made.get((kind, name))
        if made is None:
            stored = self.arrays[name]
            dtype = described.get("dtype")
            if dtype == "complex128":
                stored = stored.view(np.complex128)[..., 0]
            elif dtype == "bfloat16" and not hasattr(get_backend().xp, "bfloat16"):
                dtype = None
            made = stored
            if kind == "tensor":
                made = Tensor(asarray(stored, dtype, self.place), bool(described.get("requires_grad")))
            self.made[kind, name] = made
        return made


_FROM_TEXT: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "bytes": bytes.fromhex,
    "DType": DType,
    "device": device,
}
_FROM_ITEMS: dict[str, Callable[[list], Any]] = {
    "tuple": tuple,
    "set": set,
    "dict": dict,
    "ordered": OrderedDict,
    "Namespace": lambda items: Namespace(**items[0]),
}


def _storable(array: np.ndarray) -> np.ndarray:
    """As the format has it: complex128 as pairs of float64."""
    if array.dtype != np.complex128:
        return array
    return np.ascontiguousarray(array)[..., None].view(np.float64)


def _refuse_pickle(start: bytes, name: Any) -> None:
    if start.startswith(_PICKLES):
        raise CheckpointError(
            "is a pickle, which could run any code, and is not loaded",
            subject=f"'{name}'",
            hint="PyTorch can write it anew, in its format since 1.6: torch.save(torch.load(...), ...)",
        )


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
