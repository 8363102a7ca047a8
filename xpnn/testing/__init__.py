"""What users of xpnn need to test their own primitives and modules."""

from xpnn.autograd import gradcheck, gradgradcheck
from xpnn.autograd.numerical import numerical_gradient, numerical_jacobian
from xpnn.testing.close import assert_close
from xpnn.testing.lockstep import Difference, Lockstep, lockstep

__all__ = [
    "Difference",
    "Lockstep",
    "assert_close",
    "gradcheck",
    "gradgradcheck",
    "lockstep",
    "numerical_gradient",
    "numerical_jacobian",
]
