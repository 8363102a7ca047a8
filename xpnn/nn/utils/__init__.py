"""What networks need beside modules: clipping, vectors of parameters, parametrized weights, sequences ..."""

from xpnn.autograd.clip import *
from xpnn.nn.utils import parametrizations as parametrizations
from xpnn.nn.utils import parametrize as parametrize
from xpnn.nn.utils import prune as prune
from xpnn.nn.utils import rnn as rnn
from xpnn.nn.utils import stateless as stateless
from xpnn.nn.utils.fusion import *
from xpnn.nn.utils.skipping import *
from xpnn.nn.utils.spectral_norm import *
from xpnn.nn.utils.vectors import *
from xpnn.nn.utils.weight_norm import *
