"""Invertible functions that carry one distribution over to another: `torch.distributions.transforms`."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Self

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import broadcast_shapes, cat, stack
from xpnn.backend import ArgumentError, RefusingConstructor, ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, summed

__all__ = [
    *("AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform"),
    *("CumulativeDistributionTransform", "ExpTransform", "IndependentTransform"),
    *("LowerCholeskyTransform", "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform"),
    *("SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StackTransform"),
    *("StickBreakingTransform", "TanhTransform", "Transform", "identity_transform"),
]


class Transform(RefusingConstructor):
    """A function y of x, its inverse `inv`, and the logarithm of how much it stretches.

    A subclass gives `_call(x)`, `_inverse(y)` and `log_abs_det_jacobian(x, y)`.

    Args:
        cache_size: 1 remembers the last pair, so that the inverse of what was just computed is exact.

    Attributes:
        domain, codomain: what x and y may be. bijective: whether there is one x for each y.
        sign: 1 or -1 where y grows or falls with x.
    """

    bijective = False
    domain: Any = constraints.real
    codomain: Any = constraints.real
    _sign: Any = None

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ArgumentError(f"expects cache_size 0 or 1, got {cache_size!r:.40}", subject="Transform")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

    @property
    def inv(self) -> Transform:
        """The inverse, x of y."""
        return _Inverse(self)

    @property
    def sign(self) -> Any:
        """1 or -1: whether y grows or falls with x. Raises: NotImplementedError where neither holds."""
        if self._sign is None:
            raise NotImplementedError(f"{type(self).__name__} neither grows nor falls throughout")
        return self._sign

    def with_cache(self, cache_size: int = 1) -> Self:
        """The same transform with that cache."""
        if cache_size == self._cache_size:
            return self
        new = copy.copy(self)
        Transform.__init__(new, cache_size)
        return new

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size and x is self._last[0]:
            return self._last[1]
        y = self._call(x)
        if self._cache_size:
            self._last = (x, y)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size and y is self._last[1]:
            return self._last[0]
        x = self._inverse(y)
        if self._cache_size:
            self._last = (x, y)
        return x

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _call")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """ln |dy/dx|, of the determinant where x has axes of an event."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """The shape of y for that of x."""
        return tuple(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """The shape of x for that of y."""
        return tuple(shape)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._alike(other)

    __hash__ = object.__hash__

    def _alike(self, other: Any) -> bool:
        """Whether another transform of this class has the same parameters."""
        return self is other or {*vars(self)} == {"_cache_size", "_last"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """The inverse of a transform."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(transform._cache_size)
        self._inv = transform

    bijective = property(lambda self: self._inv.bijective)  # type: ignore[assignment]
    domain = property(lambda self: self._inv.codomain)  # type: ignore[assignment]
    codomain = property(lambda self: self._inv.domain)  # type: ignore[assignment]
    sign = property(lambda self: self._inv.sign)
    inv = property(lambda self: self._inv)

    def with_cache(self, cache_size: int = 1) -> Self:
        return self if cache_size == self._cache_size else type(self)(self._inv.with_cache(cache_size))

    def __call__(self, x: Tensor) -> Tensor:
        return self._inv._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._inv(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        return self._inv.forward_shape(shape)

    def _alike(self, other: Any) -> bool:
        return self._inv == other._inv

    def __repr__(self) -> str:
        return f"{self._inv}.inv"


class ComposeTransform(Transform):
    """Transforms one after another, the first of the list first.

    >>> from xpnn.autograd import tensor
    >>> ComposeTransform([ExpTransform(), AffineTransform(1.0, 2.0)])(tensor(0.0))
    tensor(3.)
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = [part.with_cache(cache_size) if cache_size else part for part in parts]

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(part.bijective for part in self.parts)

    @property
    def sign(self) -> Any:
        """The product of theirs."""
        return math.prod(part.sign for part in self.parts)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """That of the first, with the axes that the others need."""
        if not self.parts:
            return constraints.real
        dim = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            dim = max(dim + part.domain.event_dim - part.codomain.event_dim, part.domain.event_dim)
        return _with_axes(self.parts[0].domain, dim)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """That of the last, with the axes that the others need."""
        if not self.parts:
            return constraints.real
        dim = self.parts[0].domain.event_dim
        for part in self.parts:
            dim = max(dim + part.codomain.event_dim - part.domain.event_dim, part.codomain.event_dim)
        return _with_axes(self.parts[-1].codomain, dim)

    @property
    def inv(self) -> Transform:
        """The inverses, the last first."""
        return ComposeTransform([part.inv for part in reversed(self.parts)], self._cache_size)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transforms with that cache."""
        return self if cache_size == self._cache_size else ComposeTransform(self.parts, cache_size)

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inv_call(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of theirs, each summed over the axes of an event."""
        if not self.parts:
            return x * 0
        dim, total = self.domain.event_dim, None
        for part in self.parts:
            value = part(x)
            term = summed(part.log_abs_det_jacobian(x, value), dim - part.domain.event_dim)
            total = term if total is None else total + term
            dim += part.codomain.event_dim - part.domain.event_dim
            x = value
        assert total is not None
        return total

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """Through all of them."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """Back through all of them."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return tuple(shape)

    def _alike(self, other: Any) -> bool:
        return self.parts == other.parts

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


class IndependentTransform(Transform):
    """A transform whose last axes count as one event: its stretching is summed over them."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size) if cache_size else base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """That of the parts."""
        return self.base_transform.bijective

    @property
    def sign(self) -> Any:
        """That of the parts."""
        return self.base_transform.sign

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """That of the parts, with the axes."""
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """That of the parts, with the axes."""
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum over the axes of an event."""
        return summed(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """That of the parts."""
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """That of the parts."""
        return self.base_transform.inverse_shape(shape)

    def _alike(self, other: Any) -> bool:
        ours, theirs = self.reinterpreted_batch_ndims, other.reinterpreted_batch_ndims
        return ours == theirs and self.base_transform == other.base_transform

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """Another shape of an event.

    Args:
        in_shape, out_shape: of the event, of as many elements.
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ShapeError(
                f"expects shapes of as many elements, got {self.in_shape} and {self.out_shape}",
                subject="ReshapeTransform",
            )

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """Numbers, with the axes of `in_shape`."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """Numbers, with the axes of `out_shape`."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """0."""
        return x.new_zeros(x.shape[: x.ndim - len(self.in_shape)])

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """With `out_shape` at the end."""
        return self._exchanged(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """With `in_shape` at the end."""
        return self._exchanged(shape, self.out_shape, self.in_shape)

    def _exchanged(self, shape: Any, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
        cut = len(shape) - len(old)
        if cut < 0 or tuple(shape[cut:]) != old:
            raise ShapeError(f"expects a shape (..., {old}), got {tuple(shape)}", subject="ReshapeTransform")
        return (*shape[:cut], *new)

    def _alike(self, other: Any) -> bool:
        return (self.in_shape, self.out_shape) == (other.in_shape, other.out_shape)


class ExpTransform(Transform):
    """y = e^x."""

    codomain = constraints.positive
    bijective, _sign = True, 1

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """x."""
        return x


class PowerTransform(Transform):
    """y = x^exponent, x > 0."""

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    @property
    def sign(self) -> Any:
        """That of the exponent."""
        return _sign_of(self.exponent)

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """ln |exponent y / x|."""
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """Broadcast with the exponent's."""
        return tuple(broadcast_shapes(shape, getattr(self.exponent, "shape", ())))

    inverse_shape = forward_shape

    def _alike(self, other: Any) -> bool:
        return _same(self.exponent, other.exponent)


class SoftplusTransform(Transform):
    """y = ln(1 + e^x)."""

    codomain = constraints.positive
    bijective, _sign = True, 1

    def _call(self, x: Tensor) -> Tensor:
        return F.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """-ln(1 + e^-x)."""
        return -F.softplus(-x)


class TanhTransform(Transform):
    """y = tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)
    bijective, _sign = True, 1

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """ln(1 - tanh(x)^2), computed as 2 (ln 2 - x - ln(1 + e^(-2 x)))."""
        return 2 * (math.log(2) - x - F.softplus(-2 * x))


class SigmoidTransform(Transform):
    """y = 1 / (1 + e^-x), kept off 0 and 1."""

    codomain = constraints.unit_interval
    bijective, _sign = True, 1

    def _call(self, x: Tensor) -> Tensor:
        return inside(x.sigmoid())

    def _inverse(self, y: Tensor) -> Tensor:
        y = inside(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """-ln(1 + e^-x) - ln(1 + e^x)."""
        return -F.softplus(-x) - F.softplus(x)


class AbsTransform(Transform):
    """y = |x|, which has no inverse; y itself is given for it."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """y = loc + scale x.

    Args:
        loc, scale: numbers or Tensors. event_dim: how many last axes of x are one event.
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """Numbers, with the axes of an event."""
        return _with_axes(constraints.real, self.event_dim)

    codomain = domain  # type: ignore[assignment]

    @property
    def sign(self) -> Any:
        """That of `scale`."""
        return _sign_of(self.scale)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """ln |scale|."""
        scale = self.scale if isinstance(self.scale, Tensor) else x.new_ones(()) * self.scale
        stretch = scale.abs().log().expand(broadcast_shapes(x.shape, scale.shape))
        return summed(stretch, self.event_dim)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """Broadcast with the parameters'."""
        shapes = [getattr(value, "shape", ()) for value in (self.loc, self.scale)]
        return tuple(broadcast_shapes(shape, *shapes))

    inverse_shape = forward_shape

    def _alike(self, other: Any) -> bool:
        return _same(self.loc, other.loc) and _same(self.scale, other.scale)


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last axis; for an inverse the logarithm is given."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return x.softmax(dim=-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(Transform):
    """n numbers to n + 1 probabilities: each takes its share, a sigmoid, of what is left of a stick of 1."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        share = inside((x - self._left(x)).sigmoid())
        rest = (1 - share).cumprod(dim=-1)
        return F.pad(share, (0, 1), value=1.0) * F.pad(rest, (1, 0), value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        cut = y[..., :-1]
        rest = (1 - cut.cumsum(dim=-1)).clamp(min=_smallest(y))
        return cut.log() - rest.log() + self._left(cut)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of ln(y_i (1 - share_i))."""
        off = x - self._left(x)
        return (-off + -F.softplus(-off) + y[..., :-1].log()).sum(dim=-1)

    @staticmethod
    def _left(x: Tensor) -> Tensor:
        """The logarithm of how many pieces there are to come."""
        n = x.shape[-1]
        return (n + 1 - x.new_ones(n).cumsum(dim=-1)).log()

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """One more."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """One less."""
        return (*shape[:-1], shape[-1] - 1)


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the lower triangular factor of a correlation matrix (n, n).

    Their tanh are partial correlations r: L_ij is r_ij times the root of what the row has left, which is the
    product of 1 - r_ik^2 over k < j.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        partial = self._below(x.tanh(), self._size_of(x.shape[-1]))
        rest = F.pad((1 - partial * partial).cumprod(dim=-1).sqrt(), (1, 0), value=1.0)[..., :-1]
        return partial * rest + rest.diagonal(dim1=-2, dim2=-1).diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        used = F.pad((y * y).cumsum(dim=-1), (1, 0), value=0.0)[..., :-1]
        rows, columns = self._places(y.shape[-1])
        rest = (1 - used[..., rows, columns]).clamp(min=_smallest(y))
        return (y[..., rows, columns] / rest.sqrt()).atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of ln(1 - r_ij^2), and of half of ln(1 - r_ik^2) over k < j < i."""
        n = self._size_of(x.shape[-1])
        logarithms = 2 * (math.log(2) - x - F.softplus(-2 * x))
        before = self._below(logarithms, n).cumsum(dim=-1) - self._below(logarithms, n)
        rows, columns = self._places(n)
        return (before[..., rows, columns] / 2 + logarithms).sum(dim=-1)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """(..., n (n - 1) / 2) to (..., n, n)."""
        n = self._size_of(shape[-1])
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """(..., n, n) to (..., n (n - 1) / 2)."""
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)

    @staticmethod
    def _size_of(count: int) -> int:
        n = (1 + math.isqrt(1 + 8 * count)) // 2
        if n * (n - 1) // 2 != count:
            raise ShapeError(f"expects n (n - 1) / 2 numbers, got {count}", subject="CorrCholeskyTransform")
        return n

    @staticmethod
    def _places(n: int) -> tuple[list[int], list[int]]:
        """The rows and the columns of what is below the diagonal, row after row."""
        rows = [i for i in range(n) for _ in range(i)]
        return rows, [j for i in range(n) for j in range(i)]

    def _below(self, x: Tensor, n: int) -> Tensor:
        """Matrices with the numbers below their diagonal, row after row, and zeros elsewhere."""
        at = [i * (i - 1) // 2 + j if j < i else 0 for i in range(n) for j in range(n)]
        spread = x[..., at] if x.shape[-1] else x.new_zeros((*x.shape[:-1], n * n))
        return spread.reshape((*x.shape[:-1], n, n)).tril(-1)


class LowerCholeskyTransform(Transform):
    """Square matrices to lower triangular ones of positive diagonal, which is e to that of x."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Square matrices to positive definite ones: L L^T for the L of `LowerCholeskyTransform`."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        xp = y.__array_namespace__()
        return LowerCholeskyTransform().inv(xp.linalg.cholesky(y))


class CatTransform(Transform):
    """A transform for each piece of an axis.

    Args:
        tseq: the transforms. dim: the axis. lengths: of the pieces; 1 each if not given.
    """

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Any = None, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.transforms, self.dim = [t.with_cache(cache_size) for t in tseq], dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """Theirs, piece by piece."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """Theirs, piece by piece."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _pieces(self, values: Tensor) -> list[Tensor]:
        return list(values.split(self.lengths, self.dim))

    def _call(self, x: Tensor) -> Tensor:
        return cat([t(piece) for t, piece in zip(self.transforms, self._pieces(x))], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return cat([t.inv(piece) for t, piece in zip(self.transforms, self._pieces(y))], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Theirs, joined along the axis, or summed where it belongs to the event."""
        found = []
        for t, a, b in zip(self.transforms, self._pieces(x), self._pieces(y)):
            found.append(summed(t.log_abs_det_jacobian(a, b), self.domain.event_dim - t.domain.event_dim))
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.domain.event_dim
        return cat(found, dim) if dim < 0 else sum(found[1:], found[0])


class StackTransform(Transform):
    """A transform for each index of an axis.

    Args:
        tseq: the transforms. dim: the axis.
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.transforms, self.dim = [t.with_cache(cache_size) for t in tseq], dim

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """Theirs, index by index."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """Theirs, index by index."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _call(self, x: Tensor) -> Tensor:
        return stack([t(part) for t, part in zip(self.transforms, x.unbind(self.dim))], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return stack([t.inv(part) for t, part in zip(self.transforms, y.unbind(self.dim))], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Theirs, stacked along the axis."""
        parts = zip(self.transforms, x.unbind(self.dim), y.unbind(self.dim))
        return stack([t.log_abs_det_jacobian(a, b) for t, a, b in parts], self.dim)


class CumulativeDistributionTransform(Transform):
    """y = the distribution function of a distribution at x."""

    codomain = constraints.unit_interval
    bijective, _sign = True, 1

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """The support of the distribution."""
        return self.distribution.support

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The logarithm of the density."""
        return self.distribution.log_prob(x)

    def _alike(self, other: Any) -> bool:
        return self.distribution is other.distribution


identity_transform = ComposeTransform([])


def inside(shares: Tensor) -> Tensor:
    """Probabilities kept off 0 and 1."""
    smallest = _smallest(shares)
    epsilon = float(shares.__array_namespace__().finfo(shares.dtype).eps)
    return shares.clamp(smallest, 1 - epsilon)


def _smallest(values: Tensor) -> float:
    return float(values.__array_namespace__().finfo(values.dtype).smallest_normal)


def _with_axes(region: Any, axes: int) -> Any:
    more = axes - region.event_dim
    return constraints.independent(region, more) if more else region


def _sign_of(value: Any) -> Any:
    return value.sign() if isinstance(value, Tensor) else (value > 0) - (value < 0)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        equal = a == b
        return bool(equal.all()) if isinstance(equal, Tensor) else bool(equal)
    return a == b
