"""Gradients over complex numbers, in PyTorch's convention, of first and second order and on every library.

The calls below are tried with complex inputs against PyTorch in complex128. Which primitives they must reach
is not listed here: it is what `over_complex.py` and the primitives say of themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.autograd import over_complex
from xpnn.autograd.primitive import _primitives, primitive_names
from xpnn.backend import DTypeError, GradientError, XpnnError
from xpnn.testing import gradcheck, gradgradcheck

torch = pytest.importorskip("torch")

Call = Callable[..., Any]

_NUMBERS = np.random.default_rng(0)


def _complex(*shape: int) -> np.ndarray:
    return _NUMBERS.standard_normal(shape) + 1j * _NUMBERS.standard_normal(shape)


Z, W, SQUARE, PAIRS = _complex(2, 3), _complex(2, 3), _complex(2, 3, 3), _NUMBERS.standard_normal((3, 2))
X = _NUMBERS.standard_normal((2, 3))
SIGNAL, STRETCHES = _NUMBERS.standard_normal((2, 9)), _complex(2, 3, 4)
WINDOW = np.asarray([0.3, 1.0, 0.8, 0.4])
MASK = [[True, False, True], [False, False, True]]


def _every(names: str) -> dict[str, tuple[Call, tuple[np.ndarray, ...]]]:
    """Calls of functions of one argument that both libraries have at their top."""
    return {name: (functools.partial(_named, name), (Z,)) for name in names.split()}


def _named(name: str, m: Any, *inputs: Any) -> Any:
    return getattr(m, name)(*inputs)


def _transform(name: str, norm: str, m: Any, x: Any) -> Any:
    return getattr(m.fft, name)(x, norm=norm)


def _hermitian(m: Any, x: Any) -> Any:
    return x @ x.mH + m.eye(3, dtype=m.complex128).to(x.dtype)


def _written(m: Any, x: Any, y: Any, index: Any) -> Any:
    z = x * 1
    z[index] = y[index]
    return z


def _filled(x: Any, mask: Any) -> Any:
    z = x * 1
    z[mask] = 2 - 1j
    return z


def _squared_by_eigenvectors(m: Any, x: Any) -> Any:
    values, vectors = m.linalg.eig(x)
    return (vectors * (values**2)[..., None, :]) @ m.linalg.inv(vectors)


def _svd(m: Any, x: Any) -> Any:
    """What is the same for all phases of the vectors."""
    u, s, vh = m.linalg.svd(x, full_matrices=False)
    return (u * s[..., None, :] ** 0.5) @ vh + (u.abs() @ vh.abs()).to(u.dtype)


CALLS: dict[str, tuple[Call, tuple[np.ndarray, ...]]] = {
    # element by element
    **_every("neg reciprocal sqrt rsqrt square exp expm1 log log1p log2 log10 sigmoid"),
    **_every("abs sgn angle conj real imag"),
    **_every("sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh positive"),
    **{name: (functools.partial(_named, name), (Z, W)) for name in ("add", "sub", "mul", "div", "pow")},
    **{f"{n} real": (functools.partial(_named, n), (Z, X)) for n in ("add", "sub", "mul", "div", "pow")},
    **{f"real {n}": (functools.partial(_named, n), (X, Z)) for n in ("add", "sub", "mul", "div")},
    "numbers": (lambda m, x: (2j * x + 1 - (x - 3j)) / (1 + 1j) * x**3 + x ** (0.5 + 1j) + 2**x, (Z,)),
    "broadcast": (lambda m, x, y: x[:1] * y + x[:, :1] * y, (Z, W)),
    "broadcast to real": (lambda m, x, y: x * y, (X[:1], W)),
    "where": (lambda m, x, y: m.where(m.tensor(MASK), x, y), (Z, W)),
    "lerp": (lambda m, x, y: m.lerp(x, y, 0.3), (Z, W)),
    "addcmul": (lambda m, x, y: m.addcmul(x, y, x, value=0.5), (Z, W)),
    # parts
    "complex": (lambda m, x, y: m.complex(x, y[:1]), (X, X[::-1].copy())),
    "polar": (lambda m, x, y: m.polar(x, y), (abs(X), X[::-1].copy())),
    "view_as_real": (lambda m, x: m.view_as_real(x) * m.view_as_real(x)[..., :1], (Z,)),
    "view_as_complex": (lambda m, x: m.view_as_complex(x) ** 2, (PAIRS,)),
    "to complex": (lambda m, x: x.to(m.complex128) ** 2 * 1j, (X,)),
    # reductions
    "sum": (lambda m, x: m.sum(x, 0, keepdim=True) * x, (Z,)),
    "mean": (lambda m, x: m.mean(x, 1) ** 2, (Z,)),
    "prod": (lambda m, x: m.prod(x, 1), (Z,)),
    "var": (lambda m, x: m.var(x, 1), (Z,)),
    "std": (lambda m, x: m.std(x, 1, correction=0), (Z,)),
    "cumsum": (lambda m, x: m.cumsum(x, 1) ** 2, (Z,)),
    "cumprod": (lambda m, x: m.cumprod(x, 1), (Z,)),
    "norm": (lambda m, x: m.linalg.vector_norm(x, dim=1), (Z,)),
    "norm 3": (lambda m, x: m.linalg.vector_norm(x, 3), (Z,)),
    "norm 1": (lambda m, x: m.linalg.vector_norm(x, 1), (Z,)),
    # shapes, indices, joining
    "reshape": (lambda m, x: x.reshape(3, 2).unsqueeze(1).squeeze(1) ** 2, (Z,)),
    "transpose": (lambda m, x: x.T.flip(0) * x.permute(1, 0), (Z,)),
    "expand": (lambda m, x: x[:, :1].expand(2, 3) * x, (Z,)),
    "roll": (lambda m, x: m.roll(x, 1, 1) * m.tril(x) + m.triu(x, 1), (Z,)),
    "index": (lambda m, x: x[1:, ::2] * x[[0]][:, [1, 1]] + x[0, 0], (Z,)),
    "mask": (lambda m, x: x[m.tensor(MASK)] ** 2, (Z,)),
    "gather": (lambda m, x: m.gather(x, 1, m.tensor([[0, 0], [2, 1]])) ** 2, (Z,)),
    "write": (lambda m, x, y: _written(m, x, y, 0) * x, (Z, W)),
    "masked_fill": (lambda m, x: m.masked_fill(x, m.tensor(MASK), 1j) * x, (Z,)),
    "write mask": (lambda m, x: _filled(x, m.tensor(MASK)) * x, (Z,)),
    "write list": (lambda m, x, y: _written(m, x, y, [1, 0]) * x, (Z, W)),
    "write real": (lambda m, x, y: _written(m, x, y, 0) * x, (Z, X)),
    "cat": (lambda m, x, y: m.cat([x, y]) ** 2, (Z, W)),
    "cat real": (lambda m, x, y: m.cat([x, y]) ** 2, (Z, X)),
    "stack": (lambda m, x, y: m.stack([x, y], 1) ** 2, (Z, X)),
    "unbind": (lambda m, x: (lambda a, b: a * b)(*m.unbind(x)), (Z,)),
    "windows": (lambda m, x: x.unfold(1, 2, 1) ** 2, (Z,)),
    # products
    "matmul": (lambda m, x, y: x @ y.mT, (Z, W)),
    "matmul vectors": (lambda m, x, y: (x[0] @ y[1]) * (x @ y[0]), (Z, W)),
    "matmul batches": (lambda m, x, y: x @ y[0], (SQUARE, SQUARE)),
    "einsum": (lambda m, x, y: m.einsum("ij,kj->ik", x, y.conj()), (Z, W)),
    "vecdot": (lambda m, x, y: m.linalg.vecdot(x, y), (Z, W)),
    "vdot": (lambda m, x, y: m.vdot(x[0], y[0]), (Z, W)),
    "linear": (lambda m, x, w, b: m.nn.functional.linear(x, w, b), (Z, W, Z[:, 0].copy())),
    "linear plain": (lambda m, x, w: m.nn.functional.linear(x[None], w), (Z, W)),
    "bilinear": (lambda m, x, y: m.einsum("bi,oij,bj->bo", x, y, x), (Z, SQUARE)),
    "kron": (lambda m, x, y: m.kron(x, y[:1]), (Z, W)),
    "cross": (lambda m, x, y: m.linalg.cross(x, y), (Z, W)),
    # linear algebra
    "inv": (lambda m, x: m.linalg.inv(x), (SQUARE,)),
    "solve": (lambda m, x, y: m.linalg.solve(x, y.mT), (SQUARE, Z)),
    "det": (lambda m, x: m.linalg.det(x), (SQUARE,)),
    "slogdet": (lambda m, x: (lambda sign, log: sign * log)(*m.linalg.slogdet(x)), (SQUARE,)),
    "logabsdet": (lambda m, x: m.linalg.slogdet(x)[1], (SQUARE,)),
    "logdet": (lambda m, x: m.logdet(x[0]), (SQUARE,)),
    "matrix_power": (lambda m, x: m.linalg.matrix_power(x, -2), (SQUARE,)),
    "matrix_exp": (lambda m, x: m.linalg.matrix_exp(x), (SQUARE,)),
    "trace": (lambda m, x: m.trace(x[0]) * m.diagonal(x[1]), (SQUARE,)),
    "cholesky": (lambda m, x: m.linalg.cholesky(_hermitian(m, x)), (SQUARE,)),
    "cholesky upper": (lambda m, x: m.linalg.cholesky(_hermitian(m, x), upper=True), (SQUARE,)),
    "cholesky_solve": (
        lambda m, x: m.cholesky_solve(x[1], m.linalg.cholesky(_hermitian(m, x[0]))),
        (SQUARE,),
    ),
    "qr": (lambda m, x: (lambda q, r: q.sin() + r**2)(*m.linalg.qr(x)), (SQUARE,)),
    "svd": (_svd, (SQUARE,)),
    "svdvals": (lambda m, x: m.linalg.svdvals(x), (SQUARE,)),
    "nuclear norm": (lambda m, x: m.linalg.matrix_norm(x, "nuc"), (SQUARE,)),
    "eigvalsh": (lambda m, x: m.linalg.eigvalsh(_hermitian(m, x)), (SQUARE,)),
    "eigh": (lambda m, x: m.linalg.eigh(_hermitian(m, x))[1].abs() ** 3, (SQUARE,)),
    "pinv": (lambda m, x: m.linalg.pinv(x[:, :2]), (SQUARE,)),
    "eigvals": (lambda m, x: (m.linalg.eigvals(x) ** 3).sum(-1), (SQUARE,)),
    "eig": (_squared_by_eigenvectors, (SQUARE,)),
    "lu": (lambda m, x: (lambda p, lower, upper: lower.sin() + upper**2)(*m.linalg.lu(x)), (SQUARE,)),
    # Fourier transforms
    **{
        f"{name} {norm}": (functools.partial(_transform, name, norm), (x,))
        for name, x in (("fft", Z), ("ifft", Z), ("rfft", X), ("irfft", Z), ("hfft", Z), ("ihfft", X))
        for norm in ("backward", "ortho", "forward")
    },
    "fft of real": (lambda m, x: m.fft.fft(x, 4), (X,)),
    "ifft cut": (lambda m, x: m.fft.ifft(x, 2, -1), (Z,)),
    "rfft odd": (lambda m, x: m.fft.rfft(x, n=5, dim=0), (X,)),
    "irfft odd": (lambda m, x: m.fft.irfft(x, n=5), (Z,)),
    "irfft of real": (lambda m, x: m.fft.irfft(x, n=2), (X,)),
    "hfft odd": (lambda m, x: m.fft.hfft(x, n=3, dim=0), (Z,)),
    "fft2": (lambda m, x: m.fft.fft2(x, s=(2, 4)), (Z,)),
    "ifft2": (lambda m, x: m.fft.ifft2(x), (SQUARE,)),
    "rfft2": (lambda m, x: m.fft.rfft2(x, norm="ortho"), (X,)),
    "irfft2": (lambda m, x: m.fft.irfft2(x, s=(2, 3)), (Z,)),
    "hfft2": (lambda m, x: m.fft.hfft2(x, s=(3, 3)), (Z,)),
    "ihfft2": (lambda m, x: m.fft.ihfft2(x), (X,)),
    "fftn": (lambda m, x: m.fft.fftn(x, dim=(0, 2)), (SQUARE,)),
    "ifftn": (lambda m, x: m.fft.ifftn(x, s=(2, -1), norm="forward"), (SQUARE,)),
    "rfftn": (lambda m, x: m.fft.rfftn(x, s=(3, 2)), (X,)),
    "irfftn": (lambda m, x: m.fft.irfftn(x, dim=(2, 0), norm="ortho"), (SQUARE,)),
    "hfftn": (lambda m, x: m.fft.hfftn(x, s=(2, 4), norm="forward"), (SQUARE,)),
    "ihfftn": (lambda m, x: m.fft.ihfftn(x, norm="ortho"), (X,)),
    "stft": (lambda m, x, w: m.stft(x, 4, 2, window=w, return_complex=True), (SIGNAL, WINDOW)),
    "stft options": (
        lambda m, x: m.stft(x, 5, 2, 3, None, True, "circular", True, False, return_complex=False),
        (SIGNAL,),
    ),
    "stft of complex": (lambda m, x: m.stft(x, 4, center=False), (_complex(7),)),
    "stft replicate": (lambda m, x: m.stft(x, 4, pad_mode="replicate", return_complex=True), (SIGNAL,)),
    "stft aligned": (
        lambda m, x, w: m.stft(x, 6, 2, 4, w, False, align_to_window=True, return_complex=True),
        (SIGNAL, WINDOW),
    ),
    "istft": (lambda m, x, w: m.istft(x, 4, 2, window=w), (STRETCHES, WINDOW)),
    "istft cut": (lambda m, x: m.istft(x, 4, length=5, normalized=True), (STRETCHES,)),
    "istft to complex": (lambda m, x: m.istft(x, 3, 2, center=False, return_complex=True), (STRETCHES,)),
    "pad": (lambda m, x: m.constant_pad_nd(x, (1, -1), 1j), (Z,)),
    "pad reflect": (lambda m, x: m.nn.functional.pad(x, (2, 1), "reflect"), (Z,)),
    "l1_loss": (lambda m, x: m.nn.functional.l1_loss(x, x**2, reduction="none"), (Z,)),
    "normalize": (lambda m, x: m.nn.functional.normalize(x), (Z,)),
    "pairwise_distance": (lambda m, x: m.nn.functional.pairwise_distance(x, x**2), (Z,)),
    "cov": (lambda m, x: m.cov(x), (Z,)),
    "corrcoef": (lambda m, x: m.corrcoef(x * 0.9), (Z,)),
    "logaddexp": (lambda m, x: m.logaddexp(4 * x, x**2), (Z,)),
    "softsign": (lambda m, x: m.nn.functional.softsign(x), (Z,)),
    "tanhshrink": (lambda m, x: m.nn.functional.tanhshrink(x), (Z,)),
    "logsumexp": (lambda m, x: m.logsumexp(4 * x, 1), (Z,)),
    "lerp by complex": (lambda m, x: m.lerp(x, x**2, 0.1 * x), (Z,)),
    "float_power": (lambda m, x: m.float_power(x, 1.5), (Z,)),
    "shift": (lambda m, x: m.fft.fftshift(x) * m.fft.ifftshift(x, dim=1), (Z,)),
}  # fmt: skip


# Targets that differ from NumPy by what is tested of all functions alike.
SPARED = ("read_only", "cupy_like")


def loss(m: Any, y: Any) -> Any:
    """A real number that depends on both parts of all elements, on each in another way."""
    weights = np.random.default_rng(1).standard_normal((2, *y.shape))
    first, second = (like(m, w, y) for w in weights)
    if "complex" not in str(y.dtype):
        return (first * y).sum() + (second * y**2).sum()
    return (first * y.real).sum() + (second * y.imag).sum() + (y.real * y.imag).sum()


def like(m: Any, values: np.ndarray, y: Any) -> Any:
    real = "float32" if str(y.dtype).endswith(("complex64", "float32")) else "float64"
    if m is torch:
        return torch.tensor(values, dtype=getattr(torch, real))
    return xpnn.tensor(values, dtype=real)


def derivatives(m: Any, call: Call, inputs: list[Any], orders: int = 2) -> list[np.ndarray]:
    """The result, its gradients, and with two orders the gradients of these."""
    gradient = torch.autograd.grad if m is torch else xpnn.grad
    y = call(m, *inputs)
    first = gradient(loss(m, y), inputs, create_graph=orders > 1)
    if orders == 1:
        return [host(t) for t in (y, *first)]
    total = sum(loss(m, g) for g in first)
    second = gradient(total, inputs, allow_unused=True) if total.requires_grad else [None] * len(inputs)
    return [host(t) for t in (y, *first)] + [np.zeros(()) if t is None else host(t) for t in second]


def host(t: Any) -> np.ndarray:
    t = t.detach()
    return t.resolve_conj().numpy() if isinstance(t, torch.Tensor) else xpnn.to_numpy(t)


@functools.cache
def expected(name: str) -> list[np.ndarray]:
    call, inputs = CALLS[name]
    return derivatives(torch, call, [torch.tensor(x, requires_grad=True) for x in inputs])


@pytest.mark.filterwarnings("ignore:A window was not provided", "ignore:stft with return_complex=False")
@pytest.mark.parametrize("name", CALLS)
def test_against_pytorch(name: str, backend: Target) -> None:
    """On JAX, which compiles each operation for each shape, the first order alone."""
    if backend.name in SPARED:
        pytest.skip("what it would show is shown by the others")
    call, inputs = CALLS[name]
    leaves = [xpnn.Tensor(backend.array(x), requires_grad=True) for x in inputs]
    found = derivatives(xpnn, call, leaves, orders=1 if backend.name == "jax" else 2)
    for mine, theirs in zip(found, expected(name)):
        scale = max(np.abs(theirs).max(initial=1.0), 1.0)
        assert mine.shape == theirs.shape or theirs.shape == ()
        assert mine.dtype.kind == theirs.dtype.kind or theirs.shape == ()
        np.testing.assert_allclose(mine / scale, theirs / scale, rtol=1e-7, atol=1e-7)


@pytest.mark.filterwarnings("ignore:A window was not provided", "ignore:stft with return_complex=False")
@pytest.mark.parametrize("name", CALLS)
def test_in_complex64(name: str, backend: Target) -> None:
    """Results and gradients keep the width of what goes in."""
    call, inputs = CALLS[name]
    if name in ("to complex", "float_power") or backend.name in {*SPARED, "jax"}:
        pytest.skip("it asks for complex128, or what it would show is shown by the others")
    narrow = [x.astype("complex64" if x.dtype.kind == "c" else "float32") for x in inputs]
    leaves = [xpnn.Tensor(backend.array(x), requires_grad=True) for x in narrow]
    y = call(xpnn, *leaves)
    assert xpnn.DType(y.dtype).name in ("complex64", "float32")
    gradients = xpnn.grad(loss(xpnn, y), leaves)
    for mine, theirs, leaf in zip((y, *gradients), expected(name), (y, *leaves)):
        assert mine.dtype == leaf.dtype
        scale = max(np.abs(theirs).max(initial=1.0), 1.0)
        np.testing.assert_allclose(host(mine) / scale, theirs / scale, rtol=1e-3, atol=1e-4)


def reached() -> Iterator[str]:
    """The primitives that the calls record over complex numbers."""
    for call, inputs in CALLS.values():
        y = call(xpnn, *[xpnn.Tensor(x, requires_grad=True) for x in inputs])
        nodes, seen = [y.grad_fn] if y.grad_fn else [], set()
        while nodes:
            node = nodes.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            general = getattr(node.primitive, "complex_rule", None) == "general"
            if general or isinstance(node.primitive, over_complex.OverComplex):
                yield node.primitive.name
            nodes += [edge[0] for edge in node.edges if isinstance(edge, tuple)]


def test_all_that_has_a_rule_is_tried() -> None:
    own = primitive_names()
    rules = {p.name for p in _primitives if p.complex_rule and p.name in own}
    assert rules >= over_complex.LINEAR | over_complex.ANALYTIC | over_complex.GENERAL
    in_backwards = {"add_along_axis", "cofactors", "index_add", "scatter", "sum_of_copies"}
    not_in_pytorch = {"reversed", "to_device"}
    assert rules - set(reached()) <= in_backwards | not_in_pytorch


def test_what_has_no_rule_raises() -> None:
    """Where a primitive that says nothing of complex numbers meets them, as input or output."""
    z = xpnn.tensor(Z, requires_grad=True)
    for call in (xpnn.maximum, xpnn.hypot, xpnn.remainder):
        with pytest.raises(XpnnError):
            call(z, z)
    gelu = xpnn.nn.functional.gelu
    for call in (xpnn.erf, xpnn.relu, xpnn.floor, gelu, lambda x: x.max(), lambda x: x.clamp(0, 1)):
        with pytest.raises(XpnnError):
            call(z)

    @xpnn.primitive
    def size(x: Any) -> Any:
        return abs(x), ()

    @size.backward
    def _(gy: Any, saved: tuple, needs: tuple) -> Any:
        return (gy,)

    with pytest.raises(GradientError, match="no gradient over complex numbers"):
        size(z)
    assert size(z.detach()).shape == z.shape


def test_a_primitive_of_a_user() -> None:
    @xpnn.primitive(complex_rule="analytic")
    def cube(x: Any) -> Any:
        return x**3, (x,)

    @cube.backward
    def _(gy: Any, saved: tuple, needs: tuple) -> Any:
        (x,) = saved
        return (3 * gy * x**2,)

    assert gradcheck(cube, Z)
    assert gradgradcheck(cube, Z)


def test_gradcheck_finds_a_missing_conjugate() -> None:
    @xpnn.primitive(complex_rule="general")
    def square(x: Any) -> Any:
        return x * x, (x,)

    @square.backward
    def _(gy: Any, saved: tuple, needs: tuple) -> Any:
        return (2 * gy * saved[0],)

    with pytest.raises(GradientError, match="wrong at input position"):
        gradcheck(square, Z)
    assert not gradcheck(square, Z, raise_exception=False)


def test_gradients_from_above(backend: Target) -> None:
    z = xpnn.Tensor(backend.array(Z), requires_grad=True)
    for one in (z[0, 0], z.sum()):
        with pytest.raises(GradientError, match="complex output"):
            one.backward()
    with pytest.raises(DTypeError, match="expects a complex gradient"):
        z.sum().backward(xpnn.tensor(1.0))
    with pytest.raises(DTypeError, match="expects a real gradient"):
        z.real.sum().backward(xpnn.tensor(1j))
    z.sum().backward(xpnn.tensor(1 + 2j))
    np.testing.assert_allclose(backend.numpy(z.grad), np.full(Z.shape, 1 + 2j))


def test_phases_have_no_gradient(backend: Target) -> None:
    """Vectors are made up to a factor of absolute value 1: a loss that depends on it is refused."""
    z = xpnn.Tensor(backend.array(SQUARE[0]), requires_grad=True)
    with pytest.raises(GradientError, match="eigh makes complex vectors"):
        xpnn.linalg.eigh(z + z.mH).eigenvectors.imag.sum().backward()
    with pytest.raises(GradientError, match="svd makes complex vectors"):
        xpnn.linalg.svd(z).U.imag.sum().backward()


def test_views_reach_what_they_show(backend: Target) -> None:
    z = xpnn.Tensor(backend.array(Z))
    xpnn.view_as_real(z)[0, 0, 1] = 7.0
    z.real[1] = 5.0
    z.conj()[0, 1] = 2j
    expected = Z.copy()
    expected[0, 0] = expected[0, 0].real + 7j
    expected[1] = 5 + 1j * expected[1].imag
    expected[0, 1] = -2j
    np.testing.assert_allclose(backend.numpy(z), expected)
    pairs = xpnn.Tensor(backend.array(PAIRS))
    xpnn.view_as_complex(pairs)[0] = 1 + 2j
    np.testing.assert_allclose(backend.numpy(pairs)[0], [1, 2])


def test_infinities_stay_what_they_are() -> None:
    infinite = xpnn.tensor([float("inf"), 1.0])
    z = xpnn.complex(infinite, infinite)
    assert z.real.tolist() == z.imag.tolist() == infinite.tolist()


def test_real_numbers_hold_no_complex_ones() -> None:
    x, z = xpnn.tensor(X), xpnn.tensor(Z)
    with pytest.raises(XpnnError):
        x[0] = z[0]
    with pytest.raises(DTypeError):
        xpnn.masked_fill(x, x > 0, 1j)
    with pytest.raises(DTypeError, match="no meaning for complex"):
        z < 1  # noqa: B015
    with pytest.warns(UserWarning, match="drops the imaginary parts"):
        assert z.to("float64").tolist() == Z.real.tolist()


def test_the_zeros_of_absolute_values(backend: Target) -> None:
    """abs, sgn and angle have the gradient 0 at 0, as in PyTorch."""
    for name in ("abs", "sgn", "angle"):
        z = xpnn.Tensor(backend.array(np.zeros(2, np.complex128)), requires_grad=True)
        t = torch.zeros(2, dtype=torch.complex128, requires_grad=True)
        for m, x in ((xpnn, z), (torch, t)):
            loss(m, getattr(m, name)(x)).backward()
        np.testing.assert_allclose(backend.numpy(z.grad), t.grad.numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.fft.fft(x, 0),
        lambda m, x: m.fft.fft(x, dim=3),
        lambda m, x: m.fft.fft(x, norm="full"),
        lambda m, x: m.fft.rfft(m.complex(x, x)),
        lambda m, x: m.fft.ihfft(m.complex(x, x)),
        lambda m, x: m.fft.irfft(x, 0),
        lambda m, x: m.fft.irfft(x[:, :1]),
        lambda m, x: m.fft.fft2(x[0]),
        lambda m, x: m.fft.fftn(x, dim=(0, 0)),
        lambda m, x: m.fft.fftn(x, s=(2,), dim=(0, 1)),
        lambda m, x: m.fft.fftn(x, s=(2, 2, 2)),
        lambda m, x: m.fft.fft(x[:0], dim=0),
        lambda m, x: m.stft(x, 2),
        lambda m, x: m.stft(x, 8, return_complex=True),
        lambda m, x: m.stft(x, 2, 0, return_complex=True),
        lambda m, x: m.stft(x, 2, 1, 3, return_complex=True),
        lambda m, x: m.stft(x, 2, 1, window=x[0], return_complex=True),
        lambda m, x: m.stft(m.complex(x, x), 2, onesided=True),
        lambda m, x: m.stft(x, 2, pad_mode="mirror", return_complex=True),
        lambda m, x: m.istft(x, 2),
        lambda m, x: m.istft(m.complex(x, x), 4, 2),
        lambda m, x: m.istft(m.complex(x, x), 2, 2, window=m.zeros(2).double()),
        lambda m, x: m.view_as_complex(x),
        lambda m, x: m.view_as_real(x),
        lambda m, x: m.imag(x),
        lambda m, x: m.complex(x, x.float()),
        lambda m, x: m.polar(x.long(), x.long()),
    ],
)
def test_what_pytorch_refuses(call: Call) -> None:
    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError)):
        call(torch, torch.tensor(X))
    with pytest.raises(XpnnError):
        call(xpnn, xpnn.tensor(X))


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies(n: int) -> None:
    for name in ("fftfreq", "rfftfreq"):
        mine = getattr(xpnn.fft, name)(n, 0.5, dtype=xpnn.float64)
        np.testing.assert_allclose(
            mine.numpy(), getattr(torch.fft, name)(n, 0.5, dtype=torch.float64).numpy()
        )
    assert xpnn.fft.fftfreq(n).dtype == np.float32


def test_the_namespace_has_the_same_transforms(backend: Target) -> None:
    """`xp.fft` has the standard's arguments, gradients, and takes raw arrays."""
    if backend.name == "cupy_like":
        pytest.skip("it has no fft")
    xp = xpnn.xp
    z = xpnn.Tensor(backend.array(Z), requires_grad=True)
    y = xp.fft.fft(z, n=4, axis=0, norm="ortho")
    np.testing.assert_allclose(host(y), np.fft.fft(Z, 4, axis=0, norm="ortho"))
    abs(y).sum().backward()
    assert z.grad.dtype == z.dtype
    raw = xp.fft.irfftn(backend.array(Z), s=(2, 4), axes=(0, 1))
    np.testing.assert_allclose(backend.numpy(raw), np.fft.irfftn(Z, (2, 4), axes=(0, 1)))


