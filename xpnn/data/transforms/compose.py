"""Transforms made of transforms: one after the other, some of the time, one of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, DTypeError
from xpnn.data.transforms.base import (
    Transform,
    drawn_from,
    is_pillow,
    parts_of,
    probability,
    sometimes,
    transform_batch,
)

__all__ = ["Compose", "Identity", "Lambda", "OneOf", "RandomApply", "RandomChoice", "RandomOrder"]


class Compose(Transform):
    """One transform after the other; any callables on a sample.

    >>> from xpnn.data.transforms import Rescale, ToFloat
    >>> Compose([ToFloat(), Rescale(-1, 1)])(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = _callables(transforms, self)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images."""
        for transform in self.transforms:
            x = _called(transform, x, rng)
        return x

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform samples stacked along the first axis."""
        for transform in self.transforms:
            x = transform_batch(transform, x, rng)
        return x


class RandomApply(Compose):
    """All of the transforms with probability `p`, each sample by itself, else none.

    >>> from xpnn.data.transforms import Pad
    >>> RandomApply([Pad(1)], p=0.0)(np.ones((1, 1, 1))).shape
    (1, 1, 1)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = probability(p, self)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images."""
        rng = drawn_from(rng)
        if _is_batch(x):
            return Transform.__call__(self, x, rng)
        return super().__call__(x, rng) if rng.random() < self.p else x

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform samples stacked along the first axis."""
        rng = drawn_from(rng)
        return sometimes(x, self.p, rng, partial(super().batch, rng=rng), self)


class RandomChoice(Transform):
    """One of several transforms, drawn for each sample.

    Args:
        transforms: any callables on a sample.
        p: their probabilities, scaled to add up to 1; None is equal ones.

    >>> from xpnn.data.transforms import Pad
    >>> RandomChoice([Pad(1), Pad(2)], p=[0, 1])(np.ones((1, 1, 1))).shape
    (1, 5, 5)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: Sequence[float] | None = None) -> None:
        self.transforms = _callables(transforms, self)
        if not self.transforms:
            raise ArgumentError("expects at least one transform, got none", subject=type(self).__name__)
        given = np.ones(len(self.transforms)) if p is None else np.asarray(p, dtype=np.float64)
        if given.shape != (len(self.transforms),) or not (given >= 0).all() or not 0 < given.sum() < np.inf:
            raise ArgumentError(
                f"expects p as {len(self.transforms)} numbers >= 0, one for each transform, got {p}",
                subject=type(self).__name__,
            )
        self.p = (given / given.sum()).tolist()

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images."""
        rng = drawn_from(rng)
        if _is_batch(x):
            return super().__call__(x, rng)
        return _called(self.transforms[rng.choice(len(self.p), p=self.p)], x, rng)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform samples stacked along the first axis."""
        rng = drawn_from(rng)
        chosen = rng.choice(len(self.p), size=x.shape[0], p=self.p)
        groups = [
            (np.flatnonzero(chosen == number), partial(transform_batch, transform, rng=rng))
            for number, transform in enumerate(self.transforms)
        ]
        return parts_of(x, groups, type(self).__name__)


class OneOf(RandomChoice):
    """`RandomChoice` under the name that other libraries give it.

    >>> OneOf([lambda x: x + 1])(np.zeros((1, 1, 1))).tolist()
    [[[1.0]]]
    """


class RandomOrder(Compose):
    """All of the transforms in a random order, drawn for each call.

    >>> RandomOrder([lambda x: x + 1, lambda x: x + 2])(np.zeros((1, 1, 1))).tolist()
    [[[3.0]]]
    """

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images."""
        rng = drawn_from(rng)
        for number in rng.permutation(len(self.transforms)):
            x = _called(self.transforms[number], x, rng)
        return x

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform samples stacked along the first axis."""
        rng = drawn_from(rng)
        for number in rng.permutation(len(self.transforms)):
            x = transform_batch(self.transforms[number], x, rng)
        return x


class Lambda(Transform):
    """A function of one's own as a transform.

    Args:
        lambd: is called with a sample, in a batch with each of them.
        *types: it is applied to samples of these types only; none stands for all.

    >>> Lambda(lambda image: image * 2)(np.ones((1, 1, 2))).tolist()
    [[[2.0, 2.0]]]
    """

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        if not callable(lambd):
            raise DTypeError(f"expects a function, got {type(lambd).__name__}", subject="Lambda")
        self.lambd = lambd
        self.types = types or (object,)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Call the function with a sample."""
        return self.lambd(x) if isinstance(x, self.types) else x

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Call the function with each sample."""
        return transform_batch(self.__call__, x)


class Identity(Transform):
    """Images as they come.

    >>> Identity()(np.ones((1, 1, 1))).tolist()
    [[[1.0]]]
    """

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Give `x` back."""
        return x


def _callables(transforms: Any, owner: Transform) -> list[Callable[[Any], Any]]:
    listed = list(transforms)
    for transform in listed:
        if not callable(transform):
            raise DTypeError(
                f"expects a list of transforms, got {type(transform).__name__} among them",
                subject=type(owner).__name__,
            )
    return listed


def _called(transform: Callable[..., Any], x: Any, rng: np.random.Generator | None) -> Any:
    return transform(x, rng) if isinstance(transform, Transform) else transform(x)


def _is_batch(x: Any) -> bool:
    return not isinstance(x, Mapping) and not is_pillow(x) and getattr(x, "ndim", 0) == 4
