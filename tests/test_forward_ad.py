"""`autograd.forward_ad`: Tensors with tangents, held to PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.autograd import forward_ad

torch = pytest.importorskip("torch")

X = np.arange(6, dtype="float32").reshape(2, 3) / 3


def products(t: Any, ad: Any) -> list[Any]:
    x = t.tensor(X.tolist())
    with ad.dual_level():
        dual = ad.make_dual(x, x + 1)
        y = dual.sin() * dual
        other = ad.make_dual(x * 2, x)
        results = [*ad.unpack_dual(y), ad.unpack_dual(y).tangent, ad.unpack_dual(dual).tangent]
        results += [ad.unpack_dual(dual * other).tangent, ad.unpack_dual(y.argmax()).primal]
        assert ad.unpack_dual(x).tangent is None
        assert ad.unpack_dual(y.detach()).tangent is None
    assert ad.unpack_dual(y).tangent is None
    return results


def differentiated(t: Any, ad: Any) -> list[Any]:
    """Tangents are differentiable in what requires a gradient: the point itself, and weights."""
    x, w = (t.tensor((X + i).tolist(), requires_grad=True) for i in range(2))
    with ad.dual_level():
        primal, tangent = ad.unpack_dual((ad.make_dual(x, x.detach() + 2) * w).exp())
    (tangent.sum() + primal.sum()).backward()
    return [primal, tangent, x.grad, w.grad]


def module(t: Any, ad: Any) -> list[Any]:
    """As PyTorch's tutorial has it, with Parameters replaced by dual Tensors."""
    layer = t.nn.Sequential(t.nn.Linear(3, 2), t.nn.Tanh())
    with t.no_grad():
        layer[0].weight.copy_(t.tensor(X.tolist()).sin())
        layer[0].bias.zero_()
    with ad.dual_level():
        for name, p in [*layer[0].named_parameters()]:
            delattr(layer[0], name)
            setattr(layer[0], name, ad.make_dual(p, p.detach() + 1))
        return [ad.unpack_dual(layer(t.tensor(X.tolist()))).tangent]


def unrecorded(t: Any, ad: Any) -> list[Any]:
    x = t.tensor(X.tolist(), requires_grad=True)
    with t.no_grad(), ad.dual_level():
        primal, tangent = ad.unpack_dual(ad.make_dual(x, t.ones(2, 3)).exp())
    return [primal, tangent]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("program", [products, differentiated, module, unrecorded])
def test_against_pytorch(program: Callable[[Any, Any], list[Any]], backend: Target) -> None:
    theirs = program(torch, torch.autograd.forward_ad)
    with backend.active():
        ours = program(xpnn, forward_ad)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert mine.requires_grad == other.requires_grad
        np.testing.assert_allclose(backend.numpy(mine.detach()), other.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_recording_is_as_before() -> None:
    @forward_ad.dual_level()
    def push(x: Any) -> Any:
        return forward_ad.unpack_dual(forward_ad.make_dual(x, x) ** 2).tangent

    with xpnn.no_grad():
        assert push(xpnn.tensor([3.0])).tolist() == [18.0]
        assert not xpnn.is_grad_enabled()
    assert xpnn.is_grad_enabled()


def within(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        with forward_ad.dual_level():
            return call(x)

    return run


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: forward_ad.make_dual(x, x), "needs a level"),
        (lambda x: forward_ad.exit_dual_level(), "needs a level"),
        (within(lambda x: forward_ad.enter_dual_level()), "does not nest"),
        (within(lambda x: forward_ad.make_dual(x, x[0])), r"shape \(2, 3\), got \(3,\)"),
        (within(lambda x: forward_ad.make_dual(x.long(), x)), "got int64"),
        (within(lambda x: forward_ad.make_dual(x, x.double())), "a tangent of float32, got float64"),
        (within(lambda x: forward_ad.make_dual(forward_ad.make_dual(x, x) * 2, x)), "a tangent already"),
    ],
)
def test_refusals(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(xpnn.XpnnError, match=text):
        call(xpnn.tensor(X.tolist()))


def test_operations_in_place() -> None:
    w = xpnn.tensor([1.0, 2.0], requires_grad=True)
    with forward_ad.dual_level():
        x = forward_ad.make_dual(w * 1, xpnn.tensor([1.0, 10.0]))
        y = x * 2
        x.mul_(3)
        assert forward_ad.unpack_dual(x).tangent.tolist() == [3, 30]
        assert forward_ad.unpack_dual(x * x).tangent.tolist() == [18, 360]
        assert forward_ad.unpack_dual(y).tangent.tolist() == [2, 20]
