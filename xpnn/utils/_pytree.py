"""Nested tuples, lists and dicts, under PyTorch's path."""

from __future__ import annotations

from xpnn.autograd.nested import TreeSpec as TreeSpec
from xpnn.autograd.nested import tree_flatten as tree_flatten
from xpnn.autograd.nested import tree_leaves as tree_leaves
from xpnn.autograd.nested import tree_map as tree_map
from xpnn.autograd.nested import tree_unflatten as tree_unflatten
