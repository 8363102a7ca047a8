"""What parameters and events may be: the names of `torch.distributions.constraints`."""

# ruff: noqa: N801 (the names are those of PyTorch)

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import cat as joined
from xpnn.autograd.functions import stack as stacked

__all__ = [
    *("Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property", "greater_than"),
    *("greater_than_eq", "half_open_interval", "independent", "integer_interval", "interval"),
    *("is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative"),
    *("nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer"),
    *("positive_semidefinite", "real", "real_vector", "simplex", "square", "stack", "symmetric"),
    "unit_interval",
]

_CLOSE = 1e-6  # how far a sum of probabilities may be from 1


class Constraint:
    """A region that variables lie in.

    Attributes:
        is_discrete: whether it holds whole numbers only. event_dim: how many last axes are one variable.
    """

    is_discrete: bool = False
    event_dim: int = 0
    _shown: ClassVar[tuple[str, ...]] = ()

    def check(self, value: Any) -> Tensor:
        """Whether each variable of a batch lies in the region: booleans, without the axes of an event."""
        raise NotImplementedError(f"{type(self).__name__} has no check")

    def __repr__(self) -> str:
        name = type(self).__name__.lstrip("_")
        return f"{name}({', '.join(f'{k}={getattr(self, k)}' for k in self._shown)})"


