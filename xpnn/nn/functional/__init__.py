"""`xpnn.functional` under PyTorch's path."""

from xpnn.functional import *
