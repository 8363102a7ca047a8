"""L2: the maths. Functions with PyTorch's names and arguments, on raw arrays and on Tensors alike."""

from xpnn.functional.activation import *
from xpnn.functional.attention import *
from xpnn.functional.conv import *
from xpnn.functional.distance import *
from xpnn.functional.dropout import *
from xpnn.functional.embedding import *
from xpnn.functional.linear import *
from xpnn.functional.loss import *
from xpnn.functional.norm import *
from xpnn.functional.pool import *
from xpnn.functional.recurrent import *
from xpnn.functional.shape import *
from xpnn.functional.vision import *
from xpnn.functional.windows import *
