"""Functions of networks and in place at the top level, windows, `xpnn.special`: against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn
from xpnn.backend import ArgumentError, DTypeError, dtype_name
from xpnn.testing import gradgradcheck

torch = pytest.importorskip("torch")

_random = np.random.default_rng(3)
X = _random.standard_normal((2, 3, 4))
POSITIVE = np.abs(X) + 0.1
W, B, M, V = (_random.random(3) + 0.1 for _ in range(4))
LABELS = np.asarray([1.0, -1.0, 1.0])

# Calls in which PyTorch's top level differs from its nn.functional, or that nn.functional lacks.
CALLS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "batch_norm": lambda T, t: T.batch_norm(t(X), t(W), t(B), t(M), t(V), False, 0.1, 1e-5, True),
    "instance_norm": lambda T, t: T.instance_norm(t(X), t(W), t(B), None, None, True, 0.1, 1e-5, False),
    "layer_norm": lambda T, t: T.layer_norm(t(X), (4,), eps=1e-3, cudnn_enable=False),
    "group_norm": lambda T, t: T.group_norm(t(X), 3, t(W), t(B), 1e-5, True),
    "embedding": lambda T, t: T.embedding(t(X[0]), t(np.asarray([0, 2]))),
    "embedding by keyword": lambda T, t: T.embedding(weight=t(X[0]), indices=t(np.asarray([0, 2]))),
    "kl_div": lambda T, t: T.kl_div(t(X), t(POSITIVE)),
    "kl_div of a number": lambda T, t: T.kl_div(t(X), t(X), 2, log_target=True),
    "poisson_nll_loss": lambda T, t: T.poisson_nll_loss(t(X), t(POSITIVE), True, False, 1e-8, 1),
    "triplet_margin_loss": lambda T, t: T.triplet_margin_loss(t(X), t(X + 1), t(2 * X), swap=True),
    "binary_cross_entropy": lambda T, t: T.binary_cross_entropy_with_logits(
        t(X), t(POSITIVE / 4), None, t(V[:1]), 1
    ),
    "margin_ranking_loss": lambda T, t: T.margin_ranking_loss(t(X), t(2 * X), t(np.sign(X)), 0.1, 1),
    "hinge_embedding_loss": lambda T, t: T.hinge_embedding_loss(t(X), t(np.sign(X)), 2.0),
    "cosine_embedding_loss": lambda T, t: T.cosine_embedding_loss(t(X[0]), t(X[1]), t(LABELS)),
    "ctc_loss": lambda T, t: T.ctc_loss(
        t(np.log(POSITIVE / POSITIVE.sum(-1, keepdims=True))),
        t(np.ones((3, 1), "int64")), t(np.asarray([2, 2, 2])), t(np.asarray([1, 1, 1])), reduction=2,
    ),
    "max_pool1d": lambda T, t: T.max_pool1d(t(X), 2, 1),
    "adaptive_max_pool1d": lambda T, t: T.adaptive_max_pool1d(t(X), 2)[1],
    "threshold": lambda T, t: T.threshold(t(X), 0.1, 2.0),
    "celu": lambda T, t: T.celu(t(X), alpha=2.0),
    "selu": lambda T, t: T.selu(t(X)),
    "rrelu": lambda T, t: T.rrelu(t(X), 0.1, 0.3),
    "relu": lambda T, t: T.relu(t(X)),
    "dropout": lambda T, t: T.dropout(t(X), 0.5, False),
    "dropout by keyword": lambda T, t: T.dropout(t(X), p=1.0, train=True),
    "constant_pad_nd": lambda T, t: T.constant_pad_nd(t(X), (1, 2), 3.0),
    "rnn_tanh_cell": lambda T, t: T.rnn_tanh_cell(t(X[0]), t(X[1, :, :3]), t(X[0]), t(X[0, :, :3])),
    "rsub": lambda T, t: T.rsub(t(X), t(W[:, None]), alpha=3),
    "rsub of a number": lambda T, t: T.rsub(t(X), 2),
    "rsub of types": lambda T, t: T.rsub(t(np.asarray(1.5)), t(np.asarray([1.0, 2.5], "float32"))),
    "clone": lambda T, t: T.clone(t(X)),
    "detach": lambda T, t: T.detach(t(X)),
    "scalar_tensor": lambda T, t: T.scalar_tensor(3),
    "affine_grid_generator": lambda T, t: T.affine_grid_generator(t(X[:, :2, :3]), (2, 1, 2, 2), True),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_give_pytorchs_results(name: str, backend: Target) -> None:
    mine = CALLS[name](xpnn, lambda x: xpnn.Tensor(backend.array(x)))
    theirs = CALLS[name](torch, torch.tensor)
    assert mine.shape == tuple(theirs.shape)
    np.testing.assert_allclose(xpnn.to_numpy(mine), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in dir(xpnn) if n.endswith("_") and n[0] != "_"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_functions_in_place(name: str) -> None:
    """They write into their Tensor, as the method does, and refuse what is none."""
    further = {
        "clamp_": (0.1, 0.5), "clip_": (0.1, 0.5), "clamp_max_": (0.5,), "clamp_min_": (0.5,),
        "fill_": (2.0,),
        "gcd_": (4,), "lcm_": (4,), "ldexp_": (2,), "xlogy_": (2.0,), "threshold_": (0.5, 2.0),

        "index_put_": ((0,), 1.5), "resize_as_": (0,),
    }.get(name, ())  # fmt: skip
    whole = name in ("gcd_", "lcm_")
    values = np.asarray([3, 8]) if whole else UNIT

    def run(T: Any) -> tuple[Any, Any]:
        x = T.tensor(values)
        args = further
        if name == "resize_as_":
            args = (T.zeros(1),)
        elif whole or name == "ldexp_":
            args = (T.tensor([further[0]] * len(values)),)
        elif name == "index_put_":
            args = ((T.tensor([0]),), T.tensor(1.5, dtype=x.dtype))
        elif name == "detach_":
            args = ()
        return x, getattr(T, name)(x, *args)

    x, result = run(xpnn)
    y, _ = run(torch)
    assert result is x
    np.testing.assert_allclose(x.array, y.numpy(), rtol=1e-7)
    with pytest.raises(DTypeError, match="expects a Tensor"):
        getattr(xpnn, name)(values, *further)


UNIT = np.asarray([0.3, 0.7, 0.9])


def test_bad_calls() -> None:
    x = xpnn.ones(2, 3)
    with pytest.raises(ArgumentError, match="takes 2 arguments"):
        xpnn.celu(x, 1.0, 2)
    with pytest.raises(ArgumentError, match="several values for train"):
        xpnn.dropout(x, 0.5, True, train=False)
    with pytest.raises(ValueError, match="reduction"):
        xpnn.kl_div(x, x, 7)
    with pytest.raises(DTypeError, match="expects a Tensor"):
        xpnn.numel([1, 2])
    with pytest.raises(DTypeError, match="expects a Tensor"):
        xpnn.clone(np.ones(2))
    with pytest.raises(DTypeError, match="expects an array"):
        xpnn.from_dlpack([1.0])


def test_small_things(backend: Target) -> None:
    x = xpnn.Tensor(backend.array(X))
    assert xpnn.numel(x) == 24
    assert xpnn.is_same_size(x, x + 1)
    assert isinstance(xpnn.float32, xpnn.dtype)
    assert xpnn.from_dlpack(np.ones(2)).tolist() == [1.0, 1.0]
    assert x[..., xpnn.newaxis].shape == (2, 3, 4, 1)
    assert (xpnn.inf, xpnn.pi) == (torch.inf, torch.pi)
    assert xpnn.conv2d is nn.functional.conv2d


SIGNAL_WINDOWS: dict[str, list[dict[str, object]]] = {
    **{name: [{}] for name in ("bartlett", "blackman", "cosine", "hamming", "hann", "nuttall")},
    "exponential": [{"tau": 2.0}, {"center": 1.0, "sym": False}],
    "gaussian": [{}, {"std": 0.7}],
    "general_cosine": [{"a": [0.3, 0.5, 0.2]}],
    "general_hamming": [{"alpha": 0.7}],
    "kaiser": [{}, {"beta": 0.0}],
}


@pytest.mark.parametrize("name", SIGNAL_WINDOWS)
def test_windows_of_signals(name: str) -> None:
    theirs, mine = getattr(torch.signal.windows, name), getattr(xpnn.signal.windows, name)
    for options in SIGNAL_WINDOWS[name]:
        for length in (0, 1, 2, 5, 8):
            for sym in (True, False):
                expected = theirs(length, **{"sym": sym, "dtype": torch.float64, **options})
                found = mine(length, **{"sym": sym, "dtype": xpnn.float64, **options})
                np.testing.assert_allclose(xpnn.to_numpy(found), expected.numpy(), atol=1e-12)
    needed = {"a": [1.0]} if name == "general_cosine" else {}
    assert mine(3, requires_grad=True, **needed).requires_grad
    with pytest.raises(ArgumentError, match="0 or more"):
        mine(-1, **needed)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("exponential", {"tau": 0.0}),
        ("exponential", {"center": 1.0}),
        ("gaussian", {"std": 0.0}),
        ("kaiser", {"beta": -1.0}),
        ("general_cosine", {"a": []}),
    ],
)
def test_windows_that_are_refused(name: str, options: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        getattr(torch.signal.windows, name)(3, **options)
    with pytest.raises(ArgumentError):
        getattr(xpnn.signal.windows, name)(3, **options)


WINDOWS = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str, backend: Target) -> None:
    for length in (0, 1, 2, 5, 8):
        for periodic in (True, False):
            mine = getattr(xpnn, name)(length, periodic)
            assert dtype_name(mine.dtype) == "float32"
            expected = getattr(torch, name)(length, periodic).numpy()
            np.testing.assert_allclose(xpnn.to_numpy(mine), expected, atol=1e-6)
    assert dtype_name(getattr(xpnn, name)(3, dtype=xpnn.float64).dtype) == "float64"
    assert getattr(xpnn, name)(3, requires_grad=True).requires_grad
    with pytest.raises(ArgumentError, match="0 or more"):
        getattr(xpnn, name)(-1)
    with pytest.raises(DTypeError, match="floating"):
        getattr(xpnn, name)(2, dtype=xpnn.int32)


def test_parameters_of_windows() -> None:
    np.testing.assert_allclose(
        xpnn.hamming_window(5, True, 0.6, 0.3).array, torch.hamming_window(5, True, 0.6, 0.3), rtol=1e-6
    )
    np.testing.assert_allclose(
        xpnn.kaiser_window(5, False, 3.0).array, torch.kaiser_window(5, False, 3.0), rtol=1e-6
    )


FAR = np.asarray([-30.0, -3.0, -0.5, 0.0, 0.25, 0.7, 1.0, 2.5, 30.0])
INSIDE = np.asarray([0.2, 0.7])


@pytest.mark.parametrize("name", ["entr", "erfcx", "log_ndtr", "ndtr", "ndtri", "i0", "i0e", "i1", "i1e"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_special_functions(name: str, backend: Target) -> None:
    mine, theirs = getattr(xpnn.special, name), getattr(torch.special, name)
    np.testing.assert_allclose(
        xpnn.to_numpy(mine(xpnn.Tensor(backend.array(FAR)))),
        theirs(torch.tensor(FAR)),
        rtol=1e-12,
        atol=1e-30,
    )
    x = xpnn.Tensor(backend.array(INSIDE), requires_grad=True)
    y = torch.tensor(INSIDE, requires_grad=True)
    mine(x).sum().backward()
    theirs(y).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(xpnn.to_numpy(x.grad), y.grad, rtol=1e-10)
    assert gradgradcheck(mine, (x,))
    if backend.backend != "array_api_strict":  # which lacks it
        half = backend.array(INSIDE.astype("float16"))
        assert mine(xpnn.Tensor(half)).array.dtype == half.dtype


def test_special_functions_of_several_arguments(backend: Target) -> None:
    x, y = np.asarray([0.0, 0.0, 1.0, 2.0]), np.asarray([-1.0, 3.0, 1.0, 0.5])
    a, b = (xpnn.Tensor(backend.array(v)) for v in (x, y))
    expected = torch.special.xlog1py(torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(xpnn.to_numpy(xpnn.special.xlog1py(a, b)), expected, rtol=1e-12)
    assert xpnn.special.xlog1py(2, b + 1).shape == xpnn.special.xlog1py(b, 2).shape == (4,)
    for p in (1, 3):
        expected = torch.special.multigammaln(torch.tensor(x[3:] + 1), p)
        np.testing.assert_allclose(
            xpnn.to_numpy(xpnn.special.multigammaln(a[3:] + 1, p)), expected, rtol=1e-12
        )
    with pytest.raises(ArgumentError, match="a p from 1 to"):
        xpnn.special.multigammaln(a, 0)


def test_special_functions_under_both_names() -> None:
    assert xpnn.special.expit is xpnn.sigmoid
    assert xpnn.special.gammaln is xpnn.lgamma
    assert xpnn.special.psi is xpnn.digamma
    files = {"annotations", "extension"}
    assert {name for name in dir(xpnn.special) if name[0] != "_"} <= {*dir(torch.special), *files}
