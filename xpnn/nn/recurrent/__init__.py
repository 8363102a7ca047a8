"""Recurrent networks as modules."""

from xpnn.nn.recurrent.cells import *
from xpnn.nn.recurrent.layers import *
