"""Neural networks on any array library that speaks the Array API standard.

    import xpnn
    from xpnn import nn, optim

    xpnn.set_backend("cupy")  # or "numpy" (the default), "torch", "jax", "array_api_strict"

Sub-packages: `functional` (the maths), `nn` (modules), `optim`, `data`, `metrics`, `models`, `io`, `train`,
`viz`, `testing`, and below them `autograd` and `backend`.
"""

import xpnn.startup as _startup  # noqa: F401 - before all others
from xpnn import autograd, backend, data, functional, io, metrics, models, nn, optim, testing, train
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
    set_printoptions,
    tensor,
    vjp,
    xp,
)
from xpnn.backend import (
    asarray,
    available_backends,
    get_backend,
    get_device,
    get_num_threads,
    get_numba,
    get_precision,
    manual_seed,
    namespace,
    random,
    register_backend,
    set_backend,
    set_num_threads,
    set_numba,
    set_precision,
    show_versions,
    to_numpy,
    use_backend,
    use_precision,
)
from xpnn.backend.errors import XpnnError
from xpnn.backend.random import set_rng
from xpnn.train import compile
from xpnn.version import __version__

__all__ = [
    "Tensor",
    "XpnnError",
    "__version__",
    "asarray",
    "autograd",
    "available_backends",
    "backend",
    "checkpoint",
    "compile",
    "data",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "get_backend",
    "get_device",
    "get_num_threads",
    "get_numba",
    "get_precision",
    "grad",
    "hessian",
    "io",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "manual_seed",
    "metrics",
    "models",
    "namespace",
    "nn",
    "no_grad",
    "optim",
    "primitive",
    "random",
    "register_backend",
    "set_backend",
    "set_grad_enabled",
    "set_num_threads",
    "set_numba",
    "set_precision",
    "set_printoptions",
    "set_rng",
    "show_versions",
    "tensor",
    "testing",
    "to_numpy",
    "train",
    "use_backend",
    "use_precision",
    "vjp",
    "xp",
]
