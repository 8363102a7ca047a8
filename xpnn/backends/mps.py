"""Apple's GPUs are not used."""

from __future__ import annotations


def is_available() -> bool:
    """False: xpnn does not compute on Apple's GPUs."""
    return False


def is_built() -> bool:
    """False, as `is_available`."""
    return False
