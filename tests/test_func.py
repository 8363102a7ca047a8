"""`xpnn.func`: functions of functions, held to `torch.func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn

torch = pytest.importorskip("torch")
pytest.importorskip("torch.func")

X = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
WEIGHTS = [np.random.default_rng(i).standard_normal((2, 4)).astype("float32") for i in range(2)]


def linear(t: Any, i: int = 0) -> Any:
    layer = t.nn.Linear(4, 2, bias=False)
    layer.load_state_dict({"weight": t.from_numpy(WEIGHTS[i])})
    return layer


def outer(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A derivative that is differentiated by the tape in a Tensor from outside."""

    def program(t: Any, x: Any) -> Any:
        w = t.from_numpy(X).requires_grad_()
        result = function(t, w)
        result.sum().backward()
        return result, w.grad

    return program


def pulled(t: Any, x: Any) -> Any:
    output, pull = t.func.vjp(lambda a, b: (a * b, a.sin()), x, x + 1)
    return output, pull((x, x)), pull((x, x * 2))


def pulled_alone(t: Any, x: Any) -> Any:
    output, pull, aux = t.func.vjp(lambda a: (a * a, a), x, has_aux=True)
    return output, pull(x), aux


def per_sample(t: Any, x: Any) -> Any:
    layer = linear(t)
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    loss = lambda p, row: (t.func.functional_call(layer, p, (row,)) ** 2).sum()
    return t.vmap(t.func.grad(loss), in_dims=(None, 0))(weights, x)


def linearized(t: Any, x: Any) -> Any:
    output, push = t.func.linearize(lambda d, b: {"a": d["w"].exp() * b, "b": b.sum()}, {"w": x}, x + 1)
    return output, push({"w": x}, x), push({"w": x * 2}, x - 1)


def drawn(t: Any, x: Any, randomness: str) -> Any:
    rows = t.vmap(lambda a: a * 0 + t.rand(4), randomness=randomness)(x)
    return (rows[0] == rows[1]).all()