class _Dependent(Constraint):
    """A region that depends on other variables; it can't be checked alone."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> Constraint:
        """One of that kind and those axes."""
        return _Dependent(is_discrete=is_discrete, event_dim=event_dim)


class dependent_property(property, _Dependent):
    """A property that says a region by the other parameters of an object.

    Args:
        fn: of the object. is_discrete, event_dim: what is known of the region without an object.
    """

    def __init__(self, fn: Any = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        property.__init__(self, fn)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn: Any) -> dependent_property:  # type: ignore[override]
        """The decorator, given the function."""
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


class independent(Constraint):
    """A region whose last axes count as one variable, which lies inside if all of its parts do.

    Args:
        base_constraint: of the parts. reinterpreted_batch_ndims: how many axes become the event's.
    """

    _shown = ("base_constraint", "reinterpreted_batch_ndims")

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Any) -> Tensor:
        """Whether all parts lie inside."""
        return _all(self.base_constraint.check(value), self.reinterpreted_batch_ndims)


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Tensor:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete, event_dim = True, 1

    def check(self, value: Any) -> Tensor:
        return _all((value == 0) | (value == 1), 1) & (value.sum(dim=-1) == 1)


class _Real(Constraint):
    def check(self, value: Any) -> Tensor:
        return value == value


class greater_than(Constraint):
    """Numbers above `lower_bound`."""

    _shown = ("lower_bound",)

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Tensor:
        """x > lower_bound."""
        return value > self.lower_bound


class greater_than_eq(greater_than):
    """Numbers from `lower_bound` on."""

    def check(self, value: Any) -> Tensor:
        """x >= lower_bound."""
        return value >= self.lower_bound


class less_than(Constraint):
    """Numbers below `upper_bound`."""

    _shown = ("upper_bound",)

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Tensor:
        """x < upper_bound."""
        return value < self.upper_bound


class interval(Constraint):
    """Numbers from `lower_bound` to `upper_bound`, both included."""

    _shown = ("lower_bound", "upper_bound")

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Tensor:
        """lower_bound <= x <= upper_bound."""
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class half_open_interval(interval):
    """Numbers from `lower_bound` up to `upper_bound`, which is not one of them."""

    def check(self, value: Any) -> Tensor:
        """lower_bound <= x < upper_bound."""
        return (value >= self.lower_bound) & (value < self.upper_bound)


class integer_interval(interval):
    """Whole numbers from `lower_bound` to `upper_bound`, both included."""

    is_discrete = True

    def check(self, value: Any) -> Tensor:
        """lower_bound <= x <= upper_bound and x whole."""
        return _whole(value) & super().check(value)


class _WholeFrom(greater_than_eq):
    is_discrete = True

    def check(self, value: Any) -> Tensor:
        return _whole(value) & super().check(value)


class multinomial(Constraint):
    """Counts of 0 or more whose sum over the last axis is at most `upper_bound`."""

    is_discrete, event_dim, _shown = True, 1, ("upper_bound",)

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Tensor:
        """All x >= 0, and their sum <= upper_bound."""
        return _all(value >= 0, 1) & (value.sum(dim=-1) <= self.upper_bound)


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Tensor:
        close = max(_CLOSE, 4 * float(value.__array_namespace__().finfo(value.dtype).eps))
        return _all(value >= 0, 1) & ((value.sum(dim=-1) - 1).abs() < close)


class _Square(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Tensor:
        fits = value.shape[-1] == value.shape[-2]
        return value.new_ones(value.shape[:-2]).bool() & fits


class _Symmetric(_Square):
    def check(self, value: Any) -> Tensor:
        if value.shape[-1] != value.shape[-2]:
            return super().check(value)
        return _all((value - value.mT).abs() <= 1e-6 + 1e-5 * value.mT.abs(), 2)


class _LowerTriangular(_Square):
    def check(self, value: Any) -> Tensor:
        return _all(value.tril() == value, 2)


class _LowerCholesky(_LowerTriangular):
    def check(self, value: Any) -> Tensor:
        return super().check(value) & _all(value.diagonal(dim1=-2, dim2=-1) > 0, 1)


class _CorrelationCholesky(_LowerCholesky):
    def check(self, value: Any) -> Tensor:
        norms = value.square().sum(dim=-1)
        return super().check(value) & _all((norms - 1).abs() < _CLOSE * value.shape[-1] * 10, 1)


class _Definite(_Symmetric):
    def __init__(self, strictly: bool) -> None:
        self.strictly = strictly

    def check(self, value: Any) -> Tensor:
        symmetric = super().check(value)
        xp = value.__array_namespace__()
        smallest = xp.linalg.eigvalsh(value.detach())[..., 0]
        return symmetric & (smallest > 0 if self.strictly else smallest >= -_CLOSE)


class cat(Constraint):
    """A region for each piece of an axis.

    Args:
        cseq: the regions. dim: the axis. lengths: of the pieces; 1 each if not given.
    """

    _shown = ("cseq", "dim")

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def check(self, value: Any) -> Tensor:
        """What the regions say, piece by piece."""
        pieces = value.split(self.lengths, self.dim)
        return joined([c.check(piece) for c, piece in zip(self.cseq, pieces)], self.dim)


class stack(Constraint):
    """A region for each index of an axis.

    Args:
        cseq: the regions. dim: the axis.
    """

    _shown = ("cseq", "dim")

    def __init__(self, cseq: Any, dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        event = max(c.event_dim for c in self.cseq)
        self.event_dim = event + 1 if dim + event < 0 else event

    def check(self, value: Any) -> Tensor:
        """What the regions say, index by index."""
        parts = value.unbind(self.dim)
        return stacked([c.check(part) for c, part in zip(self.cseq, parts)], self.dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a region depends on other variables, so that it can't be checked alone."""
    return isinstance(constraint, _Dependent)


def _whole(value: Any) -> Any:
    return value % 1 == 0


def _all(flags: Any, axes: int) -> Any:
    for _ in range(axes):
        flags = flags.all(dim=-1)
    return flags


dependent = _Dependent()
boolean = _Boolean()
one_hot = _OneHot()
real = _Real()
real_vector = independent(real, 1)
nonnegative = greater_than_eq(0.0)
positive = greater_than(0.0)
unit_interval = interval(0.0, 1.0)
nonnegative_integer = _WholeFrom(0)
positive_integer = _WholeFrom(1)
simplex = _Simplex()
square = _Square()
symmetric = _Symmetric()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrelationCholesky()
positive_semidefinite = _Definite(strictly=False)
positive_definite = _Definite(strictly=True)
