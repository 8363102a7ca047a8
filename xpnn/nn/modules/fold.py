"""Windows as columns, and back, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.shape.folding import *
