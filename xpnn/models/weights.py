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
    if urlsplit(weights).scheme not in ("http", "https", "ftp"):
        return load(weights)
    promised = re.search(r"-([0-9a-f]{8,64})\.\w+$", urlsplit(weights).path)
    return load(download(weights, folder, file_name, promised and promised[1]))


def download(
    url: str,
    folder: str | os.PathLike[str] | None = None,
    file_name: str | None = None,
    sha256: str | None = None,
) -> Path:
    """The file at a URL, which is downloaded once; where its SHA-256 sum must begin otherwise, it is removed.

    Raises: CheckpointError; MissingDependencyError without pooch.
    """
    pooch: Any = optional_import("pooch", extra="train")
    name = file_name or Path(urlsplit(url).path).name
    try:
        path = Path(pooch.retrieve(url, known_hash=None, fname=name, path=folder or weights_folder()))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot be downloaded: {error}",
            subject=f"'{url}'",
            hint="Check the connection, or download it yourself and give its path",
        ) from error
    if sha256:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(sha256):
            path.unlink()
            raise CheckpointError(
                f"has the SHA-256 sum {found}, which should begin with {sha256}",
                subject=f"'{url}'",
                hint="The copy was removed; try again",
            )
    return path


def weights_folder() -> Path:
    """The folder that keeps what is downloaded, in pooch's cache."""
    pooch: Any = optional_import("pooch", extra="train")
    return Path(pooch.os_cache("xpnn")) / "weights"
