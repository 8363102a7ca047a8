"""L3: modules, which own parameters and call `functional`; initial weights; summaries."""

from xpnn.nn import functional as functional
from xpnn.nn import init as init
from xpnn.nn import modules as modules
from xpnn.nn import parallel as parallel
from xpnn.nn import utils as utils
from xpnn.nn.activation import *
from xpnn.nn.attention import *
from xpnn.nn.containers import *
from xpnn.nn.conv import *
from xpnn.nn.distance import *
from xpnn.nn.dropout import *
from xpnn.nn.embedding import *
from xpnn.nn.hooks import *
from xpnn.nn.linear import *
from xpnn.nn.loss import *
from xpnn.nn.module import *
from xpnn.nn.norm import *
from xpnn.nn.parallel import *
from xpnn.nn.parameter import *
from xpnn.nn.pool import *
from xpnn.nn.recurrent import *
from xpnn.nn.shape import *
from xpnn.nn.state import *
from xpnn.nn.summary import *
