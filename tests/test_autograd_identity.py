"""One array in several places: what the tape must tell apart, and who may write into what."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import xpnn
from xpnn.autograd import tensor
from xpnn.backend import GradientError, backend_of


def leaf(values, dtype="float64"):
    return tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("swap", [False, True])
def test_a_value_and_its_detached_self_differ_at_second_order(backend, swap):
    """Both hold the same array, so that the array alone does not say which of the two was saved."""
    x = leaf([2.0, 3.0])
    product = x.detach() * x if swap else x * x.detach()
    (first,) = xpnn.grad((product * product).sum(), x, create_graph=True)  # d/dx (x c)^2 = 2 x c^2
    (second,) = xpnn.grad(first.sum(), x)
    np.testing.assert_allclose(xpnn.to_numpy(first.detach()), [2 * 2**3, 2 * 3**3])
    np.testing.assert_allclose(xpnn.to_numpy(second), [2 * 2**2, 2 * 3**2])


def test_two_leaves_of_one_array_differ_at_second_order(backend):
    array = backend.array([2.0, 3.0])
    x, y = xpnn.Tensor(array, requires_grad=True), xpnn.Tensor(array, requires_grad=True)
    gradients = xpnn.grad((x * y * y).sum(), [x, y], create_graph=True)
    (second,) = xpnn.grad(gradients[0].sum(), y)
    np.testing.assert_allclose(xpnn.to_numpy(second), [4.0, 6.0])


def test_gradients_of_numbers_are_arrays(backend):
    """NumPy's operators give scalars for 0-d arrays, which no primitive takes for an array."""
    x, seen = leaf(3.0, "float32"), []
    y = x * x
    y.register_hook(lambda g: seen.append(g * 2))
    (y * x).backward()
    (gradient,) = xpnn.grad(x * x, x)
    assert [(x.grad * 2).item(), (gradient * 2).item(), seen[0].item()] == [54.0, 12.0, 6.0]
    (x * x).backward()
    assert (x.grad * 2).item() == 66.0
    assert x.grad.dtype == gradient.dtype == x.dtype
    assert type(x.grad.array) is type(gradient.array) is type(x.array)


@pytest.mark.parametrize("create_graph", [False, True])
def test_leaves_do_not_share_a_gradient(backend, create_graph):
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    ((a + b) * a.detach()).sum().backward(create_graph=create_graph)
    a.grad += 1.0
    assert b.grad.tolist() == [1.0, 2.0]
    if backend_of(a.array).mutable:
        a.grad.array[0] = 9.0
        assert b.grad.tolist() == [1.0, 2.0]


def test_a_gradient_can_be_scaled_in_place(backend):
    """Also that of a sum, which is one number seen many times, and that which the caller brought."""
    a, seed = leaf([1.0, 2.0]), backend.array([1.0, 2.0])
    a.sum().backward()
    a.grad.array *= 0.5
    assert a.grad.tolist() == [0.5, 0.5]
    a.grad = None
    (+a).backward(seed)
    a.grad.array *= 0.5
    assert a.grad.tolist() == [0.5, 1.0]
    assert backend.numpy(seed).tolist() == [1.0, 2.0]


def test_gradients_asked_for_twice_are_two_tensors():
    x, y = leaf([1.0]), leaf([1.0])
    first, second = xpnn.grad((x + y).sum(), [x, y], create_graph=True)
    first += 1.0
    assert second.tolist() == [1.0]


def test_a_seed_that_requires_a_gradient_stays_on_the_tape():
    x, seed = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (gradient,) = xpnn.grad(+x, x, seed, create_graph=True)
    assert xpnn.grad((gradient * gradient).sum(), seed)[0].tolist() == [6.0, 8.0]


def test_retain_grad_twice_keeps_the_gradient_once():
    x = leaf([1.0])
    y = x * 2.0
    y.retain_grad()
    y.retain_grad()
    y.sum().backward()
    assert y.grad.tolist() == [1.0]


def test_retain_grad_keeps_what_hooks_have_made_of_the_gradient_whichever_came_first():
    x = leaf([1.0])
    y = x * 2.0
    y.retain_grad()
    y.register_hook(lambda g: g * 3.0)
    y.register_hook(lambda g: g + 1.0)
    y.sum().backward()
    assert (y.grad.tolist(), x.grad.tolist()) == ([4.0], [8.0])


def test_a_graph_with_hooks_is_freed_without_the_collector():
    x = leaf([1.0])
    y = x * 2.0
    y.retain_grad()
    handle = y.register_hook(lambda g: g)
    z = weakref.ref(y.sum())
    y = weakref.ref(y)
    gc.disable()
    try:
        assert (z(), y()) == (None, None)
    finally:
        gc.enable()
    handle.remove()


def test_a_handle_removes_its_own_hook_only():
    x, seen = leaf([1.0]), []
    first = x.register_hook(lambda g: seen.append("first"))
    first.remove()
    with x.register_hook(lambda g: seen.append("second")):
        first.remove()
        x.sum().backward()
    x.sum().backward()
    assert seen == ["second"]


@pytest.mark.parametrize("wrong", [lambda g: 2.0, lambda g: g.sum(), lambda g: g.float()])
def test_a_hook_that_returns_no_gradient_is_refused(wrong):
    x = leaf([1.0, 2.0])
    x.register_hook(wrong)
    with pytest.raises(GradientError, match=r"expects a gradient of shape \(2,\) and float64 from a hook"):
        x.sum().backward()
