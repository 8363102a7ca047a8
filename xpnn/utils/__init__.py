"""PyTorch's paths to the data and to recomputation."""

from xpnn.utils import checkpoint as checkpoint
from xpnn.utils import data as data
