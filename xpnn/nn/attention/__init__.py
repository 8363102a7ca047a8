"""Attention as modules: multi-head attention and the transformer."""

from xpnn.nn.attention.multi_head import *
from xpnn.nn.attention.positions import *
from xpnn.nn.attention.transformer import *
