"""The tape: sweeps, hooks, second derivatives, freeing, checkpoints, anomalies."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import xpnn
import xpnn.functional as F
from xpnn.autograd import Tensor, primitive, tensor
from xpnn.backend import AnomalyError, GradientError, ShapeError, namespace


@primitive
def _normalise(x):
    """x / |x|^2: saves a float residual, so that second derivatives have to replay the forward."""
    xp = namespace(x)
    scale = 1 / xp.sum(x * x)
    return x * scale, (x, scale)


@_normalise.backward
def _normalise_backward(gy, saved, needs):
    x, scale = saved
    xp = namespace(x)
    return (gy * scale - 2 * scale * scale * xp.sum(gy * x) * x,)


@primitive
def _no_rule(x):
    return x * 1.0, ()


@primitive
def _split_sum(x):
    """Two outputs, so that a gradient may reach one of them only."""
    xp = namespace(x)
    return (x * 2.0, xp.sum(x)), (x,)


@_split_sum.backward
def _split_sum_backward(gy, saved, needs):
    (x,) = saved
    doubled, total = gy
    gradient = x * 0.0
    if doubled is not None:
        gradient = gradient + doubled * 2.0
    if total is not None:
        gradient = gradient + total
    return (gradient,)


def leaf(values, dtype="float64"):
    return tensor(values, dtype=dtype, requires_grad=True)


def test_many_paths_add_up(backend):
    x = leaf([2.0, 3.0])
    y = x * x
    z = (y + y * x + x).sum()  # x^2 + x^3 + x
    z.backward()
    np.testing.assert_allclose(xpnn.to_numpy(x.grad), [1 + 4 + 12, 1 + 6 + 27])


def test_gradients_accumulate_until_reset():
    x = leaf([1.0])
    for _ in range(3):
        (x * 2.0).sum().backward()
    assert x.grad.tolist() == [6.0]
    assert x.grad.dtype == x.dtype


def test_third_derivative(backend):
    x = leaf(0.3)
    y = x.tanh() * x.exp()
    for _ in range(3):
        (y,) = xpnn.grad(y, x, create_graph=True)
    t, e = np.tanh(0.3), np.exp(0.3)
    d1, d2 = 1 - t * t, -2 * t * (1 - t * t)
    d3 = -2 * (1 - t * t) ** 2 + 4 * t * t * (1 - t * t)
    np.testing.assert_allclose(y.item(), e * (t + 3 * d1 + 3 * d2 + d3), rtol=1e-10)


def test_float_residual_is_replayed_for_the_second_derivative(backend):
    x = leaf([0.5, -1.0, 2.0])
    (first,) = xpnn.grad(_normalise(x)[0] * 1.0, x, create_graph=True)
    (second,) = xpnn.grad(first.sum(), x)

    def derivative(point):
        p = leaf(point)
        return xpnn.to_numpy(xpnn.grad(_normalise(p)[0] * 1.0, p)[0]).sum()

    base, step = np.array([0.5, -1.0, 2.0]), 1e-6
    expected = [(derivative(base + step * e) - derivative(base - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(xpnn.to_numpy(second), expected, rtol=1e-6)


def test_one_of_several_outputs():
    x = leaf([1.0, 2.0])
    doubled, total = _split_sum(x)
    assert xpnn.grad(doubled.sum(), x, retain_graph=True)[0].tolist() == [2.0, 2.0]
    assert xpnn.grad(total, x, retain_graph=True)[0].tolist() == [1.0, 1.0]
    assert xpnn.grad(doubled.sum() + total, x)[0].tolist() == [3.0, 3.0]


def test_grad_of_intermediate_results_and_unused_inputs():
    x, unused = leaf([1.0, 2.0]), leaf([1.0])
    y = x * x
    z = (y * 3.0).sum()
    gy, gx = xpnn.grad(z, [y, x], retain_graph=True)
    assert gy.tolist() == [3.0, 3.0]
    assert gx.tolist() == [6.0, 12.0]
    with pytest.raises(GradientError, match="no path from the outputs to input 0"):
        xpnn.grad(z, unused, retain_graph=True)
    assert xpnn.grad(z, [unused], allow_unused=True) == (None,)
    assert x.grad is None


def test_grad_walks_only_the_paths_that_are_asked_for():
    calls = []

    @primitive
    def watched(x):
        return x * 2.0, ()

    @watched.backward
    def watched_backward(gy, saved, needs):
        calls.append(needs)
        return (gy * 2.0,)

    x, other = leaf([1.0]), leaf([1.0])
    z = (x * watched(other)).sum()
    xpnn.grad(z, x)
    assert calls == []


def test_a_freed_graph_says_so():
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()


def test_retained_graph_gives_the_same_gradient_twice():
    x = leaf([3.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


def test_no_rule_raises_and_does_not_pass_silence_on():
    x = leaf([1.0])
    y = _no_rule(x)
    assert y.tolist() == [1.0]
    with pytest.raises(GradientError, match="no_rule has no gradient rule"):
        y.sum().backward()


def test_calls_that_cannot_give_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match="requires no gradient"):
        tensor([1.0]).sum().backward()
    with pytest.raises(GradientError, match="needs a gradient from above"):
        (x * x).backward()
    with pytest.raises(ShapeError, match=r"shape \(2,\), got \(3,\)"):
        (x * x).backward(tensor([1.0, 1.0, 1.0], dtype="float64"))
    with pytest.raises(GradientError, match="only floating-point and complex"):
        tensor([1, 2], requires_grad=True)
    with pytest.raises(GradientError, match="result of a recorded operation"):
        (x * x).requires_grad = False


def test_no_grad_enable_grad_and_decorators():
    x = leaf([1.0])
    with xpnn.no_grad():
        assert not (x * x).requires_grad
        with xpnn.enable_grad():
            assert (x * x).requires_grad
    xpnn.set_grad_enabled(False)
    assert not (x * x).requires_grad
    xpnn.set_grad_enabled(True)
    with xpnn.set_grad_enabled(False):
        assert not xpnn.is_grad_enabled()
    assert xpnn.is_grad_enabled()

    @xpnn.no_grad()
    def square(value):
        return value * value

    assert not square(x).requires_grad


def test_recording_is_a_switch_of_the_thread():
    seen = []
    with xpnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(xpnn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_hooks_see_and_replace_gradients():
    x = leaf([1.0, 2.0])
    y = x * x
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g + 1.0)
    y.retain_grad()
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [21.0, 41.0]
    assert y.grad.tolist() == [10.0, 10.0]
    handle.remove()
    z = x * x
    handle = z.register_hook(lambda g: g * 0.0)
    handle.remove()
    assert xpnn.grad(z.sum(), x)[0].tolist() == [2.0 + 1.0, 4.0 + 1.0]


def test_jacobian_hessian_vjp_jvp_against_closed_forms(backend):
    a = np.random.default_rng(0).standard_normal((3, 3))
    matrix, point = tensor(a), tensor([0.2, -0.4, 0.7], dtype="float64")

    def quadratic(x):
        return (x @ matrix @ x) * 0.5

    symmetric = (a + a.T) / 2
    values = xpnn.to_numpy(point)
    np.testing.assert_allclose(xpnn.to_numpy(xpnn.hessian(quadratic, point)), symmetric, atol=1e-12)
    np.testing.assert_allclose(xpnn.to_numpy(xpnn.jacobian(lambda x: matrix @ x, point)), a, atol=1e-12)
    v = tensor([1.0, 2.0, 3.0], dtype="float64")
    value, product = xpnn.vjp(lambda x: matrix @ x, point, v)
    np.testing.assert_allclose(xpnn.to_numpy(value), a @ values)
    np.testing.assert_allclose(xpnn.to_numpy(product), a.T @ [1, 2, 3])
    _, pushed = xpnn.jvp(lambda x: (matrix @ x).sin(), point, v)
    np.testing.assert_allclose(xpnn.to_numpy(pushed), np.cos(a @ values) * (a @ [1, 2, 3]))


def test_jacobian_of_several_inputs_and_outputs():
    x, y = tensor([1.0, 2.0]), tensor([3.0, 4.0])
    rows = xpnn.jacobian(lambda x, y: (x * y, x.sum()), (x, y))
    assert rows[0][0].tolist() == [[3.0, 0.0], [0.0, 4.0]]
    assert rows[0][1].tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert rows[1][0].tolist() == [1.0, 1.0]
    assert rows[1][1].tolist() == [0.0, 0.0]
    h = xpnn.hessian(lambda x, y: (x * y).sum(), (x, y))
    assert h[0][0].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert h[0][1].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_worked_example_in_forward_and_reverse_mode():
    """y = ln x1 + x1 x2 - sin x2 at (2, 5): dy/dx1 = 1/x1 + x2 = 5.5, dy/dx2 = x1 - cos x2."""
    x1, x2 = tensor(2.0, dtype="float64"), tensor(5.0, dtype="float64")

    def f(x1, x2):
        return x1.log() + x1 * x2 - x2.sin()

    one, zero = tensor(1.0, dtype="float64"), tensor(0.0, dtype="float64")
    y, (g1, g2) = xpnn.vjp(f, (x1, x2))
    np.testing.assert_allclose(y.item(), np.log(2) + 10 - np.sin(5))
    np.testing.assert_allclose([g1.item(), g2.item()], [5.5, 2 - np.cos(5)])
    np.testing.assert_allclose(xpnn.jvp(f, (x1, x2), (one, zero))[1].item(), 5.5)
    np.testing.assert_allclose(xpnn.jvp(f, (x1, x2), (zero, one))[1].item(), 2 - np.cos(5))


@pytest.mark.parametrize("create_graph", [False, True])
def test_checkpoint_gives_the_same_gradients(backend, create_graph):
    weight = leaf([0.3, -0.2])
    x = leaf([1.5, 0.5])

    def block(h):
        return (h * weight).tanh() * h

    def gradients(apply):
        y = apply(block, apply(block, x))
        found = xpnn.grad((y * y).sum(), [x, weight], create_graph=create_graph)
        if create_graph:
            found = xpnn.grad((found[0] * found[0]).sum() + found[1].sum(), [x, weight])
        return [xpnn.to_numpy(g.detach()) for g in found]

    plain = gradients(lambda function, h: function(h))
    saved = gradients(xpnn.checkpoint)
    nested = gradients(lambda f, h: xpnn.checkpoint(lambda h: xpnn.checkpoint(f, h), h))
    for a, b, c in zip(plain, saved, nested):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_checkpoint_keeps_nothing_and_reuses_random_numbers():
    calls = []

    def noisy(h):
        mask = xpnn.backend.random.default_stream().uniform(h.shape, h.array)
        calls.append(mask.tolist())
        return h * mask

    x = leaf([1.0, 2.0], dtype="float32")
    y = xpnn.checkpoint(noisy, x)
    assert y.grad_fn.saved is None
    counter = xpnn.backend.random.default_stream().counter
    y.sum().backward()
    assert calls[0] == calls[1] == x.grad.tolist()
    assert xpnn.backend.random.default_stream().counter == counter


def test_checkpoint_refuses_a_function_that_changes():
    state = []

    def unstable(h):
        state.append(None)
        return h * h if len(state) == 1 else h * h * h

    x = leaf([1.0])
    y = xpnn.checkpoint(unstable, x)
    with pytest.raises(GradientError, match="ran 2 operations the second time, 1 the first"):
        y.sum().backward()


def test_anomaly_names_the_primitive_forward_and_backward(backend):
    x = leaf([1.0, 0.0])
    with np.errstate(all="ignore"), xpnn.detect_anomaly():
        with pytest.raises(AnomalyError, match=r"divide made inf at index \(1,\)"):
            1.0 / x
        y = x.sqrt().sum()
        with pytest.raises(AnomalyError, match=r"the backward of sqrt made inf at index \(1,\)"):
            y.backward()


def test_a_deep_graph_needs_no_recursion():
    x = leaf([1.0])
    y = x
    for _ in range(50_000):
        y = y + x
    y.sum().backward()
    assert x.grad.tolist() == [50_001.0]
    del y
    gc.collect()


def test_activations_that_no_backward_needs_are_not_kept():
    x = leaf(np.ones(1000))
    y = x + 1.0
    assert y.grad_fn.saved is not None
    assert not any(hasattr(value, "shape") for value in y.grad_fn.saved)
    assert y.grad_fn.inputs is None


def test_changed_leaf_is_noticed_by_the_second_derivative():
    x = leaf([2.0])
    y = (x * x * x).sum()
    x.array = x.array * 2
    with pytest.raises(GradientError, match="was changed since"):
        xpnn.grad(y, x, create_graph=True)


def test_tensors_are_values():
    x = tensor([1.0, 2.0, 3.0])
    y = x * 1.0
    raw = x.array
    x[0] = 10.0
    assert y.tolist() == [1.0, 2.0, 3.0]
    assert raw.tolist() == [1.0, 2.0, 3.0]
    alias = x
    alias += 1.0
    assert x.tolist() == [11.0, 3.0, 4.0]
    with pytest.raises(ShapeError, match="cannot change"):
        x += np.ones((2, 3), dtype=np.float32)


def test_setitem_is_differentiable(backend):
    x, v = leaf([1.0, 2.0, 3.0]), leaf([5.0])
    y = x * 2.0
    y[1:2] = v * v
    (y * y).sum().backward()
    np.testing.assert_allclose(xpnn.to_numpy(x.grad), [8.0, 0.0, 24.0])
    np.testing.assert_allclose(xpnn.to_numpy(v.grad), [4 * 5.0**3])
    with pytest.raises(GradientError, match="no_grad"):
        x[0] = 1.0
    with xpnn.no_grad():
        x[0] = 7.0
    assert x.tolist() == [7.0, 2.0, 3.0]
    assert x.is_leaf
    assert x.requires_grad


def test_numpy_scalars_do_not_widen():
    x = tensor([1.0, 2.0], requires_grad=True)
    for y in (
        x * np.float64(2.0),
        np.float64(2.0) * x,
        x / np.float64(3),
        np.float64(1) - x,
        x ** np.float64(2),
    ):
        assert y.dtype == np.float32
        assert isinstance(y, Tensor)
    (x * np.float64(2.0)).sum().backward()
    assert x.grad.dtype == np.float32


def test_raw_arrays_and_tensors_mix():
    x = leaf([1.0, 2.0])
    y = np.asarray([3.0, 4.0]) * x
    assert isinstance(y, Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert isinstance(_normalise(np.ones(3)), np.ndarray)


def test_leaving_the_tape_is_explicit():
    x = leaf([1.0])
    with pytest.raises(GradientError, match="detach"):
        np.asarray(x)
    with pytest.raises(GradientError, match="detach"):
        (x * x).numpy()
    assert np.asarray(x.detach()).tolist() == [1.0]
    assert (x * 3.0).sum().item() == 3.0


def test_copies_and_pickles():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.tolist() == x.tolist()
        assert other.requires_grad
        assert other.grad.tolist() == x.grad.tolist()
        assert other.array is not x.array
    with pytest.raises(GradientError, match="only leaf Tensors"):
        copy.deepcopy(x * x)


def test_mixed_precision_gives_each_leaf_its_own_type():
    x, y = leaf([1.0], "float32"), leaf([2.0], "float64")
    (x * y).sum().backward()
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64


def test_dlpack_both_ways():
    x = tensor([1.0, 2.0])
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]
    assert xpnn.xp.from_dlpack(np.asarray([3.0], dtype=np.float32)).tolist() == [3.0]


def test_a_saved_scalar_output_is_known_as_the_output():
    """NumPy gives 0-d results as scalars; the tape still sees that the maximum was saved, not a residual."""
    x = leaf([1.0, 3.0, 2.0])
    y = xpnn.xp.max(x)
    assert y.grad_fn.inputs is None
    (first,) = xpnn.grad(y * y, x, create_graph=True)
    assert xpnn.grad(first.sum(), x)[0].tolist() == [0.0, 2.0, 0.0]


PIECES = {
    "relu": F.relu,
    "Tensor.relu": lambda x: x.relu(),
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, xpnn.tensor([0.25], dtype=xpnn.float64)),
    "hardtanh": F.hardtanh,
    "softshrink": F.softshrink,
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(x, 2, 2),
    "l1_loss": lambda x: F.l1_loss(x, x.detach() / 2),
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_what_a_penalty_reaches_by_flat_pieces_alone_has_a_gradient_of_zero(piece: Any) -> None:
    """PyTorch gives zeros, not None: Adam moves a parameter by its momentum, weight decay shrinks it."""
    seen = []
    x = xpnn.linspace(-2, 3, 16, dtype=xpnn.float64).reshape(1, 1, 4, 4).requires_grad_(True)
    bias = xpnn.zeros(1, requires_grad=True, dtype=xpnn.float64)
    bias.register_hook(lambda g: seen.append(g.tolist()))
    (g,) = xpnn.autograd.grad(piece(x * x + bias).sum(), x, create_graph=True)
    penalty = (g**2).sum()
    assert xpnn.autograd.grad(penalty, bias, retain_graph=True)[0].tolist() == [0.0]
    penalty.backward()
    assert bias.grad.tolist() == [0.0]
    assert seen == [[0.0]] * 2
    assert x.grad.abs().sum().item() > 0


def test_zeros_of_flat_pieces_do_not_take_the_place_of_a_gradient() -> None:
    x = xpnn.tensor([1.0, -2.0], requires_grad=True)
    bias = xpnn.tensor([0.5, 0.5], requires_grad=True)
    y = F.relu(x * x + bias)
    (g,) = xpnn.autograd.grad(y.sum(), x, create_graph=True)
    (inner,) = xpnn.autograd.grad((g * bias).sum(), bias)
    assert inner.tolist() == [2.0, -4.0]


def test_what_no_piece_connects_is_still_refused() -> None:
    x, bias = (xpnn.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    (g,) = xpnn.autograd.grad((x * x + bias).sum(), x, create_graph=True)
    with pytest.raises(GradientError, match="no path"):
        xpnn.autograd.grad(g.sum(), bias)
    assert xpnn.autograd.grad((g * g).sum(), bias, allow_unused=True, materialize_grads=False) == (None,)


def test_hooks_after_accumulation_see_the_gradient_in_its_place() -> None:
    x, seen = xpnn.ones(2, requires_grad=True), []
    handle = x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.tolist()))
    x.register_hook(lambda g: g * 10)
    (x * 2).sum().backward()
    (x * 3).sum().backward(inputs=[x])
    xpnn.autograd.grad((x * 3).sum(), x)
    handle.remove()
    (x * 3).sum().backward()
    assert seen == [[20.0, 20.0], [50.0, 50.0]]
    with pytest.raises(GradientError, match="leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_retains_grad_is_about_results_whose_gradient_is_kept() -> None:
    x = xpnn.ones(2, requires_grad=True)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad
    assert not x.retains_grad
