"""The public view of the recorded graph: its order, names, shapes, values and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn
from xpnn.autograd import Function, checkpoint
from xpnn.autograd.recorded import Graph
from xpnn.backend import ArgumentError, DTypeError, GradientError


def f(x: Any) -> Any:
    return 2 / xpnn.sin(xpnn.exp(-x))


def g(x1: Any, x2: Any) -> Any:
    return xpnn.log(x1) + x1 * x2 - xpnn.sin(x2)


def names(graph: Graph) -> list[str]:
    return [node.label or node.name for node in graph]


def number(tensor: Any) -> float:
    return float(tensor.item())


def check_order(graph: Graph) -> None:
    for place, node in enumerate(graph):
        assert node.index == place
        assert all(parent.index < place and graph[parent.index] is parent for parent in node.parents)


def test_two_over_sin_exp_minus_x(backend: Target) -> None:
    """By hand: v1 = -x, v2 = exp v1, v3 = sin v2, y = 2 / v3, and the chain rule back."""
    at = -0.5
    graph = xpnn.graph(f, at, gradients=True)
    check_order(graph)
    assert names(graph) == ["x", "negative", "exp", "sin", "constant", "divide"]
    v2 = math.exp(-at)
    v3 = math.sin(v2)
    values = [at, -at, v2, v3, 2, 2 / v3]
    assert [number(node.value) for node in graph] == pytest.approx(values, rel=1e-5)
    by_v3 = -2 / v3**2
    by_v2 = by_v3 * math.cos(v2)
    by_v1 = by_v2 * v2
    found = [node.gradient for node in graph]
    assert found[4] is None
    del found[4]
    assert [number(value) for value in found] == pytest.approx([-by_v1, by_v1, by_v2, by_v3, 1], rel=1e-4)
    x = xpnn.tensor(at)
    one = xpnn.tensor(1.0)
    assert number(xpnn.jvp(f, x, one)[1]) == pytest.approx(-by_v1, rel=1e-4)
    assert number(xpnn.vjp(f, x, one)[1]) == pytest.approx(-by_v1, rel=1e-4)


def test_the_sum_of_paths_of_the_second_worked_case(backend: Target) -> None:
    """y = ln x1 + x1 x2 - sin x2 at (2, 5): 11.652, 5.5 and 1.716 in every textbook."""
    graph = xpnn.graph(g, 2, 5, gradients=True)
    check_order(graph)
    assert names(graph) == ["x1", "log", "x2", "multiply", "add", "sin", "subtract"]
    assert graph.edges == [(0, 1), (0, 3), (2, 3), (1, 4), (3, 4), (2, 5), (4, 6), (5, 6)]
    values = [2, math.log(2), 5, 10, 10 + math.log(2), math.sin(5), 10 + math.log(2) - math.sin(5)]
    assert [number(node.value) for node in graph] == pytest.approx(values, rel=1e-5)
    slopes = [5.5, 1, 2 - math.cos(5), 1, 1, -1, 1]
    assert [number(node.gradient) for node in graph] == pytest.approx(slopes, rel=1e-5)
    at = (xpnn.tensor(2.0), xpnn.tensor(5.0))
    along = [xpnn.jvp(g, at, (xpnn.tensor(a), xpnn.tensor(b)))[1] for a, b in ((1.0, 0.0), (0.0, 1.0))]
    back = xpnn.vjp(g, at, xpnn.tensor(1.0))[1]
    for products in (along, back):
        assert [number(p) for p in products] == pytest.approx(
            [graph["x1"].gradient.item(), slopes[2]], rel=1e-5
        )
    assert str(graph).splitlines()[3].split() == ["2", "leaf", "x2", "()", "float32", "5", "1.716"]


def test_a_recorded_tensor_shows_what_the_tape_has(backend: Target) -> None:
    x = xpnn.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3), requires_grad=True)
    w = xpnn.tensor(np.ones((3, 4), dtype=np.float32), requires_grad=True)
    hidden = xpnn.tanh(x @ w)
    hidden.retain_grad()
    loss = (hidden * hidden).mean()
    graph = xpnn.graph(loss, names={"x": x, "w": w, "hidden": hidden})
    check_order(graph)
    assert names(graph)[:4] == ["x", "w", "matmul", "hidden"]
    assert graph["hidden"].shape == (2, 4)
    assert graph["hidden"].dtype == "float32"
    assert [p.index for p in graph[4].parents] == [3, 3], "one Tensor twice"
    np.testing.assert_array_equal(xpnn.backend.to_numpy(graph["hidden"].value), xpnn.backend.to_numpy(hidden))
    assert all(node.gradient is None for node in graph)
    assert graph.outputs[0].shape == ()
    found = xpnn.graph(loss, gradients=True)
    assert x.grad is None
    loss.backward()
    after = xpnn.graph(loss, names={"x": x, "hidden": hidden})
    assert [node.shape for node in after] == [node.shape for node in graph], "also when it is freed"
    for node in (after["x"], after["hidden"], after[1]):
        np.testing.assert_allclose(
            xpnn.backend.to_numpy(node.gradient), xpnn.backend.to_numpy(found[node.index].gradient)
        )
    with pytest.raises(GradientError, match="freed"):
        xpnn.graph(loss, gradients=True)


def test_modules_parameters_and_constants_have_their_names() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.ReLU(), nn.Flatten()))
    graph = xpnn.graph(net, xpnn.ones(1, 1, 4, 4), gradients=True)
    check_order(graph)
    assert names(graph) == [
        "input", "0.weight", "0.bias", "conv", "1.weight", "1.bias", "batch_norm", "relu", "reshape",
    ]  # fmt: skip
    modules = [node.module for node in graph if node.kind == "operation"]
    assert modules == ["Conv2d '0'", "BatchNorm2d '1'", "ReLU '2.0'", "Flatten '2.1'"]
    assert graph["input"].kind == "constant"
    norm = graph[6]
    assert [output.shape for output in norm.outputs] == [(1, 2, 2, 2), (2,), (2,)]
    assert graph[3].options["stride"] == (1, 1)
    plain = xpnn.graph(net(xpnn.ones(1, 1, 4, 4)).sum(), names=net.named_parameters())
    assert plain["0.weight"].kind == "leaf"
    assert all(node.module == "" for node in plain)


def test_results_of_several_outputs_checkpoints_and_own_functions() -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, None

        @staticmethod
        def backward(ctx: Any, gradient: Any, _: Any) -> Any:
            return gradient * 2

    x = xpnn.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    graph = xpnn.graph(
        lambda x: (lambda a, b: a * b)(*xpnn.chunk(Double.apply(x)[0], 2)).sum(), x, gradients=True
    )
    check_order(graph)
    assert "Double" in names(graph)
    assert graph[0].gradient.tolist() == [12.0, 16.0, 4.0, 8.0]

    y = checkpoint(lambda x: xpnn.exp(x).sum(), x)
    graph = xpnn.graph(y, gradients=True)
    assert names(graph) == ["leaf", "exp", "sum"]
    np.testing.assert_allclose(graph[0].gradient.tolist(), np.exp([1, 2, 3, 4]), rtol=1e-6)
    assert xpnn.graph([x, y])[0].kind == "leaf"
    assert len(xpnn.graph(x)) == 1
    nested = xpnn.graph(nn.LSTM(2, 3), xpnn.ones(1, 2, requires_grad=True))
    assert nested.outputs[0].shape == (1, 3)
    both = xpnn.graph([y, (x * 3).sum()])
    assert [node.name for node in both.outputs] == ["sum", "sum"]
    assert both.outputs[0] is not both.outputs[1]


def test_gradients_of_the_graph_are_those_of_grad(backend: Target) -> None:
    """Of intermediate results too, in a net in which one of them is used three times."""
    random = np.random.default_rng(0)
    x = xpnn.tensor(random.normal(size=(3, 4)).astype("float32"), requires_grad=True)
    h = xpnn.tanh(x)
    loss = (h * xpnn.sigmoid(h) + h).sum()
    graph = xpnn.graph(loss, names={"h": h}, gradients=True)
    expected = xpnn.grad(loss, [x, h], retain_graph=True)
    for node, gradient in zip((graph[0], graph["h"]), expected):
        np.testing.assert_allclose(
            xpnn.backend.to_numpy(node.gradient), xpnn.backend.to_numpy(gradient), rtol=1e-6
        )


def test_graph_is_off_again_afterwards() -> None:
    """Nothing is kept by what is recorded later, also after an error."""

    def broken(x: Any) -> Any:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        xpnn.graph(broken, 1.0)
    y = xpnn.exp(xpnn.tensor(1.0, requires_grad=True))
    assert y.grad_fn.values is None
    assert y.grad_fn.scope == ()
    with xpnn.detect_anomaly():
        xpnn.graph(f, -0.5)
        assert xpnn.exp(xpnn.tensor(1.0, requires_grad=True)).grad_fn.values is None


def test_a_function_of_constants_has_a_graph() -> None:
    x = xpnn.tensor([1.0, 2.0])
    graph = xpnn.graph(lambda x, k: (x[k] * x).sum(), x, xpnn.tensor([1, 0]), gradients=True)
    assert graph["x"].kind == "leaf"
    assert graph["x"].gradient.tolist() == [4.0, 2.0]
    assert not x.requires_grad


def test_what_has_no_graph_is_refused() -> None:
    with pytest.raises(GradientError, match="requires no gradient"):
        xpnn.graph(xpnn.ones(2))
    with pytest.raises(DTypeError, match="expects Tensors or a function, got str"):
        xpnn.graph("loss")
    with pytest.raises(ArgumentError, match="only for a function"):
        xpnn.graph(xpnn.tensor(1.0, requires_grad=True), 2.0)
    with pytest.raises(KeyError):
        xpnn.graph(f, 1.0)["no such name"]
