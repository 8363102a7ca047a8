"""Tensor's methods against PyTorch's of the same name: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from halves import PRECISION, half_types, in_float64, in_half
from targets import Target

import xpnn
from xpnn.backend import XpnnError, dtype_name

VALUES = np.random.default_rng(0).standard_normal((2, 3, 4))

# What is done to a Tensor of shape (2, 3, 4), the same words for both libraries.
METHODS: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda x: x.reshape(4, -1),
    "view": lambda x: x.view((6, 4)),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(2, (2, -1)),
    "permute": lambda x: x.permute(2, 0, -2),
    "transpose": lambda x: x.transpose(0, -1),
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "squeeze": lambda x: x[:1].squeeze(0),
    "expand": lambda x: x[:, :1].expand(2, 5, -1),
    "repeat": lambda x: x.repeat(2, 1, 1, 2),
    "unbind": lambda x: x.unbind(1)[2],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split([1, 3], -1)[1],
    "flip": lambda x: x.flip(0, 2),
    "roll": lambda x: x.roll(1, 2),
    "sum": lambda x: x.sum(dim=(0, 2)),
    "mean": lambda x: x.mean(1, keepdim=True),
    "prod": lambda x: x.prod(1),
    "var": lambda x: x.var(2),
    "std": lambda x: x.std(dim=1, correction=0),
    "max": lambda x: x.max(1).values,
    "min": lambda x: x.min(2, keepdim=True)[0],
    "amax": lambda x: x.amax((0, 1)),
    "amin": lambda x: x.amin(2),
    "cumsum": lambda x: x.cumsum(1),
    "norm": lambda x: x.norm(2, dim=1),
    "softmax": lambda x: x.softmax(1),
    "sigmoid": lambda x: x.sigmoid(),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "mm": lambda x: x[0].mm(x[1].t()),
    "bmm": lambda x: x.bmm(x.transpose(1, 2)),
    "gather": lambda x: x.gather(1, x.detach().argmax(1, keepdim=True)),
    "index_select": lambda x: x.index_select(2, x.detach().abs().argmin(2)[0]),
    "masked_fill": lambda x: x.masked_fill(x.detach() > 0, 2.0),
    "sort": lambda x: x.sort(1, descending=True)[0],
    "clone": lambda x: x.clone(),
    "type_as": lambda x: x.type_as(x),
}


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str, backend: Target) -> None:
    torch = pytest.importorskip("torch")
    function = METHODS[name]
    theirs = torch.tensor(VALUES, requires_grad=True)
    mine = xpnn.Tensor(backend.array(VALUES), requires_grad=True)
    expected, result = function(theirs), function(mine)
    assert result.shape == tuple(expected.shape)
    np.testing.assert_allclose(backend.numpy(result), expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    (expected * expected).sum().backward()
    (result * result).sum().backward()
    np.testing.assert_allclose(backend.numpy(mine.grad), theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_sizes() -> None:
    x = xpnn.tensor(VALUES)
    assert (x.dim(), x.numel(), x.size, len(x)) == (3, 24, 24, 2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda t: t + xpnn.tensor([1.0, 2.0]), r"^add does not take float32 of shape \(2, 3\),"),
        (lambda t: t.sum(7), r"^sum does not take .*7"),
        (lambda t: t.sum((0, 0.5)), r"^sum does not take .*0.5"),
        (lambda t: t.unflatten(1, 3), r"^unflatten does not take .*, 1, 3"),
        (lambda t: xpnn.xp.flip(t, axis="a"), r"^flip does not take .*axis='a'"),
        (lambda t: t.sum(dtype="float31"), r"name of a dtype, got 'float31'"),
    ],
)
def test_what_the_library_refuses_is_named(backend: Target, call: Callable[[Any], Any], match: str) -> None:
    """The operation and what it was given, in an error of xpnn's, whatever the library raised."""
    t = xpnn.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with pytest.raises(XpnnError, match=match) as caught:
        call(t)
    assert caught.value.__cause__ is not None or "dtype" in match


def test_a_hook_s_own_error_stays_what_it_is() -> None:
    class MyError(ValueError):
        pass

    def hook(gradient: Any) -> None:
        raise MyError("mine")

    t = xpnn.tensor([1.0], requires_grad=True)
    y = t * 2
    y.register_hook(hook)
    with pytest.raises(MyError, match=r"^mine$"):
        y.backward()


MANY = 70_000


def both_signs(x: Any) -> Any:
    return x.__array_namespace__().stack([x, -x])


# Of ones in half precision, whose sum is no number of float16, and 257 none of bfloat16.
REDUCTIONS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "mean": (lambda x: (x * 300).mean(), 300),
    "sum": (lambda x: (x * 0.5).sum(), MANY / 2),
    "sum along": (lambda x: (x * 0.5).sum(dim=0), MANY / 2),
    "sum in float32": (lambda x: x.sum(dtype="float32"), MANY),
    "var": (lambda x: both_signs(x * 100).var(), 1e4),
    "std": (lambda x: both_signs(x * 300).std(), 300),
    "norm": (lambda x: (x * 200).norm(), 200 * MANY**0.5),
    "norm 1": (lambda x: (x * 0.5).norm(1), MANY / 2),
    "cumsum": (lambda x: (x * 0.5).cumsum(0)[-1], MANY / 2),
    "prod": (lambda x: (256.0 ** (2.5 - x[:4].cumsum(0))).prod(), 1),
    "softmax": (lambda x: x.softmax(0).sum(), 1),
    "log_softmax": (lambda x: x.log_softmax(0)[0], -np.log(MANY)),
    "matmul": (lambda x: (x * 0.5) @ x, MANY / 2),
}
# What a gradient of ones adds up to where an element is read many times.
GRADIENTS: dict[str, Callable[[Any, Any], Any]] = {
    "broadcasting": lambda x, ones: x + ones,
    "broadcast_to": lambda x, ones: x.expand(ones.shape[0]),
    "an index": lambda x, ones: x[[0] * ones.shape[0]],
    "repeat": lambda x, ones: ones.__array_namespace__().repeat(x, ones.shape[0]),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_half(name: str, backend: Target) -> None:
    for dtype in half_types(backend):
        function, expected = REDUCTIONS[name]
        with np.errstate(all="ignore"):
            y = function(xpnn.Tensor(in_half(backend, dtype, [np.ones(MANY)])[0]))
        assert dtype_name(y.dtype) == ("float32" if "float32" in name else dtype)
        np.testing.assert_allclose(in_float64(y), expected, rtol=PRECISION[dtype][0], atol=1e-4)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_half_add_up_in_float32(name: str, backend: Target) -> None:
    for dtype in half_types(backend):
        one, ones = (xpnn.Tensor(a) for a in in_half(backend, dtype, [np.ones(1), np.ones(MANY)]))
        one.requires_grad = True
        (gradient,) = xpnn.grad([GRADIENTS[name](one, ones)], [one], [ones * 0.5])
        assert dtype_name(gradient.dtype) == dtype
        np.testing.assert_allclose(in_float64(gradient), MANY / 2, rtol=PRECISION[dtype][0])
