"""The distribution of a function of random numbers."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import DTypeError, ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, summed
from xpnn.distributions.independent import Independent
from xpnn.distributions.transforms import ComposeTransform, Transform

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The distribution of y = f(x), x drawn from a distribution: ln p(y) = ln p(x) - ln |dy/dx|.

    Args:
        base_distribution: of x. transforms: f, or a list of which the first comes first.

    >>> from xpnn.distributions import ExpTransform, Normal
    >>> TransformedDistribution(Normal(0.0, 1.0), ExpTransform()).log_prob(1.0)
    tensor(-0.9189)
    """

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise DTypeError(f"expects transforms, got {transforms!r:.80}", subject=type(self).__name__)
        whole = ComposeTransform(self.transforms)
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        axes = len(base_distribution.event_shape)
        if len(shape) < whole.domain.event_dim:
            raise ShapeError(
                f"expects at least {whole.domain.event_dim} axes, got {shape}", subject=type(self).__name__
            )
        forward = whole.forward_shape(shape)
        wide = whole.inverse_shape(forward)  # what parameters of the transforms broadcast it to
        if wide != shape:
            base_distribution = base_distribution.expand(wide[: len(wide) - axes])
        more = whole.domain.event_dim - axes
        self.base_dist = Independent(base_distribution, more) if more > 0 else base_distribution
        event = max(whole.codomain.event_dim, axes + whole.codomain.event_dim - whole.domain.event_dim)
        cut = len(forward) - event
        super().__init__(forward[:cut], forward[cut:], validate_args)
        self.has_rsample = self.base_dist.has_rsample

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """What f maps to."""
        if not self.transforms:
            return self.base_dist.support
        region = self.transforms[-1].codomain
        more = len(self.event_shape) - region.event_dim
        return constraints.independent(region, more) if more > 0 else region

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution of a batch of that shape."""
        batch_shape = tuple(batch_shape)
        new = self.__class__.__new__(self.__class__)
        vars(new).update(vars(self))
        shape = ComposeTransform(self.transforms).inverse_shape((*batch_shape, *self.event_shape))
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new.batch_shape = batch_shape
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """f of what is drawn, off the tape."""
        with no_grad():
            return ComposeTransform(self.transforms)(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """f of what is drawn."""
        return ComposeTransform(self.transforms)(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """ln p(x) - ln |dy/dx| at the x of each value."""
        y = self.checked(value)
        axes, total = len(self.event_shape), None
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            axes += transform.domain.event_dim - transform.codomain.event_dim
            slope = summed(transform.log_abs_det_jacobian(x, y), axes - transform.domain.event_dim)
            total = -slope if total is None else total - slope
            y = x
        found = summed(self.base_dist.log_prob(y), axes - len(self.base_dist.event_shape))
        return found if total is None else found + total

    def cdf(self, value: Any) -> Tensor:
        """The probability of at most x, or more where f falls."""
        y = self.checked(value)
        for transform in reversed(self.transforms):
            y = transform.inv(y)
        return self._turned(self.base_dist.cdf(y))

    def icdf(self, value: Any) -> Tensor:
        """f of what the distribution of x has for that."""
        x = self.base_dist.icdf(self._turned(self.checked_share(value)))
        return ComposeTransform(self.transforms)(x)

    def _turned(self, share: Tensor) -> Tensor:
        sign = ComposeTransform(self.transforms).sign
        return share if isinstance(sign, int) and sign == 1 else sign * (share - 0.5) + 0.5

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"
