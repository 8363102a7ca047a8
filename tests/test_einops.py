"""einops on Tensors: its functions and layers, with gradients, whichever of the two is imported first."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn
from xpnn.testing import gradcheck

pytest.importorskip("einops")

import einops

from xpnn.einops import EinMix, Rearrange, Reduce

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "rearrange": lambda e, x: e.rearrange(x, "a (b k) c -> c (k a) b", k=2),
    "rearrange a list": lambda e, x: e.rearrange([x, x * 2], "n a b c -> a (n b) c"),
    "repeat": lambda e, x: e.repeat(x, "a b c -> a (b k) c 2", k=3),
    **{
        f"reduce by {way}": lambda e, x, way=way: e.reduce(x, "a (b 2) c -> b 1", way)
        for way in ("max", "min", "mean", "sum", "prod")
    },
    "einsum": lambda e, x: e.einsum(x, x, "a b c, a d c -> b d"),
    "pack": lambda e, x: e.pack([x, x], "a * c")[0],
    "unpack": lambda e, x: e.unpack(x, [[1], [3]], "a * c")[1],
}


@pytest.mark.parametrize("name", CALLS)
def test_functions(name: str, backend: Target) -> None:
    values = np.random.default_rng(0).permutation(24).reshape(2, 4, 3) / 10 + 1
    found = CALLS[name](einops, xpnn.Tensor(backend.array(values)))
    assert isinstance(found, xpnn.Tensor)
    np.testing.assert_allclose(backend.numpy(found), CALLS[name](einops, values), rtol=1e-12)
    x = xpnn.Tensor(backend.array(values), requires_grad=True)
    assert gradcheck(lambda x: CALLS[name](einops, x), (x,))


def test_booleans_and_integers() -> None:
    x = xpnn.tensor([[True, False], [True, True]])
    assert einops.reduce(x, "a b -> a", "all").tolist() == [False, True]
    assert einops.reduce(x, "a b -> b", "any").tolist() == [True, True]
    assert einops.reduce(xpnn.tensor([[1, 2]]), "a b -> a", "sum").tolist() == [3]
    np.testing.assert_array_equal(einops.asnumpy(x), xpnn.to_numpy(x), strict=True)


LOOKED_FOR = (
    "xpnn, importlib.util; places = importlib.util.find_spec('einops').submodule_search_locations; "
    "[finder.find_spec('einops._backends', places) for finder in list(sys.meta_path)]; import einops"
)


@pytest.mark.parametrize("order", ["einops, xpnn", "xpnn, einops", "xpnn.einops, einops", LOOKED_FOR])
def test_either_may_be_imported_first(order: str) -> None:
    program = f"import sys, {order}; print(einops.rearrange(xpnn.zeros(2, 3), 'a b -> b a').shape)"
    program += "; print(*[one for one in sys.meta_path if 'xpnn' in type(one).__module__])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["(3, 2)", ""]


def test_layers_are_modules() -> None:
    model = nn.Sequential(
        Rearrange("b c (h k) (w l) -> b (h w) (c k l)", k=2, l=2),
        EinMix("b t (c k) -> b t h", "c k h", "h", c=3, k=4, h=5),
        Reduce("b t h -> b h", "mean"),
    ).eval()
    assert sorted(model.state_dict()) == ["1.bias", "1.weight"]
    assert repr(model[2]) == "Reduce('b t h -> b h', 'mean')"
    assert repr(model[1]) == "EinMix('b t (c k) -> b t h', 'c k h', 'h', c=3, k=4, h=5)"
    x = xpnn.randn(2, 3, 4, 6)
    y = model(x)
    assert y.shape == (2, 5)
    y.sum().backward()
    assert model[1].weight.grad is not None
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not any(layer.training for layer in other.modules())
        np.testing.assert_array_equal(other(x).numpy(force=True), y.numpy(force=True))


def test_weights_are_drawn_from_the_interval_of_einops() -> None:
    layer = EinMix("b c -> b h", "c h", "h", c=12, h=500)
    weight, bias = layer.weight.numpy(force=True), layer.bias.numpy(force=True)
    assert 0.49 < np.abs(weight).max() <= 0.5  # (3 / 12)^1/2
    assert 0.27 < np.abs(bias).max() <= 12**-0.5


def test_errors_are_those_of_einops() -> None:
    with pytest.raises(einops.EinopsError, match="can't divide axis of length 3"):
        einops.rearrange(xpnn.zeros(3), "(a b) -> a b", b=2)
