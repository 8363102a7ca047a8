"""Elements in another place: padded, shuffled between channels and space, resampled."""

from xpnn.functional.shape.folding import *
from xpnn.functional.shape.padding import *
from xpnn.functional.shape.resampling import *
from xpnn.functional.shape.sampling import *
from xpnn.functional.shape.shuffling import *
