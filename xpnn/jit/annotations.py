"""Types under PyTorch's older path to them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035 - programs ask for these names

__all__ = ["Any", "Dict", "List", "Optional", "Tuple", "Union"]
