"""Transforms from all real numbers into a region, by which its parameters are optimized or drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.backend import ArgumentError, XpnnError
from xpnn.distributions import constraints, transforms
from xpnn.distributions.constraints import Constraint
from xpnn.distributions.transforms import Transform

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class NoTransformError(XpnnError, NotImplementedError):
    """A region that no transform into is registered for."""


class ConstraintRegistry:
    """Which transform leads into a region, by the region's class.

    >>> from xpnn.autograd import tensor
    >>> transform_to(constraints.positive)(tensor([0.0]))
    tensor([1.])
    """

    def __init__(self) -> None:
        self._makers: dict[type, Callable[[Any], Transform]] = {}

    def register(self, constraint: Any, factory: Callable[[Any], Transform] | None = None) -> Any:
        """Name the function that makes the transform of a region of this class; it decorates one, too."""
        if factory is None:
            return lambda function: self.register(constraint, function)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(kind, Constraint):
            raise ArgumentError(f"expects a constraint, got {constraint!r:.60}", subject="register")
        self._makers[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        """The transform into the region. Raises: NoTransformError where none is registered."""
        maker = self._makers.get(type(constraint))
        if maker is None:
            raise NoTransformError(
                f"knows no transform into {constraint!r:.60}",
                subject="The registry of constraints",
                hint="register(constraint, maker) adds one",
            )
        return maker(constraint)


# One to one, as densities need it; and whichever is simplest, as optimizers like it.
biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _from(region: Any) -> Transform:
    """e to the numbers, behind a lower bound."""
    return _moved(transforms.ExpTransform(), region.lower_bound, 1)


def _below(region: Any) -> Transform:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(region.upper_bound, -1)]
    )


def _between(region: Any) -> Transform:
    low, high = region.lower_bound, region.upper_bound
    return _moved(transforms.SigmoidTransform(), low, high - low)


def _moved(transform: Transform, loc: Any, scale: Any) -> Transform:
    plain = isinstance(loc, int | float) and isinstance(scale, int | float) and (loc, scale) == (0, 1)
    return (
        transform
        if plain
        else transforms.ComposeTransform([transform, transforms.AffineTransform(loc, scale)])
    )


def _register_common(registry: ConstraintRegistry) -> None:
    """What the two registries share."""

    def of_parts(region: Any) -> list[Transform]:
        return [registry(part) for part in region.cseq]

    registry.register(constraints.real, lambda region: transforms.identity_transform)
    registry.register(constraints.greater_than, _from)
    registry.register(constraints.greater_than_eq, _from)
    registry.register(constraints.less_than, _below)
    registry.register(constraints.interval, _between)
    registry.register(constraints.half_open_interval, _between)
    registry.register(
        constraints.independent,
        lambda region: transforms.IndependentTransform(
            registry(region.base_constraint), region.reinterpreted_batch_ndims
        ),
    )
    registry.register(constraints.corr_cholesky, lambda region: transforms.CorrCholeskyTransform())
    registry.register(
        constraints.cat, lambda region: transforms.CatTransform(of_parts(region), region.dim, region.lengths)
    )
    registry.register(
        constraints.stack, lambda region: transforms.StackTransform(of_parts(region), region.dim)
    )


_register_common(biject_to)
_register_common(transform_to)
biject_to.register(constraints.simplex, lambda region: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda region: transforms.SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda region: transforms.LowerCholeskyTransform())
transform_to.register(constraints.positive_definite, lambda region: transforms.PositiveDefiniteTransform())
