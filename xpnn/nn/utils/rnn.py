"""Sequences of several lengths, under the name that PyTorch has for them."""

from __future__ import annotations

from xpnn.nn.recurrent.packed import *
