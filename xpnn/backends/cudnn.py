"""cuDNN is not used: the switches can be set, as programs do, and change nothing."""

from __future__ import annotations

benchmark = False
deterministic = True
allow_tf32 = False
enabled = False


def is_available() -> bool:
    """False: xpnn does not compute with cuDNN."""
    return False


def version() -> None:
    """None: xpnn does not compute with cuDNN."""
