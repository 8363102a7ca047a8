"""Files fetched once and checked: from mirrors, files and servers, going on where it was broken off."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xpnn.backend import DataError, optional_import

__all__ = ["download_file", "has_checksum"]

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


def download_file(name: str, checksum: str, mirrors: Sequence[str], folder: Path) -> Path:
    """Fetch `name` from the first mirror that has it, unless the right one is there already.

    Args:
        checksum: of the whole file, as "md5:..." or "sha256:...".
        mirrors: addresses that end in "/", by http, https or file.
        folder: where it is kept, under its name once it is whole. What came of it before a break stands in
            `<name>.part`, and only the rest is asked for.

    Raises: DataError that names each mirror and what it lacked; MissingDependencyError without pooch.
    """
    pooch = optional_import("pooch", extra="train")
    part = folder / f"{name}.part"
    failures = []
    for mirror in mirrors:
        for begun in (part.is_file(), False):
            try:
                return Path(
                    pooch.retrieve(
                        mirror + name, checksum, name, folder, downloader=_going_on_from(part, begun)
                    )
                )
            except (OSError, ValueError) as error:  # no connection; another checksum
                failures.append(f"{mirror}{name} ({type(error).__name__}: {error})")
                if not (begun and isinstance(error, ValueError)):
                    break  # else what was there was of another file: all of it again
    raise DataError(
        f"cannot be downloaded. Tried {'; '.join(failures)}",
        subject=name,
        hint=f"Check the connection, or put the file into {folder} yourself",
    )


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file is the one with that checksum ("md5:..." or "sha256:...").

    >>> has_checksum(Path("no/such/file"), "md5:0")
    False
    """
    kind, _, expected = checksum.partition(":")
    digest: Any = hashlib.new(kind, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == expected


def _going_on_from(part: Path, begun: bool) -> Callable[[str, str, Any], None]:
    """A downloader for pooch, which leaves in `part` what came before a break."""

    def download(address: str, output: str, pooch: Any) -> None:
        before = part.stat().st_size if begun else 0
        request = _urllib().Request(address)
        if before:
            request.add_header("Range", f"bytes={before}-")
        try:
            _write(request, part)
        except OSError as error:
            if not before or getattr(error, "code", None) != 416:  # which says that nothing is left to send
                raise
        os.replace(part, output)

    return download


def _urllib() -> Any:
    """The standard library's module for requests, which loads e-mail and encryption: when asked for."""
    return importlib.import_module("urllib.request")


def _write(request: Any, part: Path) -> None:
    with _urllib().urlopen(request, timeout=_TIMEOUT) as answer:
        expected = answer.headers.get("Content-Length")
        with part.open("ab" if getattr(answer, "status", None) == 206 else "wb") as file:
            before = file.tell()
            shutil.copyfileobj(answer, file, _CHUNK)
            came = file.tell() - before
    if expected is not None and came != int(expected):
        raise OSError(f"broke off after {came} of {expected} bytes")
