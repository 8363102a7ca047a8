"""What all distributions share: shapes, samples off the tape, and the checks of their arguments."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, no_grad, tensor
from xpnn.autograd.functions import broadcast_tensors
from xpnn.backend import ArgumentError, DTypeError, ShapeError, concrete, is_array

__all__ = ["Distribution"]


class Distribution:
    """A distribution of a batch of independent variables, each of them an event.

    Attributes:
        batch_shape: of the independent variables. event_shape: of what is drawn for each.
        has_rsample: whether gradients flow through `rsample` to the parameters.
    """

    has_rsample = False

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self.batch_shape = tuple(batch_shape)
        self.event_shape = tuple(event_shape)
        self.validate_args = validate_args is not False

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw, off the tape: (*sample_shape, *batch_shape, *event_shape), from the counter stream."""
        with no_grad():
            return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw so that gradients flow to the parameters. Raises: NotImplementedError where none can."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample; use sample() and log_prob()")

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the density, or probability, of each event."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def entropy(self) -> Tensor:
        """The entropy of each variable, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

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

    def expect(self, condition: Any, text: str) -> None:
        """Refuse arguments for which a condition fails somewhere; under `jax.jit` values are not read."""
        if self.validate_args and concrete(condition.array) and not bool(condition.all()):
            raise ArgumentError(f"expects {text}", subject=type(self).__name__)

    def checked(self, value: Any) -> Tensor:
        """A value whose shape fits; numbers become Tensors."""
        value = value if isinstance(value, Tensor) else as_parameter(value, type(self).__name__)
        shape = (*self.batch_shape, *self.event_shape)
        for ours, its in zip(reversed(shape), reversed(value.shape)):
            if 1 not in (ours, its) and ours != its:
                raise ShapeError(
                    f"expects values of shape {shape}, got {value.shape}", subject=type(self).__name__
                )
        return value


def as_parameter(value: Any, subject: str) -> Tensor:
    """A parameter as a Tensor; a Tensor stays on the tape."""
    if isinstance(value, Tensor):
        return value
    if not is_array(value) and not isinstance(value, int | float | list | tuple):
        raise DTypeError(f"expects Tensors or numbers, got {type(value).__name__}", subject=subject)
    return tensor(float(value)) if isinstance(value, int | float) else tensor(value)


def together(*values: Any, subject: str) -> list[Tensor]:
    """Parameters as Tensors of one shape."""
    found = [as_parameter(value, subject) for value in values]
    return list(broadcast_tensors(*found))
