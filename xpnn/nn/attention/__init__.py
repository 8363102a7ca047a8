"""Attention as modules: multi-head attention, the transformer, and what they keep of earlier steps."""

from xpnn.functional.attention.ways import SDPBackend as SDPBackend
from xpnn.functional.attention.ways import sdpa_kernel as sdpa_kernel
from xpnn.nn.attention import bias as bias
from xpnn.nn.attention.cache import *
from xpnn.nn.attention.multi_head import *
from xpnn.nn.attention.positions import *
from xpnn.nn.attention.transformer import *
