"""Weights of a network from a file, or from where the internet has it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xpnn.backend import CheckpointError, optional_import
from xpnn.io import load
from xpnn.nn import Module


def load_weights(model: Module, weights: str | os.PathLike[str], strict: bool = True) -> Module:
    """Load a state dict into a network; returns the network.

    Args:
        model: of the same names and shapes as what is loaded.
        weights: the path or the URL of a safetensors file or of PyTorch's `.pth`, which holds a state dict,
            or a dict with one under "state_dict" or "model". What is downloaded is kept in pooch's cache; if
            its name ends in "-" and eight or more digits of its SHA-256 sum, as torchvision's do, they are
            checked.
        strict: whether all names must be there, and no others.

    Raises: CheckpointError for a file that cannot be read, is not what its name says, or does not fit;
    MissingDependencyError if a URL needs pooch. The network is as it was then.
    """
    text = os.fspath(weights)
    state = read_weights(text)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise CheckpointError(f"holds no state dict, but a {type(state).__name__}", subject=f"'{text}'")
    model.load_state_dict(state, strict=strict)
    return model


def read_weights(
    weights: str, folder: str | os.PathLike[str] | None = None, file_name: str | None = None
) -> Any:
    """What a file or the file at a URL holds; a download is kept in `folder`, under `file_name`."""
    remote = urlsplit(weights).scheme in ("http", "https", "ftp")
    return load(_downloaded(weights, folder, file_name) if remote else weights)


def _downloaded(url: str, folder: str | os.PathLike[str] | None, file_name: str | None) -> Path:
    pooch: Any = optional_import("pooch", extra="train")
    name = Path(urlsplit(url).path).name
    try:
        where = pooch.os_cache("xpnn") / "weights" if folder is None else folder
        path = Path(pooch.retrieve(url, known_hash=None, fname=file_name or name, path=where))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot be downloaded: {error}",
            subject=f"'{url}'",
            hint="Check the connection, or download it yourself and give its path",
        ) from error
    promised = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    if promised:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(promised[1]):
            path.unlink()
            raise CheckpointError(
                f"has the SHA-256 sum {found}, which its name says begins with {promised[1]}",
                subject=f"'{url}'",
                hint="The copy was removed; try again",
            )
    return path
