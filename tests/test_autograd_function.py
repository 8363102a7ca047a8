"""`autograd.Function`: operations with a gradient of the user's own, against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.autograd import Function, once_differentiable
from xpnn.backend import DTypeError, GradientError, ShapeError, dtype_name, to_numpy
from xpnn.testing import gradcheck, gradgradcheck

X = np.asarray([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gy


class Exp(Function):
    """Saves its output, and keeps a context apart from the forward."""

    @staticmethod
    def forward(x: Any) -> Any:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)
        ctx.count = len(inputs)

    @staticmethod
    def backward(ctx: Any, gy: Any) -> Any:
        assert ctx.count == 1
        (y,) = ctx.saved_tensors
        return gy * y


class Scaled(Function):
    """Several inputs and outputs, of which some are no Tensors."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float, w: Any, name: str | None = None) -> Any:
        ctx.save_for_backward(x, w, None)
        ctx.factor = factor
        return x * w * factor, x + w, name

    @staticmethod
    def backward(ctx: Any, first: Any, second: Any, _: Any) -> Any:
        x, w, nothing = ctx.saved_tensors
        assert nothing is None
        gx = first * w * ctx.factor + second if ctx.needs_input_grad[0] else None
        gw = first * x * ctx.factor + second if ctx.needs_input_grad[2] else None
        return gx, None, gw, None


@pytest.mark.parametrize("function", [Cube.apply, Exp.apply])
def test_first_and_second_derivatives(backend: Target, function: Any) -> None:
    x = backend.array(X)
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)


def test_several_inputs_and_outputs(backend: Target) -> None:
    x, w = backend.array(X), backend.array(X[:, :] + 1)
    assert gradcheck(lambda x, w: Scaled.apply(x, 2.0, w)[:2], (x, w))
    assert gradgradcheck(lambda x, w: Scaled.apply(x, 2.0, w)[:2], (x, w))
    first, second, name = Scaled.apply(xpnn.Tensor(x, True), 2.0, xpnn.Tensor(w), "name")
    assert name == "name"
    first.sum().backward()  # the second output gets zeros
    assert second.requires_grad


def test_the_same_values_as_two_inputs() -> None:
    class Product(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            x, y = ctx.saved_tensors
            return gy * y, gy * x

    x = xpnn.tensor([3.0], requires_grad=True)
    (first,) = xpnn.grad(Product.apply(x, x.detach()), x, create_graph=True)
    assert first.item() == 3.0
    assert not first.requires_grad or xpnn.grad(first, x, allow_unused=True)[0] in (None, 0)
    (first,) = xpnn.grad(Product.apply(x, x), x, create_graph=True)
    (second,) = xpnn.grad(first, x)
    assert (first.item(), second.item()) == (6.0, 2.0)


def test_gradients_that_are_left_out() -> None:
    class Dropped(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            return x * w

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            return gy, None

    x, w = xpnn.ones(2, requires_grad=True), xpnn.ones(2, requires_grad=True)
    Dropped.apply(x, w * 2).sum().backward()
    assert x.grad is not None
    assert w.grad is None


def test_marks() -> None:
    seen: list[Any] = []

    class Sorted(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            order = xpnn.Tensor(x.array.argsort())
            fixed, copied = x * 1, x * 1
            ctx.mark_non_differentiable(fixed)
            ctx.set_materialize_grads(False)
            return order, fixed, copied, x * 2

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            seen.extend(gradients)
            return gradients[2]

    x = xpnn.tensor([2.0, 1.0], requires_grad=True)
    order, fixed, copied, _ = Sorted.apply(x)
    assert [y.requires_grad for y in (order, fixed, copied)] == [False, False, True]
    copied.sum().backward()
    assert [g is None for g in seen] == [True, True, False, True]


def test_dirty_inputs_join_the_tape() -> None:
    class Doubled(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            return gy * 2

    leaf = xpnn.ones(2, requires_grad=True)
    x = leaf * 3
    y = Doubled.apply(x)
    assert y is x
    x.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [6.0, 6.0]


def test_once_differentiable() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, gy: Any) -> Any:
            (x,) = ctx.saved_tensors
            assert not xpnn.is_grad_enabled()
            return 2 * x * gy

    x = xpnn.tensor([3.0], requires_grad=True)
    (first,) = xpnn.grad(Square.apply(x), x, create_graph=True)
    assert first.item() == 6.0
    with pytest.raises(GradientError, match="once_differentiable"):
        first.backward()


def test_without_recording_nothing_is_kept() -> None:
    x = xpnn.ones(2, requires_grad=True)
    with xpnn.no_grad():
        assert not Cube.apply(x).requires_grad
    assert not Cube.apply(xpnn.ones(2)).requires_grad
    y = Cube.apply(x)
    y.sum().backward()
    with pytest.raises(GradientError, match="freed"):
        y.sum().backward()


def test_checkpoint_and_module() -> None:
    x = xpnn.tensor([2.0], requires_grad=True)
    xpnn.checkpoint(lambda x: Exp.apply(Cube.apply(x) * 0.1).sum(), x).backward()
    y = xpnn.tensor([2.0], requires_grad=True)
    Exp.apply(Cube.apply(y) * 0.1).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == y.grad.tolist()


def test_gradients_are_brought_into_shape() -> None:
    class Add(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, b: Any) -> Any:
            return x + b

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            return gy, gy.double()

    b = xpnn.zeros(3, requires_grad=True)
    Add.apply(xpnn.ones(2, 3), b).sum().backward()
    assert b.grad is not None
    assert b.grad.tolist() == [2.0] * 3
    assert dtype_name(b.grad.dtype) == "float32"


class _Wrong(Function):
    answer: Any = None

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        return x * 1

    @staticmethod
    def backward(ctx: Any, gy: Any) -> Any:
        return _Wrong.answer


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (xpnn.Tensor([1.0, 1.0]), GradientError, "returned 1 gradients, expected 2"),
        ((xpnn.Tensor([1.0, 1.0]), None, xpnn.Tensor([1.0])), GradientError, "returned 3"),
        ((3.0, None), DTypeError, "returned float as gradient 0"),
        ((xpnn.Tensor([1.0, 1.0, 1.0]), None), ShapeError, r"shape \(3,\) for argument 0 of shape \(2,\)"),
    ],
)
def test_wrong_backwards_are_named(answer: Any, error: type[Exception], words: str) -> None:
    _Wrong.answer = answer
    y = _Wrong.apply(xpnn.ones(2, requires_grad=True), None)
    with pytest.raises(error, match=words):
        y.sum().backward()


def test_misuse_is_refused() -> None:
    class Half(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(3)
            return x

    with pytest.raises(DTypeError, match="Keep other values as attributes"):
        Half.apply(xpnn.ones(1))
    with pytest.raises(DTypeError, match="apply"):
        Cube()(xpnn.ones(1))

    class Forgetful(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    with pytest.raises(GradientError, match="no gradient rule"):
        Forgetful.apply(xpnn.ones(1, requires_grad=True)).backward()


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def build(library: Any) -> Any:
        class Straight(library.autograd.Function):  # a straight-through estimator
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return (x > 0) * 1.0

            @staticmethod
            def backward(ctx: Any, gy: Any) -> Any:
                (x,) = ctx.saved_tensors
                return gy * (x.abs() <= 1)

        return Straight.apply

    ours, theirs = xpnn.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (build(xpnn)(ours) * ours).sum().backward()
    (build(torch)(theirs) * theirs).sum().backward()
    assert ours.grad is not None
    np.testing.assert_allclose(to_numpy(ours.grad), theirs.grad.numpy())
