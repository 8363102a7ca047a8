"""Linear algebra with gradients, under the names and with the arguments of PyTorch's `torch.linalg`."""

from xpnn.autograd.functions.matrices import *
