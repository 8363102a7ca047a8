"""Linear algebra with gradients, under the names and with the arguments of PyTorch's `torch.linalg`."""

from xpnn.autograd.functions.attempts import (
    LinAlgError as LinAlgError,
)
from xpnn.autograd.functions.attempts import (
    cholesky_ex as cholesky_ex,
)
from xpnn.autograd.functions.attempts import (
    inv_ex as inv_ex,
)
from xpnn.autograd.functions.attempts import (
    solve_ex as solve_ex,
)
from xpnn.autograd.functions.householder import (
    householder_product as householder_product,
)
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