def test_fft_of_other_numbers() -> None:
    whole = np.arange(4)
    np.testing.assert_allclose(xpnn.fft.fft(xpnn.tensor(whole)).numpy(), np.fft.fft(whole), atol=1e-6)
    assert xpnn.fft.rfft(xpnn.tensor(whole)).dtype == np.complex64
    with pytest.raises(DTypeError, match="float16"):
        xpnn.fft.fft(xpnn.tensor(whole.astype(np.float16)))
    assert isinstance(xpnn.fft.fft(X), np.ndarray)


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.5, "centered": True}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.1}),
    ("Adadelta", {}),
    ("NAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1}),
    ("Rprop", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_optimizers_train_complex_parameters(name: str, options: dict[str, Any], backend: Target) -> None:
    """Beside real ones, with the gradient clipped, and on from PyTorch's state."""
    if backend.name in {*SPARED, "jax"}:
        pytest.skip("what it would show is shown by the others")
    mine = [xpnn.Tensor(backend.array(x), requires_grad=True) for x in (Z, X)]
    theirs = [torch.tensor(x, requires_grad=True) for x in (Z, X)]
    optimizer, other = (
        getattr(xpnn.optim, name)(mine, **options),
        getattr(torch.optim, name)(theirs, **options),
    )
    for m, (z, x), chosen in ((xpnn, mine, optimizer), (torch, theirs, other)):
        for _ in range(4):
            chosen.zero_grad()
            (((z - 1j).abs() ** 2).sum() + (z * x).abs().sum() + (z**3).imag.sum() / 50).backward()
            m.nn.utils.clip_grad_norm_([z, x], 5.0)
            chosen.step()
    for one, two in zip(mine, theirs):
        np.testing.assert_allclose(backend.numpy(one.detach()), two.detach().numpy(), rtol=1e-6, atol=1e-6)
    again = getattr(xpnn.optim, name)(mine, **options)
    again.load_state_dict(optimizer.state_dict())
    for slots, kept in zip(again.state_dict()["state"].values(), optimizer.state_dict()["state"].values()):
        for slot, array in slots.items():
            np.testing.assert_array_equal(xpnn.to_numpy(array), xpnn.to_numpy(kept[slot]))


@pytest.mark.parametrize("name", ["LBFGS", "Adafactor", "LAMB", "LARS", "Muon"])
def test_optimizers_that_refuse_complex_parameters(name: str) -> None:
    with pytest.raises(DTypeError, match="does not train complex parameters"):
        getattr(xpnn.optim, name)([xpnn.tensor(Z, requires_grad=True)])


CONVOLUTIONS: dict[str, tuple[Call, tuple[np.ndarray, ...]]] = {
    "conv1d": (lambda m, x, w: m.conv1d(x, w, padding=1), (_complex(1, 2, 4), _complex(2, 2, 3))),
    "conv_transpose2d": (
        lambda m, x, w, b: m.conv_transpose2d(x, w, b, stride=2),
        (_complex(1, 2, 2, 2), _complex(2, 1, 2, 2), _complex(1)),
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_of_complex_numbers(name: str) -> None:
    call, inputs = CONVOLUTIONS[name]
    mine = derivatives(xpnn, call, [xpnn.tensor(x, requires_grad=True) for x in inputs])
    theirs = derivatives(torch, call, [torch.tensor(x, requires_grad=True) for x in inputs])
    for found, wanted in zip(mine, theirs):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8)
