"""What users of xpnn need to test their own primitives and modules."""

from xpnn.testing.close import assert_close
from xpnn.testing.gradients import gradcheck, gradgradcheck
from xpnn.testing.numerical import numerical_gradient, numerical_jacobian

__all__ = ["assert_close", "gradcheck", "gradgradcheck", "numerical_gradient", "numerical_jacobian"]
