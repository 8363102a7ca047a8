"""L1: the Tensor, the tape, primitives, and the differentiable Array API namespace."""

from xpnn.autograd import einops_backend as einops_backend
from xpnn.autograd import forward_ad, functional, graph, ops
from xpnn.autograd.checkpoint import checkpoint
from xpnn.autograd.function import Function, FunctionCtx, once_differentiable
from xpnn.autograd.gradient_checks import gradcheck, gradgradcheck
from xpnn.autograd.gradients import backward, grad, hessian, jacobian, jvp, vjp
from xpnn.autograd.mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    recomputing,
    scope,
    set_detect_anomaly,
    set_grad_enabled,
)
from xpnn.autograd.namespace import CurrentNamespace, tensor_namespace, xp
from xpnn.autograd.node import Later
from xpnn.autograd.over_processes import sum_over_processes
from xpnn.autograd.primitive import Primitive, primitive, primitive_names
from xpnn.autograd.printing import set_printoptions
from xpnn.autograd.tensor import Tensor, tensor
from xpnn.autograd.turning import Turned
from xpnn.autograd.variable import Variable
from xpnn.autograd.views import View

__all__ = [
    "CurrentNamespace",
    "Function",
    "FunctionCtx",
    "Later",
    "Primitive",
    "Tensor",
    "Turned",
    "Variable",
    "View",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "hessian",
    "inference_mode",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "no_grad",
    "once_differentiable",
    "ops",
    "primitive",
    "primitive_names",
    "recomputing",
    "scope",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_printoptions",
    "sum_over_processes",
    "tensor",
    "tensor_namespace",
    "vjp",
    "xp",
]
