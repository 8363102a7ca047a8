"""`xpnn.data` under PyTorch's path."""

from xpnn.data import *
