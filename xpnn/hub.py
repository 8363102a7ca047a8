"""`xpnn.hub`: state dicts from the internet, under the name by which PyTorch's networks ask for them."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlparse as urlparse

from xpnn.models.weights import download, read_weights, weights_folder

__all__ = ["download_url_to_file", "get_dir", "load_state_dict_from_url"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # the beginning of a SHA-256 sum in the name of a file


def get_dir() -> str:
    """The folder that keeps what is downloaded. Raises: MissingDependencyError without pooch."""
    return str(weights_folder())


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Download the file at a URL.

    Args:
        url: of any file.
        dst: the path that it gets; a file that is there is taken to be it.
        hash_prefix: how its SHA-256 sum must begin, in hexadecimal digits.
        progress: changes nothing.

    Raises: CheckpointError if it cannot be had or is another one, which is removed then;
    MissingDependencyError without pooch.
    """
    folder, name = os.path.split(os.path.abspath(dst))
    download(url, folder, name, hash_prefix)


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """What the file at a URL holds, for `module.load_state_dict`; it is downloaded once.

    Args:
        url: of a safetensors file or of PyTorch's `.pth`.
        model_dir: the folder that keeps it; by default pooch's cache.
        map_location, progress, weights_only: change nothing; no code of the file is ever run.
        check_hash: likewise: a sum in the file's name is always checked.
        file_name: what the file is called on the disk; by default as in the URL.

    Raises: CheckpointError if it cannot be downloaded or read; MissingDependencyError without pooch.

    See: `xpnn.models.load_weights`.
    """
    return read_weights(url, folder=model_dir, file_name=file_name)
