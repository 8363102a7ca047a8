"""One network on several devices or in several processes."""

from xpnn.nn.parallel.distributed import *
from xpnn.nn.parallel.single import *
