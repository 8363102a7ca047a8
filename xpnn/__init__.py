"""Neural networks on any array library that speaks the Array API standard.

    import xpnn
    from xpnn import nn, optim

    xpnn.set_backend("cupy")  # or "numpy" (the default), "torch", "jax", "array_api_strict"

Sub-packages: `functional` (the maths), `nn` (modules), `optim`, `data`, `metrics`, `models`, `io`, `train`,
`viz`, `testing`, and below them `autograd` and `backend`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

import xpnn.startup as _startup  # noqa: F401 - before all others
import xpnn.optim.swa_utils as _swa_utils  # noqa: F401
from xpnn import (
    accelerator as accelerator,
    amp as amp,
    autograd as autograd,
    backend as backend,
    backends as backends,
    compiler as compiler,
    cuda as cuda,
    data as data,
    distributed as distributed,
    futures as futures,
    fft as fft,
    func as func,
    functional as functional,
    fx as fx,
    io as io,
    jit as jit,
    linalg as linalg,
    metrics as metrics,
    nn as nn,
    ops as ops,
    optim as optim,
    overrides as overrides,
    random as random,
    signal as signal,
    special as special,
    testing as testing,
    types as types,
    train as train,
    utils as utils,
)
from xpnn.amp import (
    GradScaler as GradScaler,
    autocast as autocast,
    get_autocast_dtype as get_autocast_dtype,
    is_autocast_enabled as is_autocast_enabled,
)
from xpnn.autograd import (
    Tensor as Tensor,
    checkpoint as checkpoint,
    detect_anomaly as detect_anomaly,
    enable_grad as enable_grad,
    grad as grad,
    hessian as hessian,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    jacobian as jacobian,
    jvp as jvp,
    no_grad as no_grad,
    primitive as primitive,
    set_grad_enabled as set_grad_enabled,
    set_printoptions as set_printoptions,
    tensor as tensor,
    vjp as vjp,
    xp as xp,
)
from xpnn.autograd.recorded import graph as graph
from xpnn.autograd.functions.comparison import *
from xpnn.autograd.functions.complex_numbers import *
from xpnn.autograd.functions.copies import *
from xpnn.autograd.functions.creation import *
from xpnn.autograd.functions.differences import *
from xpnn.autograd.functions.elementwise import *
from xpnn.autograd.functions.floats import *
from xpnn.autograd.functions.gamma import *
from xpnn.autograd.functions.histograms import *
from xpnn.autograd.functions.householder import (
    geqrf as geqrf,
    orgqr as orgqr,
    ormqr as ormqr,
)
from xpnn.autograd.functions.indexing import *
from xpnn.autograd.functions.joining import *
from xpnn.autograd.functions.linalg import *
from xpnn.autograd.functions.low_rank import *
from xpnn.autograd.functions.lu import lu_unpack as lu_unpack
from xpnn.autograd.functions.random import *
from xpnn.autograd.functions.reduction import *
from xpnn.autograd.functions.shape import *
from xpnn.autograd.functions.short_time import *
from xpnn.autograd.functions.solving import *
from xpnn.autograd.functions.sorting import *
from xpnn.autograd.functions.special import *
from xpnn.autograd.functions.types import *
from xpnn.autograd.functions.windows import *
from xpnn.backend import (
    DType as DType,
    asarray as asarray,
    available_backends as available_backends,
    can_cast as can_cast,
    device as device,
    finfo as finfo,
    get_backend as get_backend,
    get_default_device as get_default_device,
    get_default_dtype as get_default_dtype,
    get_device as get_device,
    get_num_threads as get_num_threads,
    get_numba as get_numba,
    get_precision as get_precision,
    iinfo as iinfo,
    namespace as namespace,
    promote_types as promote_types,
    register_backend as register_backend,
    set_backend as set_backend,
    set_default_device as set_default_device,
    set_default_dtype as set_default_dtype,
    set_num_threads as set_num_threads,
    set_numba as set_numba,
    set_precision as set_precision,
    show_versions as show_versions,
    to_numpy as to_numpy,
    use_backend as use_backend,
    use_precision as use_precision,
)
from xpnn.backend.errors import XpnnError as XpnnError
from xpnn.backend.random import set_rng as set_rng
from xpnn.backend.accepted import *
from xpnn.backend.tf32 import *
from xpnn.backend.layouts import *
from xpnn.backend.type_names import *
from xpnn.func import vmap as vmap
from xpnn.io import load as load, save as save
from xpnn.train import compile as compile
from xpnn.fx import _assert as _assert
from xpnn.top_level import *
from xpnn.version import __version__ as __version__

if _TYPE_CHECKING:  # imported when they are first asked for: see `missing`
    from xpnn import (
        distributions as distributions,
        einops as einops,
        models as models,
        onnx as onnx,
        search as search,
        sklearn as sklearn,
    )

import xpnn.missing as _missing  # noqa: F401 - after all others