def ensemble(t: Any, x: Any) -> Any:
    models = [linear(t, i) for i in range(2)]
    state = t.func.stack_module_state(models)
    call = lambda p, b, x: t.func.functional_call(models[0], (p, b), (x,))
    return t.func.vmap(call, in_dims=(0, 0, None))(*state, x)


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda t, x: t.func.grad(lambda x: x.sin().sum())(x),
    "grad of a dictionary, and the value": lambda t, x: t.func.grad_and_value(
        lambda p, y: (p["w"] * y).pow(2).sum()
    )({"w": x}, x + 1),
    "grad in two arguments": lambda t, x: t.func.grad(lambda a, b: (a * b).sum(), (0, -1))(x, x + 1),
    "grad with aux": lambda t, x: t.func.grad(lambda a: ((a * a).sum(), {"a": a}), has_aux=True)(x),
    "grad of grad": lambda t, x: t.func.grad(t.func.grad(lambda a: a**3))(x[0, 0]),
    "grad of nothing": lambda t, x: t.func.grad(lambda a, b: b.sum())(x, x),
    "outer in a closure": outer(lambda t, w: t.func.grad(lambda a: (a**3 * w).sum())(t.from_numpy(X))),
    "outer in an argument": outer(lambda t, w: t.func.grad(lambda a: (a**3).sum())(w)),
    "vjp": pulled,
    "vjp of one": pulled_alone,
    "jvp": lambda t, x: t.func.jvp(lambda a, b: (a * b, a.sin()), (x, x + 1), (x * 2, x)),
    "jvp of a constant": lambda t, x: t.func.jvp(lambda a: t.ones(2), (x,), (x,)),
    "jacrev": lambda t, x: t.func.jacrev(lambda a: (a.sin(), {"sum": a.sum(0)}))(x),
    "jacrev in two": lambda t, x: t.func.jacrev(lambda a, b: a @ b, (0, 1))(x, x.t()),
    "jacfwd": lambda t, x: t.func.jacfwd(lambda a: a.sin())(x),
    "hessian": lambda t, x: t.func.hessian(lambda a, b: (a**3 * b).sum(), (0, 1))(x[0], x[1]),
    "vmap": lambda t, x: t.func.vmap(lambda a, b: (a * b).sum(), (0, None))(x, x[0]),
    "vmap to other axes": lambda t, x: t.vmap(lambda a: (a, a.sum()), 1, (1, 0))(x),
    "vmap of vmap": lambda t, x: t.vmap(t.vmap(lambda a: a * 2))(x),
    "vmap of nestings": lambda t, x: t.vmap(
        lambda d: ({"a": d["x"], "b": d["x"]}, d["x"]), ({"x": -1},), ({"a": 1, "b": 0}, 0)
    )({"x": x}),
    "vmap over nothing": lambda t, x: t.vmap(lambda a: (a, a.sum()), 0, (1, 0))(x[:0]),
    "vmap of what is common": lambda t, x: t.vmap(lambda a: (a, t.ones(2)), 0, (0, None))(x),
    "vmap leaves keywords whole": lambda t, x: t.vmap(lambda a, *, k: a + k)(x, k=x),
    "vmap draws the same": lambda t, x: drawn(t, x, "same"),
    "vmap draws different ones": lambda t, x: drawn(t, x, "different"),
    "linearize": linearized,
    "gradients of samples": per_sample,
    "ensemble": ensemble,
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr:UserWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_against_pytorch(name: str) -> None:
    theirs, ours = [leaves(PROGRAMS[name](t, t.from_numpy(X))) for t in (torch, xpnn)]
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert mine.requires_grad == other.requires_grad
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-4, atol=1e-5)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, tuple | list | dict):
        return [leaf for v in (value.values() if isinstance(value, dict) else value) for leaf in leaves(v)]
    return [value]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: xpnn.func.grad(lambda a: a)(x), r"shape \(\), got shape \(3, 4\)"),
        (lambda x: xpnn.func.grad(lambda a: a.sum())(x.long()), "floating-point Tensors"),
        (lambda x: xpnn.func.grad(lambda a: a.sum(), 1)(x), "argnums below 1"),
        (lambda x: xpnn.func.grad(lambda a: a.sum(), has_aux=True)(x), "expects a pair"),
        (lambda x: xpnn.func.vjp(lambda a: a, x)[1](x, x), "expects 1 Tensors, got 2"),
        (lambda x: xpnn.func.jvp(lambda a: a, x, x), "two tuples"),
        (lambda x: xpnn.func.jvp(lambda a: a, (x,), (x[0],)), "shapes of the primals"),
        (lambda x: xpnn.vmap(lambda a: a, None)(x), "no argument with an axis"),
        (lambda x: xpnn.vmap(lambda a, b: a)(x, x[0]), r"one length, got \[3, 4\]"),
        (lambda x: xpnn.vmap(lambda a: a, (0, 0))(x), "in_dims"),
        (lambda x: xpnn.vmap(lambda a: a, 0, (0, 0))(x), "expects out_dims nested"),
        (lambda x: xpnn.vmap(lambda a: a, 2)(x), "no axis 2"),
        (lambda x: xpnn.vmap(lambda a: a, 0, None)(x), "differ between entries where out_dims is None"),
        (lambda x: xpnn.vmap(lambda a: xpnn.rand(2))(x), "draws random numbers"),
        (lambda x: xpnn.vmap(lambda a: a, randomness="none")(x), "got 'none'"),
        (lambda x: xpnn.vmap(lambda a: a, chunk_size=0)(x), "chunk_size as a whole number >= 1"),
        (lambda x: xpnn.func.jacrev(lambda a: a, chunk_size=0)(x), "chunk_size as a whole number >= 1"),
        (lambda x: xpnn.func.linearize(lambda a, b: a * b, x, x)[1](x), "2 tangents, got 1"),
        (lambda x: xpnn.func.linearize(lambda a: a, x)[1](x[0]), "shapes of the primals"),
        (lambda x: xpnn.vmap(lambda a: a.shape[0])(x), "Tensors from the function, got int"),
        (lambda x: xpnn.func.stack_module_state([]), "one module or more"),
        (lambda x: xpnn.func.jacrev(lambda a: a * 1j)(x), "jacrev expects real outputs, got complex ones"),
        (lambda x: xpnn.func.jacfwd(lambda a: a.abs())(x * 1j), "expects real inputs, got complex ones"),
    ],
)
def test_refusals(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(xpnn.XpnnError, match=text):
        call(xpnn.from_numpy(X))
