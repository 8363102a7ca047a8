"""Neural networks on any array library that speaks the Array API standard."""

from xpnn import autograd, backend
from xpnn.autograd import (
    Tensor,
    checkpoint,
    detect_anomaly,
    enable_grad,
    grad,
    hessian,
    is_grad_enabled,
    jacobian,
    jvp,
    no_grad,
    primitive,
    set_grad_enabled,
    tensor,
    vjp,
    xp,
)
from xpnn.backend import (
    asarray,
    available_backends,
    get_backend,
    get_device,
    manual_seed,
    namespace,
    register_backend,
    set_backend,
    show_versions,
    to_numpy,
    use_backend,
)
from xpnn.backend.errors import XpnnError
from xpnn.version import __version__
