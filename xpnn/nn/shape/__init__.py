"""Elements in another place or shape."""

from xpnn.nn.shape.flatten import *
from xpnn.nn.shape.folding import *
from xpnn.nn.shape.padding import *
from xpnn.nn.shape.resampling import *
from xpnn.nn.shape.shuffling import *
