"""Linear algebra with gradients, under the names and with the arguments of PyTorch's `torch.linalg`."""

from xpnn.autograd.functions.lu import (
    lu as lu,
)
from xpnn.autograd.functions.lu import (
    lu_factor as lu_factor,
)
from xpnn.autograd.functions.lu import (
    lu_factor_ex as lu_factor_ex,
)
from xpnn.autograd.functions.lu import (
    lu_solve as lu_solve,
)
from xpnn.autograd.functions.matrices import *
