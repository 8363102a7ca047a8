"""The class of all modules, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.hooks import *
from xpnn.nn.module import *
from xpnn.nn.state import IncompatibleKeys

_IncompatibleKeys = IncompatibleKeys
