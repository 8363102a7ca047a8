"""Convolutions as modules."""

from xpnn.nn.conv.convolution import *
from xpnn.nn.conv.lazy import *
from xpnn.nn.conv.transposed import *
