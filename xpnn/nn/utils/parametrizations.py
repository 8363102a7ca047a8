"""Parametrizations of weights that are often used: weight norm, spectral norm, orthogonal matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.autograd import Tensor, no_grad, xp
from xpnn.backend import ArgumentError, ShapeError
from xpnn.functional.arguments import axis_of, number, whole
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer, copy_like, full
from xpnn.nn.utils.parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length and direction of a weight apart: w = g v / ||v||.

    Args:
        module: has the Parameter `name`; its lengths g become `parametrizations.weight.original0`, and v
            `parametrizations.weight.original1`.
        name: which one.
        dim: the axis that has a length for each of its places; None is one length for all.

    Returns: the module.

    See: Salimans & Kingma (2016), "Weight normalization".

    >>> from xpnn import nn
    >>> [p.shape for p in weight_norm(nn.Linear(3, 2, bias=False)).parameters()]
    [(2, 1), (2, 3)]
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        self.dim = dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        return v * (g / norm_except(v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def norm_except(v: Tensor, dim: int | None) -> Tensor:
    """The norm over all axes but `dim`, which stay with size 1; over all for None and, as in PyTorch, -1."""
    if dim is None or dim == -1:
        return xp.linalg.vector_norm(v)
    axis = axis_of(dim, v.ndim, "weight_norm")
    others = tuple(i for i in range(v.ndim) if i != axis)
    return xp.linalg.vector_norm(v, axis=others, keepdims=True) if others else abs(v)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, so that the layer stretches nothing: w / sigma(w).

    sigma is estimated by power iteration, which goes on by `n_power_iterations` at each call in training.

    Args:
        module: has the Parameter `name`.
        name: which one.
        n_power_iterations: steps a call, at least 1.
        eps: added to norms before a division.
        dim: the axis of the outputs; None is 0, and 1 for transposed convolutions.

    Returns: the module.

    See: Miyato, Kataoka, Koyama & Yoshida (2018), "Spectral normalization for generative adversarial
    networks".

    >>> from xpnn import nn
    >>> layer = spectral_norm(nn.Linear(4, 4))
    >>> sorted(layer.state_dict())[-1]
    'parametrizations.weight.original'
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"finds no Parameter '{name}'", subject="spectral_norm")
    iteration = PowerIteration.of(module, weight, n_power_iterations, eps, dim)
    return register_parametrization(module, name, _SpectralNorm(weight, iteration))


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, iteration: PowerIteration) -> None:
        self.iteration = iteration
        if weight.ndim > 1:
            self._u, self._v = map(Buffer, iteration.start(weight.detach()))

    def forward(self, weight: Tensor) -> Tensor:  # type: ignore[override]
        if weight.ndim == 1:
            return _normalized(weight, self.iteration.eps)
        if self.training:
            self.iteration.advance(weight, self._u, self._v)
        return weight / self.iteration.sigma(weight, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


class PowerIteration(NamedTuple):
    """How the largest singular value of a weight is estimated: by vectors u, v that turn to its direction."""

    steps: int
    eps: float
    dim: int
    v_first: bool = False  # which of the vectors is turned first

    @classmethod
    def of(cls, module: Module, weight: Tensor, steps: int, eps: float, dim: int | None) -> PowerIteration:
        """With the arguments of `spectral_norm`, checked."""
        subject = "spectral_norm"
        if whole(steps, "n_power_iterations", subject) < 1:
            raise ArgumentError(f"expects n_power_iterations of at least 1, got {steps}", subject=subject)
        if dim is None:
            dim = 1 if "ConvTranspose" in type(module).__name__ else 0
        return cls(steps, number(eps, "eps", subject), axis_of(dim, weight.ndim, subject))

    def start(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors that 15 steps have turned."""
        matrix = self._as_matrix(weight.detach())
        vectors = []
        for size in matrix.shape:
            drawn = Buffer(full((size,), 0.0, None, None))
            init.normal_(drawn)
            vectors.append(Buffer(copy_like(drawn.array, matrix.array)))
        u, v = vectors
        self._turn(matrix, u, v, 15)
        return u, v

    def advance(self, weight: Tensor, u: Tensor, v: Tensor) -> None:
        """Turn u and v, in place, by the steps of one call."""
        self._turn(self._as_matrix(weight.detach()), u, v, self.steps)

    def sigma(self, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """u^T W v, with a gradient for the weight."""
        return xp.vecdot(u.clone(), self._as_matrix(weight) @ v.clone())

    def _turn(self, matrix: Tensor, u: Tensor, v: Tensor, steps: int) -> None:
        with no_grad():
            left, right = u.clone(), v.clone()
            for _ in range(steps):
                if self.v_first:
                    right = _normalized(matrix.mT @ left, self.eps)
                left = _normalized(matrix @ right, self.eps)
                if not self.v_first:
                    right = _normalized(matrix.mT @ left, self.eps)
            u.store(left.array)
            v.store(right.array)

    def _as_matrix(self, weight: Tensor) -> Tensor:
        axes = (self.dim, *(i for i in range(weight.ndim) if i != self.dim))
        turned = xp.permute_dims(weight, axes)
        return xp.reshape(turned, (turned.shape[0], -1))


def _normalized(x: Tensor, eps: float) -> Any:
    norm = xp.linalg.vector_norm(x)
    return x / xp.maximum(norm, xp.full_like(norm, eps))


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a weight's rows, or its columns where there are more rows, orthogonal and of length 1.

    The map takes a matrix X, of which it uses the part below the diagonal, to an orthogonal Q:

        "matrix_exp"    Q = exp(A) with A = L - L^T, L = tril(X)
        "cayley"        Q = (I + A / 2)^-1 (I - A / 2)

    Args:
        module: has the Parameter `name`, of at least two axes; its last two make the matrix.
        name: which one.
        orthogonal_map: "matrix_exp" (also for None) or "cayley". PyTorch's "householder" is not there.
        use_trivialization: whether Q is multiplied by an orthogonal matrix that is made of the weight as it
            is now, so that training starts there.

    Returns: the module.

    Raises: ArgumentError for another map; ShapeError for fewer than two axes.

    See: Lezcano-Casado & Martínez-Rubio (2019), "Cheap orthogonal constraints in neural networks"; Lezcano-
    Casado (2019), "Trivializations for gradient-based optimization on manifolds".

    >>> from xpnn import nn
    >>> w = orthogonal(nn.Linear(3, 2)).weight
    >>> abs((w @ w.mT).tolist()[0][1]) < 1e-5
    True
    """
    chosen = "matrix_exp" if orthogonal_map is None else orthogonal_map
    if chosen not in ("matrix_exp", "cayley"):
        raise ArgumentError(
            f"expects orthogonal_map='matrix_exp' or 'cayley', got {orthogonal_map!r}", subject="orthogonal"
        )
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise ShapeError(f"expects a Parameter '{name}' of at least 2 axes", subject="orthogonal")
    return register_parametrization(
        module, name, _Orthogonal(weight, chosen, use_trivialization), unsafe=True
    )


class _Orthogonal(Module):
    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.base = Buffer(_orthogonal_base(weight))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        wide = x.shape[-1] > x.shape[-2]
        tall: Any = x.mT if wide else x
        rows, columns = tall.shape[-2:]
        lower = xp.tril(tall)
        if rows > columns:
            rest = xp.zeros((*tall.shape[:-1], rows - columns), dtype=x.dtype, device=x.device)
            lower = xp.concat([lower, rest], axis=-1)
        skew = lower - lower.mT
        unit = xp.eye(rows, dtype=x.dtype, device=x.device)
        if self.orthogonal_map == "cayley":
            q = xp.linalg.solve(unit + 0.5 * skew, unit - 0.5 * skew)
        else:
            q = _exponential(skew, unit)
        q = q[..., :columns]
        if "base" in vars(self):
            q = self.base.clone() @ q
        return q.mT if wide else q

    def right_inverse(self, value: Tensor) -> Tensor:
        if "base" not in vars(self):
            raise NotImplementedError("an orthogonal weight has no inverse without use_trivialization")
        self.base.store(_orthogonal_base(value).array)
        diagonal = -xp.eye(*value.shape[-2:], dtype=value.dtype, device=value.device)
        return xp.broadcast_to(diagonal, value.shape)


def _orthogonal_base(weight: Tensor) -> Tensor:
    """A square orthogonal matrix that begins with the weight's columns, made orthogonal to each other."""
    with no_grad():
        tall: Any = weight.detach()
        tall = tall.mT if tall.shape[-1] > tall.shape[-2] else tall
        q, r = xp.linalg.qr(tall)
        q = q * xp.sign(xp.linalg.diagonal(r))[..., None, :]
        u, _, _ = xp.linalg.svd(q, full_matrices=True)
        return xp.concat([q, u[..., q.shape[-1] :]], axis=-1)


def _exponential(skew: Tensor, unit: Tensor) -> Any:
    """The matrix exponential, by a Taylor series of a small part of the matrix that is squared again."""
    squarings = 10
    x, term = skew / 2.0**squarings, unit
    total: Any = unit
    for i in range(1, 9):
        term = (term @ x) / float(i)
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total
