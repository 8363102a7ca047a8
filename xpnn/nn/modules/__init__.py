"""PyTorch's paths to the modules, and its names of the classes that they share."""

from xpnn.nn.activation import *
from xpnn.nn.attention import *
from xpnn.nn.containers import *
from xpnn.nn.conv import *
from xpnn.nn.distance import *
from xpnn.nn.dropout import *
from xpnn.nn.embedding import *
from xpnn.nn.linear import *
from xpnn.nn.loss import *
from xpnn.nn.module import *
from xpnn.nn.norm import *
from xpnn.nn.pool import *
from xpnn.nn.recurrent import *
from xpnn.nn.shape import *

# after the families, which have files of these names; `from` would find those
import xpnn.nn.modules.activation as activation
import xpnn.nn.modules.batchnorm as batchnorm
import xpnn.nn.modules.channelshuffle as channelshuffle
import xpnn.nn.modules.container as container
import xpnn.nn.modules.conv as conv
import xpnn.nn.modules.distance as distance
import xpnn.nn.modules.dropout as dropout
import xpnn.nn.modules.flatten as flatten
import xpnn.nn.modules.fold as fold
import xpnn.nn.modules.instancenorm as instancenorm
import xpnn.nn.modules.lazy as lazy
import xpnn.nn.modules.linear as linear
import xpnn.nn.modules.loss as loss
import xpnn.nn.modules.module as module
import xpnn.nn.modules.normalization as normalization
import xpnn.nn.modules.padding as padding
import xpnn.nn.modules.pixelshuffle as pixelshuffle
import xpnn.nn.modules.pooling as pooling
import xpnn.nn.modules.rnn as rnn
import xpnn.nn.modules.sparse as sparse
import xpnn.nn.modules.transformer as transformer
import xpnn.nn.modules.upsampling as upsampling
import xpnn.nn.modules.utils as utils
