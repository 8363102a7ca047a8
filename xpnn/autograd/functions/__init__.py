"""PyTorch's functions on Tensors: each stands here once, and is a method too where PyTorch has both.

They are made of the standard's functions (`ops`), whose gradients they have. Arguments, their names, order
and defaults are PyTorch's; `axis` and `keepdims` are accepted beside `dim` and `keepdim`.
"""

from xpnn.autograd.functions.comparison import *
from xpnn.autograd.functions.complex_numbers import *
from xpnn.autograd.functions.creation import *
from xpnn.autograd.functions.differences import *
from xpnn.autograd.functions.elementwise import *
from xpnn.autograd.functions.floats import *
from xpnn.autograd.functions.gamma import *
from xpnn.autograd.functions.histograms import *
from xpnn.autograd.functions.indexing import *
from xpnn.autograd.functions.joining import *
from xpnn.autograd.functions.linalg import *
from xpnn.autograd.functions.random import *
from xpnn.autograd.functions.reduction import *
from xpnn.autograd.functions.shape import *
from xpnn.autograd.functions.short_time import *
from xpnn.autograd.functions.solving import *
from xpnn.autograd.functions.sorting import *
from xpnn.autograd.functions.special import *
from xpnn.autograd.functions.types import *
from xpnn.autograd.functions.windows import *
