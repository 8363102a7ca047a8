"""Mixed precision as PyTorch has it: products in half precision, and losses scaled up."""

from xpnn.amp.autocast import *
from xpnn.amp.custom import *
from xpnn.amp.grad_scaler import *
