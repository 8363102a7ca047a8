"""Recurrent networks: a state carried through a sequence."""

from xpnn.functional.recurrent.cells import *
from xpnn.functional.recurrent.layers import *
