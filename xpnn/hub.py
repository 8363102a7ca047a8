"""`xpnn.hub`: state dicts from the internet, under the name by which PyTorch's networks ask for them."""

from __future__ import annotations

import os
from typing import Any

from xpnn.models.weights import read_weights

__all__ = ["load_state_dict_from_url"]


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
