"""PyTorch's path to the switches of its libraries, which xpnn does not compute with."""

from xpnn.backends import cuda as cuda
from xpnn.backends import cudnn as cudnn
from xpnn.backends import mps as mps
