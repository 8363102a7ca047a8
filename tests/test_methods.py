"""Tensor's methods against PyTorch's of the same name: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import XpnnError

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
        (lambda t: t.view(4, 2), r"^(view|reshape) does not take .*4, 2"),
        (lambda t: t.chunk(0), r"^chunk does not take .*, 0"),
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
