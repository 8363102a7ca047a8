"""`xpnn.linalg` against `torch.linalg`: values and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import DTypeError, ShapeError, XpnnError

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
TALL, WIDE, VECTOR = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 4)), RNG.standard_normal(3)
SQUARE = RNG.standard_normal((2, 3, 3)) + 2 * np.eye(3)
DEFINITE = SQUARE @ SQUARE.transpose(0, 2, 1) + np.eye(3)
INF = float("inf")

Call = Callable[..., Any]

# What is asked of a module and of Tensors, the same words for both libraries.
CALLS: dict[str, tuple[Call, tuple[Any, ...]]] = {
    "vector_norm": (lambda m, x: m.linalg.vector_norm(x, dim=(0, 2)), (SQUARE,)),
    "vector_norm 3": (lambda m, x: m.linalg.vector_norm(x, 3, 1, True), (SQUARE,)),
    "vector_norm inf": (lambda m, x: m.linalg.vector_norm(x, ord=INF), (VECTOR,)),
    "matrix_norm": (lambda m, x: m.linalg.matrix_norm(x), (SQUARE,)),
    "matrix_norm nuc": (lambda m, x: m.linalg.matrix_norm(x, "nuc", keepdim=True), (SQUARE,)),
    "matrix_norm 1": (lambda m, x: m.linalg.matrix_norm(x, 1, (0, 1)), (SQUARE,)),
    "matrix_norm -2": (lambda m, x: m.linalg.matrix_norm(x, -2), (SQUARE,)),
    "norm": (lambda m, x: m.linalg.norm(x), (SQUARE,)),
    "norm inf": (lambda m, x: m.linalg.norm(x, INF), (TALL,)),
    "norm dim": (lambda m, x: m.linalg.norm(x, 1, 0), (TALL,)),
    "norm dims": (lambda m, x: m.linalg.norm(x, 2, (0, 1)), (TALL,)),
    "cond": (lambda m, x: m.linalg.cond(x), (SQUARE,)),
    "vecdot": (lambda m, x, y: m.linalg.vecdot(x, y, dim=0), (TALL, VECTOR)),
    "cross": (lambda m, x, y: m.linalg.cross(x, y), (TALL, RNG.standard_normal((4, 3)))),
    "diagonal": (lambda m, x: m.linalg.diagonal(x, offset=1), (SQUARE,)),
    "multi_dot": (lambda m, v, x, y: m.linalg.multi_dot([v, x, y]), (VECTOR, WIDE, TALL)),
    "matmul": (lambda m, x, y: m.linalg.matmul(x, y), (WIDE, TALL)),
    "matrix_exp": (lambda m, x: m.linalg.matrix_exp(x), (SQUARE,)),
    "matrix_power": (lambda m, x: m.linalg.matrix_power(x, -2), (SQUARE,)),
    "inv": (lambda m, x: m.linalg.inv(x), (SQUARE,)),
    "solve": (lambda m, x, y: m.linalg.solve(x, y), (SQUARE, WIDE)),
    "solve vector": (lambda m, x, y: m.linalg.solve(x, y), (SQUARE, VECTOR)),
    "solve right": (lambda m, x, y: m.linalg.solve(x, y, left=False), (SQUARE, TALL)),
    "solve_triangular": (lambda m, x, y: m.linalg.solve_triangular(x, y, upper=True), (SQUARE, WIDE)),
    "solve_triangular unit": (
        lambda m, x, y: m.linalg.solve_triangular(x, y, upper=False, left=False, unitriangular=True),
        (SQUARE, TALL),
    ),
    "det": (lambda m, x: m.linalg.det(x), (SQUARE,)),
    "slogdet": (lambda m, x: m.linalg.slogdet(x).logabsdet, (SQUARE,)),
    "cholesky": (lambda m, x: m.linalg.cholesky(x @ x.mT), (SQUARE,)),
    "qr": (lambda m, x: m.linalg.qr(x).R ** 2, (TALL,)),
    "svd": (lambda m, x: (m.linalg.svd(x, False).U ** 2) @ m.linalg.svd(x, False).S, (TALL,)),
    "svdvals": (lambda m, x: m.linalg.svdvals(x), (TALL,)),
    "eigh": (lambda m, x: m.linalg.eigh(x + x.mT).eigenvectors ** 2, (SQUARE,)),
    "eigvalsh": (lambda m, x: m.linalg.eigvalsh(x + x.mT, "U"), (SQUARE,)),
    "eig": (lambda m, x: m.linalg.eig(x).eigenvectors.abs() ** 2, (SQUARE,)),
    "eigvals": (lambda m, x: m.linalg.eigvals(x).abs().sum(-1), (SQUARE,)),
    "lu": (lambda m, x: m.linalg.lu(x).L ** 2 @ m.linalg.lu(x).U, (TALL,)),
    "lu wide": (lambda m, x: m.linalg.lu(x).L ** 2 @ m.linalg.lu(x).U, (WIDE,)),
    "lu_factor": (lambda m, x: m.linalg.lu_factor(x).LU, (SQUARE,)),
    "lu_solve": (lambda m, x, y: m.linalg.lu_solve(*m.linalg.lu_factor(x), y), (SQUARE, WIDE)),
    "lu_solve adjoint": (
        lambda m, x, y: m.linalg.lu_solve(*m.linalg.lu_factor(x), y, left=False, adjoint=True),
        (SQUARE, TALL),
    ),
    "lu_unpack": (lambda m, x: sum(m.lu_unpack(*m.linalg.lu_factor(x))), (SQUARE,)),
    "pinv": (lambda m, x: m.linalg.pinv(x), (TALL,)),
    "lstsq": (lambda m, x, y: m.linalg.lstsq(x, y).solution, (TALL, RNG.standard_normal((4, 2)))),
    "torch.svd": (lambda m, x: (m.svd(x).V ** 2) @ m.svd(x).S, (TALL,)),
    "torch.qr": (lambda m, x: m.qr(x).R ** 2, (TALL,)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:torch.qr is deprecated")
def test_against_pytorch(name: str, backend: Target) -> None:
    call, inputs = CALLS[name]
    mine = [xpnn.Tensor(backend.array(x), requires_grad=True) for x in inputs]
    theirs = [torch.tensor(x, requires_grad=True) for x in inputs]
    result, expected = call(xpnn, *mine), call(torch, *theirs)
    close(result, expected)
    first = xpnn.grad((result**2).sum(), mine, create_graph=True)
    their_first = torch.autograd.grad((expected**2).sum(), theirs, create_graph=True)
    for a, b in zip(first, their_first):
        close(a, b, 1e-8)
    second = xpnn.grad(sum((g**2).sum() for g in first), mine)
    for a, b in zip(second, torch.autograd.grad(sum((g**2).sum() for g in their_first), theirs)):
        close(a, b, 1e-6)


def close(mine: Any, theirs: Any, rtol: float = 1e-9) -> None:
    expected = theirs.detach().numpy()
    assert mine.shape == expected.shape
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(xpnn.to_numpy(mine.detach()) / scale, expected / scale, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_gradient_of_singular_determinants(rank: int, backend: Target) -> None:
    """The cofactors, and their derivatives, by differences."""
    left = RNG.standard_normal((3, rank))
    x = left @ RNG.standard_normal((rank, 3))
    t = xpnn.Tensor(backend.array(x), requires_grad=True)
    (g,) = xpnn.grad(xpnn.linalg.det(t), t, create_graph=True)
    weights = RNG.standard_normal((3, 3))
    (gg,) = xpnn.grad((g * xpnn.Tensor(backend.array(weights))).sum(), t)

    def cofactors(m: np.ndarray) -> np.ndarray:
        minors = [[np.delete(np.delete(m, i, 0), j, 1) for j in range(3)] for i in range(3)]
        return np.array([[(-1) ** (i + j) * np.linalg.det(minors[i][j]) for j in range(3)] for i in range(3)])

    np.testing.assert_allclose(backend.numpy(g.detach()), cofactors(x), atol=1e-12)
    steps = 1e-5 * np.eye(9).reshape(9, 3, 3)
    slopes = [((cofactors(x + d) - cofactors(x - d)) * weights).sum() / 2e-5 for d in steps]
    np.testing.assert_allclose(backend.numpy(gg).ravel(), slopes, atol=1e-8)


def test_ranks(backend: Target) -> None:
    x = xpnn.Tensor(backend.array(np.diag([3.0, 1.0, 0.0])))
    assert xpnn.linalg.matrix_rank(x).item() == 2
    assert xpnn.linalg.matrix_rank(x, atol=2.0).item() == 1
    assert xpnn.linalg.cond(x[:2, :2], "fro").item() == pytest.approx(10 / 3)
    assert xpnn.linalg.pinv(x, atol=2.0)[1, 1].item() == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.linalg.inv(x),
        lambda m, x: m.linalg.det(x[0]),
        lambda m, x: m.linalg.norm(x, "fro", 0),
        lambda m, x: m.linalg.matrix_norm(x, 3),
        lambda m, x: m.linalg.multi_dot([x]),
        lambda m, x: m.linalg.cross(x, x),
        lambda m, x: m.linalg.cross(x[:, :3], x[:, :1]),
        lambda m, x: m.linalg.vector_norm(x.long()),
        lambda m, x: m.linalg.eigh(x[:, :3], "X"),
    ],
)
def test_what_is_refused(call: Call, backend: Target) -> None:
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        call(torch, torch.tensor(WIDE))
    with pytest.raises(XpnnError):
        call(xpnn, xpnn.Tensor(backend.array(WIDE)))


def test_tensors_as_linear_maps(backend: Target) -> None:
    """Values and gradients of what solves for arrays, and matrices of powers."""
    rng = np.random.default_rng(0)
    maps = np.eye(6).reshape(2, 3, 6) + rng.uniform(-0.1, 0.1, (2, 3, 6))
    turned = np.eye(6).reshape(6, 2, 3).transpose(1, 0, 2) + rng.uniform(-0.1, 0.1, (2, 6, 3))
    right, vector = rng.standard_normal((2, 3)), rng.standard_normal(6)
    calls: list[Call] = [
        lambda m, a, b, c, d: m.linalg.tensorinv(a),
        lambda m, a, b, c, d: m.linalg.tensorsolve(a, c),
        lambda m, a, b, c, d: m.linalg.tensorsolve(b, d, dims=(0, 2)),
        lambda m, a, b, c, d: m.linalg.vander(c),
        lambda m, a, b, c, d: m.linalg.vander(d, N=2),
    ]
    for call in calls:
        mine = [xpnn.Tensor(backend.array(x), requires_grad=True) for x in (maps, turned, right, vector)]
        theirs = [torch.tensor(x, requires_grad=True) for x in (maps, turned, right, vector)]
        results = [call(m, *xs) for m, xs in ((xpnn, mine), (torch, theirs))]
        for y in results:
            (y * y).sum().backward()
        np.testing.assert_allclose(backend.numpy(results[0].detach()), results[1].detach(), rtol=1e-9)
        for x, z in zip(mine, theirs, strict=True):
            if z.grad is not None:
                np.testing.assert_allclose(backend.numpy(x.grad), z.grad, rtol=1e-8, atol=1e-10)
    for wrong in (lambda: xpnn.linalg.tensorinv(mine[0], 0), lambda: xpnn.linalg.vander(mine[2], N=1)):
        with pytest.raises(XpnnError):
            wrong()


def test_exchanges_of_rows_are_those_of_pytorch(backend: Target) -> None:
    for x in (SQUARE, TALL, WIDE, np.zeros((2, 2)), np.zeros((0, 0)), SQUARE + 1j * SQUARE[::-1]):
        t, theirs = xpnn.Tensor(backend.array(x)), torch.tensor(x)
        for mine, expected in zip(xpnn.linalg.lu_factor_ex(t), torch.linalg.lu_factor_ex(theirs)):
            close(mine, expected)
            assert str(expected.dtype).endswith(mine.dtype.name)
        for mine, expected in zip(xpnn.linalg.lu(t), torch.linalg.lu(theirs)):
            close(mine, expected)
    with pytest.raises(XpnnError, match="singular"):
        xpnn.linalg.lu_factor_ex(xpnn.zeros(2, 2), check_errors=True)
    with pytest.raises(XpnnError, match="pivots from 1 to 3"):
        xpnn.linalg.lu_solve(xpnn.eye(3), xpnn.tensor([1, 2, 4]), xpnn.ones(3, 1))
    with pytest.raises(XpnnError, match="square factors"):
        xpnn.linalg.lu_solve(xpnn.ones(2, 3), xpnn.tensor([1, 2]), xpnn.ones(2, 1))


def test_phases_of_eigenvectors_have_no_gradient(backend: Target) -> None:
    t = xpnn.Tensor(backend.array(SQUARE[0] - 2 * SQUARE[0].T), requires_grad=True)
    with pytest.raises(XpnnError, match="no gradient"):
        xpnn.linalg.eig(t).eigenvectors.imag.sum().backward()


MIXED = np.stack([np.asarray([[2.0, 1.0, 0.0], [1.0, -3.0, 0.5], [0.0, 0.5, 0.0]]), np.eye(3) * 4])
SINGULAR = np.stack([np.asarray([[1.0, 2.0], [2.0, 4.0]]), np.eye(2) * 2])


def test_attempts_say_which_matrices_failed(backend: Target) -> None:
    x = xpnn.tensor(backend.array(MIXED), requires_grad=True)
    factor, info = xpnn.linalg.cholesky_ex(x)
    assert info.tolist() == torch.linalg.cholesky_ex(torch.tensor(MIXED)).info.tolist() == [2, 0]
    assert factor[1].tolist() == (np.eye(3) * 2).tolist()
    assert bool(factor[0].isnan().any())
    factor[1].sum().backward()
    assert x.grad is not None
    expected = torch.tensor(MIXED[1], requires_grad=True)
    torch.linalg.cholesky(expected).sum().backward()
    np.testing.assert_allclose(xpnn.to_numpy(x.grad[1]), expected.grad)
    assert not bool(x.grad[0].any())

    y = xpnn.tensor(backend.array(SINGULAR))
    inverse, info = xpnn.linalg.inv_ex(y)
    assert info.tolist() == torch.linalg.inv_ex(torch.tensor(SINGULAR)).info.tolist() == [2, 0]
    assert inverse[1].tolist() == [[0.5, 0.0], [0.0, 0.5]]
    solution, info = xpnn.linalg.solve_ex(y, xpnn.ones(2, 2, dtype=xpnn.float64, device=y.device))
    assert info.tolist() == [2, 0]
    assert solution[1].tolist() == [0.5, 0.5]
    assert xpnn.linalg.inv_ex(y[1]).info.tolist() == 0
    for call in (xpnn.linalg.inv_ex, xpnn.linalg.cholesky_ex):
        with pytest.raises(xpnn.linalg.LinAlgError, match="got info"):
            call(y, check_errors=True)


def test_a_singular_matrix_raises_what_pytorch_raises() -> None:
    for error in (xpnn.linalg.LinAlgError, RuntimeError, ValueError):
        with pytest.raises(error, match="Singular"):
            xpnn.linalg.inv(xpnn.zeros(2, 2))


def test_householder_product(backend: Target) -> None:
    h, tau = torch.geqrf(torch.tensor(np.stack([TALL, TALL[::-1].copy()])))
    ours = [xpnn.tensor(backend.array(part.numpy()), requires_grad=True) for part in (h, tau)]
    theirs = [part.requires_grad_() for part in (h, tau)]
    weights = np.arange(24.0).reshape(2, 4, 3)
    for size in (2, 3):
        y = xpnn.linalg.householder_product(ours[0], ours[1][..., :size])
        z = torch.linalg.householder_product(theirs[0], theirs[1][..., :size])
        np.testing.assert_allclose(xpnn.to_numpy(y.detach()), z.detach(), atol=1e-12)
    (y * xpnn.tensor(backend.array(weights))).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    for our, their in zip(ours, theirs):
        np.testing.assert_allclose(xpnn.to_numpy(our.grad), their.grad, atol=1e-9)
    with pytest.raises(XpnnError, match="n <= m"):
        xpnn.linalg.householder_product(ours[0].mT, ours[1])


@pytest.mark.parametrize("many", [False, True])
def test_low_rank(many: bool, backend: Target) -> None:
    """Exact for matrices of the rank that is asked for; the gradient of S is that of the SVD."""
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((2, *shape)) for shape in ((7, 3), (3, 5))]
    x = parts[0] @ parts[1] + (1j * parts[0] @ parts[1] if many else 0)
    for values in (x, x.swapaxes(1, 2).copy()):
        a = xpnn.Tensor(backend.array(values), requires_grad=True)
        u, s, v = xpnn.svd_lowrank(a, q=3)
        close(s, torch.linalg.svdvals(torch.tensor(values))[:, :3])
        close((u * s[:, None, :].to(u.dtype)) @ v.mH, torch.tensor(values))
        (g,) = xpnn.grad(s.sum(), a)
        b = torch.tensor(values, requires_grad=True)
        close(g, torch.autograd.grad(torch.linalg.svdvals(b)[:, :3].sum(), b)[0], 1e-7)
        _, s, v = xpnn.pca_lowrank(a, q=4, niter=1)
        _, t, w = torch.pca_lowrank(b, q=4)
        close(s, t)
        close(v[..., :3].abs(), w[..., :3].abs(), 1e-7)
    _, s, _ = xpnn.svd_lowrank(a, 2, 1, M=a.detach())
    assert s.shape == (2, 2)
    assert float(s.detach().max()) < 1e-10
    for call in (xpnn.svd_lowrank, xpnn.pca_lowrank):
        for kind, text, arguments in (
            (ShapeError, "expects matrices", (a[0, 0],)),
            (DTypeError, "floating-point or complex", (xpnn.ones(2, 2, dtype="int64"),)),
            (XpnnError, "expects q as a whole number between 0 and 5, got 6", (a, 6)),
        ):
            with pytest.raises(kind, match=text):
                call(*arguments)
    with pytest.raises(XpnnError, match="expects niter as a whole number at least 0, got -1"):
        xpnn.svd_lowrank(a, 2, -1)


def test_matrices_that_are_singular_but_for_rounding_have_an_info() -> None:
    """What the library refuses is reported, whatever our own elimination finds of it."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        v = rng.standard_normal((2, 3, 2))
        factor, info = xpnn.linalg.cholesky_ex(xpnn.tensor(v @ v.transpose(0, 2, 1)))
        assert np.isnan(factor.numpy()).any((1, 2)).tolist() == (info != 0).tolist()
        whole = rng.integers(-9, 10, (3, 3)).astype(float)
        whole[2] = whole[0] + whole[1]
        inverse, info = xpnn.linalg.inv_ex(xpnn.tensor(whole / 7))
        assert bool(np.isnan(inverse.numpy()).any()) == (info.item() != 0)
    with pytest.raises(DTypeError, match="solve_ex"):
        xpnn.linalg.solve_ex(xpnn.eye(2), [1.0, 2.0])
