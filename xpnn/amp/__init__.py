"""PyTorch's interface to mixed precision: a scaler of losses, and a scope that says that nothing is cast."""

from xpnn.amp.autocast import *
from xpnn.amp.grad_scaler import *
