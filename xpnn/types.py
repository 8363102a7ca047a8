"""`xpnn.types`: PyTorch's names of what annotations say."""

from __future__ import annotations

import os
from typing import IO, TypeAlias

from xpnn.backend import device

Number: TypeAlias = int | float | bool
Device: TypeAlias = device | str | int | None
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
