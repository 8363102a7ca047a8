"""`autograd.graph`: what is saved, and hooks on nodes and on several Tensors, held to PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.autograd import graph

torch = pytest.importorskip("torch")


def two(t: Any) -> tuple[Any, Any]:
    x, w = ([1.0, 2.0, 3.0], [0.5, 0.1, 0.2])
    return t.tensor(x, requires_grad=True), t.tensor(w, requires_grad=True)


def packed_twice_differentiated(t: Any) -> list[Any]:
    x, w = two(t)
    with t.autograd.graph.saved_tensors_hooks(lambda a: a.tolist(), lambda values: t.tensor(values)):
        y = (x * w).exp()
        z = (y * y).sum()
    (g,) = t.autograd.grad(z, x, create_graph=True)
    return [g, *t.autograd.grad(g.pow(2).sum(), (x, w))]


def what_is_unpacked_counts(t: Any) -> list[Any]:
    x, _ = two(t)
    with t.autograd.graph.saved_tensors_hooks(lambda a: a, lambda a: a + 1):
        y = x.sin().sum()
    y.backward(retain_graph=True)
    y.backward()
    return [x.grad]


def network(t: Any) -> list[Any]:
    """Kernels of all kinds, to second order, with what they save on the host."""
    layers = [
        t.nn.Conv2d(1, 2, 3),
        t.nn.BatchNorm2d(2),
        t.nn.ReLU(),
        t.nn.MaxPool2d(2),
        t.nn.Flatten(),
        t.nn.Linear(8, 3),
    ]
    net = t.nn.Sequential(*layers)
    with t.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(t.linspace(-1, 1, p.numel()).reshape(p.shape) * (i + 1) / 3)
    x = t.linspace(-1, 2, 72).sin().reshape(2, 1, 6, 6).requires_grad_()
    with t.autograd.graph.save_on_cpu():
        loss = t.nn.functional.cross_entropy(net(x), t.tensor([0, 2]))
    (g,) = t.autograd.grad(loss, x, create_graph=True)
    (10 * g.pow(2).sum()).backward()
    return [g, *[p.grad for p in net.parameters()]]


def hooks_of_nodes(t: Any) -> list[Any]:
    x, _ = two(t)
    y = (x * 2).sum()
    node = y.grad_fn.next_functions[0][0]
    leaf = node.next_functions[0][0]
    assert leaf.variable is x
    assert leaf.next_functions == ()
    seen: list[Any] = []
    handles = [
        node.register_prehook(lambda gy: (gy[0] * 3,)),
        node.register_hook(lambda gx, gy: (gx[0] + gy[0], *gx[1:])),
        leaf.register_prehook(lambda gradients: (gradients[0] * 2,)),
        leaf.register_hook(lambda nothing, gradients: seen.append(gradients[0].clone())),
    ]
    y.backward(retain_graph=True)
    for handle in handles:
        handle.remove()
    y.backward()
    return [x.grad, *seen]


def hooks_of_nodes_recorded(t: Any) -> list[Any]:
    x, w = two(t)
    y = x * w
    y.grad_fn.register_hook(lambda gx, gy: (gx[0] * x, gx[1]))
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return [g, *t.autograd.grad(g.sum(), (x, w))]


def several(t: Any) -> list[Any]:
    a, b = (t.ones(2, 3, requires_grad=True) for _ in range(2))
    c, d = a * b, a * b
    seen: list[Any] = []
    with t.autograd.graph.register_multi_grad_hook(
        (a, b, c, d), lambda gradients: seen.append(t.tensor([g is not None for g in gradients]))
    ):
        c.sum().backward(retain_graph=True)
        c.sum().backward(inputs=(a,), retain_graph=True)
        t.autograd.grad((c + d).sum(), c, retain_graph=True)
    c.sum().backward(retain_graph=True)
    handle = t.autograd.graph.register_multi_grad_hook((a, c, d), seen.append, mode="any")
    (c + d).sum().backward(retain_graph=True)
    handle.remove()
    return [*seen, a.grad]


def edges(t: Any) -> list[Any]:
    x, w = two(t)
    y = x * w
    places = [t.autograd.graph.get_gradient_edge(value) for value in (y, w)]
    z = (y.exp() * w).sum()
    del y
    return [*t.autograd.grad(z, places)]


def edges_as_roots(t: Any) -> list[Any]:
    x, w = two(t)
    y, ones = (x * w).exp(), t.ones_like(x)
    places = [t.autograd.graph.get_gradient_edge(value) for value in (y, w, y.sum())]
    del y
    first = t.autograd.grad(places[:2], (x, w), (ones * 2, ones), retain_graph=True, create_graph=True)
    second = t.autograd.grad(first[0].sum(), x, retain_graph=True)
    t.autograd.backward(places[2])
    return [*first, *second, x.grad, w.grad]


PROGRAMS = [
    packed_twice_differentiated,
    what_is_unpacked_counts,
    network,
    hooks_of_nodes,
    hooks_of_nodes_recorded,
    several,
    edges,
    edges_as_roots,
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_against_pytorch(program: Callable[[Any], list[Any]], backend: Target) -> None:
    theirs = program(torch)
    with backend.active():
        ours = program(xpnn)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        expected = other.detach().numpy()
        np.testing.assert_allclose(backend.numpy(mine.detach()), expected, rtol=1e-3, atol=1e-5)


def test_packs_innermost_off_the_tape_and_once_an_operation() -> None:
    packed: list[Any] = []

    def pack(x: Any) -> Any:
        packed.append((x, xpnn.is_grad_enabled()))
        return x

    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    with (
        graph.saved_tensors_hooks(lambda x: 1 / 0, lambda x: x),
        graph.saved_tensors_hooks(pack, lambda x: x),
    ):
        y = x * x
    assert [(a.tolist(), recording) for a, recording in packed] == [([1.0, 2.0], False)]
    y.sum().backward()
    with pytest.raises(xpnn.backend.GradientError, match="freed"):
        y.sum().backward()
    (x * x).sum().backward()  # the blocks have ended
    assert len(packed) == 1


def test_a_checkpoint_within_hooks_recomputes() -> None:
    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    with graph.saved_tensors_hooks(lambda a: a.tolist(), lambda values: xpnn.tensor(values)):
        y = xpnn.checkpoint(lambda x: (x * x).exp(), x.sin())
    y.sum().backward()
    expected = (2 * x.sin() * x.cos() * (x.sin() ** 2).exp()).tolist()
    np.testing.assert_allclose(x.grad.tolist(), expected, rtol=1e-5)


def test_nodes_say_what_they_are() -> None:
    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 3).sum()
    node = y.grad_fn
    assert node.name() == "sum"
    (product, number), *_ = node.next_functions
    assert (product.name(), number) == ("multiply", 0)
    assert product.next_functions[1] == (None, 0)
    leaf = product.next_functions[0][0]
    assert leaf.name() == "AccumulateGrad"
    assert leaf == graph.AccumulateGrad(x) == graph.get_gradient_edge(x).node
    assert len({leaf, graph.AccumulateGrad(x)}) == 1
    node.metadata["seen"] = 1
    assert y.grad_fn.metadata == {"seen": 1}
    assert isinstance(node, graph.Node)


def test_unused_edges_are_zeros_where_asked() -> None:
    x = xpnn.ones(2, requires_grad=True)
    places = [graph.get_gradient_edge(x * 2), graph.get_gradient_edge(xpnn.ones(3, requires_grad=True))]
    found = xpnn.autograd.grad(x.sum(), places, materialize_grads=True)
    assert [g.tolist() for g in found] == [[0.0, 0.0], [0.0, 0.0, 0.0]]
    assert xpnn.autograd.grad(x.sum(), places[0], allow_unused=True) == (None,)


def backward_of(unpack: Callable[[Any], Any]) -> None:
    x = xpnn.ones(2, requires_grad=True)
    with graph.saved_tensors_hooks(lambda a: a, unpack):
        y = (x * x).sum()
    y.backward()


def hooked(hook: Callable[..., Any]) -> None:
    y = xpnn.ones(2, requires_grad=True) * 2
    y.grad_fn.register_hook(hook)
    y.sum().backward()


def within_hooks() -> None:
    with graph.save_on_cpu(), graph.disable_saved_tensors_hooks("none here"):
        pass


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: backward_of(lambda a: 3), "expects a Tensor, got int"),
        (lambda: backward_of(lambda a: a[:1]), r"shape \(2,\) again, got \(1,\)"),
        (lambda: graph.saved_tensors_hooks(1, 2), "two functions"),
        (within_hooks, "none here"),
        (lambda: hooked(lambda gx, gy: (gx[0],)), "2 gradients from a hook, got 1"),
        (lambda: hooked(lambda gx, gy: (gx[0][:1], None)), r"shape \(2,\)"),
        (lambda: graph.get_gradient_edge(xpnn.ones(2)), "requires a gradient"),
        (lambda: graph.get_gradient_edge(2), "expects a Tensor"),
        (lambda: graph.register_multi_grad_hook([xpnn.ones(2)], print), "requires a gradient"),
        (lambda: graph.register_multi_grad_hook([], print, mode="some"), "'all' or 'any'"),
    ],
)
def test_refusals(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(xpnn.XpnnError, match=text):
        call()


def test_named_tuples_that_are_saved() -> None:
    """Kernels of attention keep such."""
    layer = xpnn.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    with graph.save_on_cpu():
        y = layer(xpnn.ones(2, 3, 4)).sum()
    y.backward()
    assert all(p.grad is not None for p in layer.parameters())
