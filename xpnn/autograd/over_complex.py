"""Complex numbers on the tape: which primitives take them, and how their rules are made right.

The gradient of a real L by z = x + iy is dL/dx + i dL/dy, as in PyTorch: the direction of steepest ascent.
Through y = f(z), where f has a complex derivative, it is g conj(f'(z)). A rule that is written for real
numbers is linear in g, so that no other line is needed:

    g conj(f') = conj(rule(conj(g)))

A real input that has met complex numbers takes the real part.

What is in none of the sets below has no gradient over complex numbers, and says so.

See: K. Kreutz-Delgado (2009), "The complex gradient operator and the CR-calculus".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd.core import COMPLEX, REAL, carries_gradient
from xpnn.backend import GradientError, is_array, namespace

# Elements are moved, added up or multiplied by real numbers: the rule is right as it is.
LINEAR = frozenset(
    [
        *("add", "add_along_axis", "broadcast_to", "concat", "cumulative_sum", "expand_dims", "fill", "flip"),
        *("getitem", "index_add", "matrix_transpose", "mean", "negative", "permute_dims", "positive"),
        *("reshape", "reversed", "roll", "scatter", "setitem", "squeeze", "stack", "strided", "subtract"),
        *("sum", "take", "take_along_axis", "to_device", "tril", "triu", "unstack", "where", "write_at"),
    ]
)

# Functions with a complex derivative, which the rule says without conjugates and absolute values.
ANALYTIC = frozenset(
    [
        *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cofactors", "cos", "cosh", "cumulative_prod"),
        *("det", "divide", "exp", "expm1", "inv", "linear", "log", "log10", "log1p", "log2", "matmul"),
        *("multiply", "pow", "prod", "reciprocal", "rsqrt", "sin", "sinh", "solve", "sqrt", "square"),
        *("tan", "tanh"),
    ]
)

# The rule itself is written for complex numbers too.
GENERAL = frozenset(
    [
        *("astype", "cholesky", "complex_pairs", "eig", "eigh", "fourier", "half_fourier"),
        *("pairs_of_complex", "pinv", "qr", "real_fourier", "square_lu", "svd", "vector_norm"),
    ]
)

Backward = Callable[..., Sequence[Any]]


def rule_of(name: str) -> str | None:
    """How the rule of one of xpnn's primitives is taken to complex numbers; None where it isn't."""
    named = {"linear": LINEAR, "analytic": ANALYTIC, "general": GENERAL}
    return next((rule for rule, names in named.items() if name in names), None)


class OverComplex:
    """A primitive as the tape has it where complex numbers take part.

    Args:
        primitive: the one that was called.
        real: which of its arguments are real.
    """

    __slots__ = ("backward_function", "forward", "name", "primitive", "real")

    def __init__(self, primitive: Any, real: tuple[bool, ...]) -> None:
        self.primitive, self.real = primitive, real
        self.name, self.forward = primitive.name, primitive.forward
        own = primitive.complex_backward
        self.backward_function = self.adapted(primitive.backward_function) if own is None else own

    def adapted(self, backward: Backward) -> Backward:
        """A backward of real numbers as one of complex numbers."""
        conjugated = _conj if self.primitive.complex_rule == "analytic" else _same
        real = self.real

        def pull_back(gy: Any, saved: tuple, needs: tuple[bool, ...], **options: Any) -> list[Any]:
            gy = tuple(map(conjugated, gy)) if type(gy) is tuple else conjugated(gy)
            found = backward(gy, saved, needs, **options)
            return [_real(g) if is_real else conjugated(g) for g, is_real in zip(found, real)]

        return pull_back


def over_complex(primitive: Any, raws: Sequence[Any]) -> OverComplex:
    """The form of a primitive for these arguments, made once. Raises: GradientError where there is none."""
    if primitive.complex_rule is None:
        raise GradientError(
            "has no gradient over complex numbers",
            subject=primitive.name,
            hint="Call detach() on its input if none should flow, or compute with real and imaginary parts",
        )
    real = tuple([is_array(raw) and carries_gradient(raw) == REAL for raw in raws])
    forms = primitive.complex_forms
    return forms.get(real) or forms.setdefault(real, OverComplex(primitive, real))


def _same(g: Any) -> Any:
    return g


def _conj(g: Any) -> Any:
    return namespace(g).conj(g) if _is_complex(g) else g


def _real(g: Any) -> Any:
    return namespace(g).real(g) if _is_complex(g) else g


def _is_complex(g: Any) -> bool:
    return g is not None and carries_gradient(getattr(g, "array", g)) == COMPLEX
