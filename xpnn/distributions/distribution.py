"""What all distributions share: shapes, samples off the tape, and the checks of their arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

from xpnn.autograd import Tensor, enable_grad, no_grad, tensor
from xpnn.autograd.functions import broadcast_tensors
from xpnn.autograd.functions.random import rand_like
from xpnn.backend import ArgumentError, DType, DTypeError, RefusingConstructor, ShapeError, concrete, is_array
from xpnn.distributions.constraints import Constraint, is_dependent
from xpnn.distributions.half import answering_in_float32

__all__ = ["Distribution"]

EULER = 0.57721566490153286061  # the constant of Euler and Mascheroni


class Distribution(RefusingConstructor):
    """A distribution of a batch of independent variables, each of them an event.

    Attributes:
        batch_shape: of the independent variables. event_shape: of what is drawn for each.
        arg_constraints: what each parameter may be. support: what the events may be.
        has_rsample: whether gradients flow through `rsample` to the parameters.
        has_enumerate_support: whether all events can be listed.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support: Any = None
    _validate_args = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        answering_in_float32(cls)

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self.batch_shape = tuple(batch_shape)
        self.event_shape = tuple(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        for name, value in self.parameters().items():
            constraint = self.arg_constraints[name]
            if self.validate_args and not is_dependent(constraint):
                self.expect(constraint.check(value), f"{name} in {constraint}", value)

    @property
    def validate_args(self) -> bool:
        """Whether parameters and values are checked."""
        return self._validate_args

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments that are not told."""
        if value not in (True, False):
            raise ArgumentError(f"expects True or False, got {value!r:.40}", subject="validate_args")
        Distribution._validate_args = bool(value)

    def parameters(self) -> dict[str, Tensor]:
        """The parameters that it holds, by name."""
        held = vars(self)
        return {name: held[name] for name in self.arg_constraints if isinstance(held.get(name), Tensor)}

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """The distribution of a batch of that shape, to which its own shape broadcasts."""
        batch_shape = tuple(batch_shape)
        new = copy.copy(self)
        for name, value in self.parameters().items():
            axes = self.arg_constraints[name].event_dim
            event = value.shape[value.ndim - axes :]
            setattr(new, name, value.expand((*batch_shape, *event)))
        new.batch_shape = batch_shape
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw, off the tape: (*sample_shape, *batch_shape, *event_shape), from the counter stream."""
        with no_grad():
            return self.rsample(sample_shape).detach()

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`."""
        return self.sample((n,))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw so that gradients flow to the parameters. Raises: NotImplementedError where none can."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample; use sample() and log_prob()")

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the density, or probability, of each event."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Any) -> Tensor:
        """The probability of what is not above a value."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Any) -> Tensor:
        """The value that is not passed with a given probability: the inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """The entropy of each variable, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All events, along a new first axis; for the whole batch, or with axes of 1 in its place."""
        raise NotImplementedError(f"{type(self).__name__} has no enumerate_support")

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        """The most probable event."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The expected squared distance from the mean."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    def perplexity(self) -> Tensor:
        """e to the entropy."""
        return self.entropy().exp()

    def shape_of_samples(self, sample_shape: Any) -> tuple[int, ...]:
        """The shape of what `sample(sample_shape)` gives."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def expect(self, condition: Any, text: str, found: Any = None) -> None:
        """Refuse arguments for which a condition fails somewhere; under `jax.jit` values are not read."""
        if self.validate_args and concrete(condition.array) and not bool(condition.all()):
            got = "" if found is None else f", got {found!r:.200}"
            raise ArgumentError(
                f"expects {text}{got}",
                subject=type(self).__name__,
                hint="validate_args=False leaves this check out",
            )

    def checked(self, value: Any) -> Tensor:
        """A value whose shape fits, and which lies in the support; numbers become Tensors."""
        value = as_tensor(value, type(self).__name__)
        shape = (*self.batch_shape, *self.event_shape)
        for ours, its in zip(reversed(shape), reversed(value.shape)):
            if 1 not in (ours, its) and ours != its:
                raise ShapeError(
                    f"expects values of shape {shape}, got {value.shape}", subject=type(self).__name__
                )
        if value.ndim < len(self.event_shape):
            raise ShapeError(
                f"expects events of shape {self.event_shape}, got {value.shape}", subject=type(self).__name__
            )
        if self.validate_args and self.support is not None:
            self.expect(self.support.check(value), f"values in {self.support}", value)
        return value

    def checked_share(self, value: Any) -> Tensor:
        """A probability for `icdf`."""
        value = as_tensor(value, type(self).__name__)
        self.expect((value >= 0) & (value <= 1), "probabilities in [0, 1]", value)
        return value

    def __repr__(self) -> str:
        shown = (
            f"{name}: {value.item() if value.numel() == 1 and concrete(value.array) else value.shape}"
            for name, value in self.parameters().items()
        )
        return f"{type(self).__name__}({', '.join(shown)})"


answering_in_float32(Distribution)


class InverseSampled(Distribution):
    """A distribution that is drawn by the inverse of its distribution function, at uniform numbers."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """`icdf` of uniform numbers."""
        first = next(iter(self.parameters().values()))
        return self.icdf(open_uniform(first, self.shape_of_samples(sample_shape)))


class LazyProperty:
    """An attribute that is computed when it is first asked for, on the tape, unless it was set before."""

    def __init__(self, compute: Callable[[Any], Tensor]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, holder: Any, owner: Any = None) -> Any:
        if holder is None:
            return self
        with enable_grad():
            value = holder.__dict__[self.name] = self.compute(holder)
        return value


def lazy(compute: Callable[[Any], Tensor]) -> Any:
    """Decorate a method of no arguments into a `LazyProperty`."""
    return LazyProperty(compute)


def open_uniform(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers in (0, 1), in the element type of a Tensor."""
    smallest = 2.0**-12 if DType(like.dtype).itemsize == 2 else 2.0**-25
    return rand_like(like.detach().new_zeros(shape)).clamp(min=smallest)


def as_parameter(value: Any, subject: str) -> Tensor:
    """A parameter as a Tensor of floating-point numbers; a Tensor stays on the tape."""
    found = as_tensor(value, subject)
    return found if found.is_floating_point() else found * 1.0


def as_tensor(value: Any, subject: str) -> Tensor:
    """A value as a Tensor; a Tensor stays as it is."""
    if isinstance(value, Tensor):
        return value
    if not is_array(value) and not isinstance(value, int | float | list | tuple):
        raise DTypeError(f"expects Tensors or numbers, got {type(value).__name__}", subject=subject)
    return tensor(float(value)) if isinstance(value, int | float) else tensor(value)


def together(*values: Any, subject: str) -> list[Tensor]:
    """Parameters as Tensors of one shape; numbers take the element type of the Tensors."""
    found = [as_parameter(v, subject) for v in values]
    like = next((p.dtype for v, p in zip(values, found) if is_array(v)), None)
    return list(
        broadcast_tensors(*[p if is_array(v) or like is None else p.to(like) for v, p in zip(values, found)])
    )


def one_of(subject: str, **given: Any) -> tuple[str, Tensor]:
    """The name and the value of the one argument of several that is given."""
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        raise ArgumentError(
            f"expects one of {' and '.join(given)}, got {len(named)} of them", subject=subject
        )
    ((name, value),) = named.items()
    return name, as_parameter(value, subject)


def summed(values: Tensor, axes: int) -> Tensor:
    """The sum over that many last axes."""
    return values.sum(dim=tuple(range(-axes, 0))) if axes else values
