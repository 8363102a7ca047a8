"""Views: what is written into them reaches the Tensor that they show; others see it; gradients are right."""

from __future__ import annotations

import contextlib
import copy
import gc
import operator
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import Target

import xpnn
from xpnn import nn, optim
from xpnn.backend import GradientError, ViewError

SHAPES = ((2, 3), (4,), (2, 1, 3), (1, 4), (2, 2, 2))


class Program:
    """The same views and writes in xpnn and in PyTorch, on pairs of Tensors."""

    def __init__(self, backend: Target, draw: Callable[[Any], Any]) -> None:
        self.torch = pytest.importorskip("torch")
        self.backend = backend
        self.draw = draw
        self.pairs: list[tuple[Any, Any]] = []  # all Tensors that were made
        self.leaves: list[tuple[Any, Any]] = []
        self.count = 0
        self.losses: tuple[Any, Any] = self.fresh(())

    def fresh(self, shape: tuple[int, ...], leaf: bool = False) -> tuple[Any, Any]:
        self.count += 1
        values = np.random.default_rng(self.count).standard_normal(shape)
        pair = xpnn.Tensor(self.backend.array(values)), self.torch.tensor(values)
        if leaf:
            for tensor in pair:
                tensor.requires_grad_()
            self.leaves.append(pair)
        return pair

    def run(self, steps: int) -> None:
        self.pairs = [self.fresh(self.draw(st.sampled_from(SHAPES))), self.fresh((2, 3), leaf=True)]
        for _ in range(steps):
            pair = self.pairs[self.draw(st.integers(0, len(self.pairs) - 1))]
            actions = [self.view, self.view, self.write, self.write, self.turn, self.compute]
            action = self.draw(st.sampled_from(actions))
            action(pair)
            self.compare()
        for mine, theirs in self.pairs:
            self.read((mine, theirs))
        assert self.losses[0].requires_grad == self.losses[1].requires_grad
        if self.losses[0].requires_grad:
            self.losses[0].backward()
            self.losses[1].backward()
        for mine, theirs in self.leaves:
            assert (mine.grad is None) == (theirs.grad is None)
            if theirs.grad is not None:
                np.testing.assert_allclose(self.backend.numpy(mine.grad), theirs.grad.numpy(), rtol=1e-9)

    def compare(self) -> None:
        for mine, theirs in self.pairs:
            assert mine.shape == tuple(theirs.shape)
            assert mine.requires_grad == theirs.requires_grad
            np.testing.assert_allclose(self.backend.numpy(mine.array), theirs.detach().numpy(), rtol=1e-9)

    def view(self, pair: tuple[Any, Any]) -> None:
        function = self.draw(st.sampled_from(list(self.views(pair[0].shape))))
        self.pairs.append((function(pair[0]), function(pair[1])))

    def views(self, shape: tuple[int, ...]) -> Any:
        axes = len(shape)
        yield lambda t: t.detach()
        yield lambda t: t.data
        yield lambda t: t.unsqueeze(-1)
        yield lambda t: t.squeeze()
        yield lambda t: t.reshape(-1)  # a copy of some views in PyTorch, and so here
        yield lambda t: t[None, ...]
        yield lambda t: t.contiguous()
        if axes:
            order = self.draw(st.permutations(range(axes)))
            axis = self.draw(st.integers(0, axes - 1))
            yield lambda t: t.permute(*order)
            yield lambda t: t.transpose(0, axis)
            yield lambda t: t.flatten(axis)
            yield lambda t: t.unflatten(axis, (shape[axis], 1))
            if shape[axis] > 0:
                at = self.draw(st.integers(-shape[axis], shape[axis] - 1))
                step = self.draw(st.integers(1, 2))
                before = (slice(None),) * axis
                yield lambda t: t[(*before, at)]
                yield lambda t: t[(..., at, *(slice(None),) * (axes - axis - 1))]
                yield lambda t: t[(*before, slice(None, None, step))]
                yield lambda t: t[(*before, slice(at % shape[axis], None))]
        if axes == 2:
            yield lambda t: t.T
        if axes >= 2:
            yield lambda t: t.mT
            yield diagonal
        if axes and shape[0] == 1:
            yield lambda t: t.expand(2, *[-1] * (axes - 1))

    def write(self, pair: tuple[Any, Any]) -> None:
        shape, theirs = pair[0].shape, pair[1]
        function = self.draw(st.sampled_from(list(self.writes(shape))))
        base = theirs if theirs._base is None else theirs._base
        leaf_below = (theirs.is_leaf or base.is_leaf) and theirs.requires_grad
        off_tape = leaf_below or self.draw(st.booleans())
        operand = self.fresh(shape, leaf=not off_tape and self.draw(st.booleans()))
        modes = (xpnn.no_grad, self.torch.no_grad) if off_tape else (contextlib.nullcontext,) * 2
        with modes[0]():
            try:
                function(pair[0], operand[0] * 1.0)
            except ViewError:  # more than PyTorch refuses: every write into what an expanded Tensor shows
                assert shows_elements_twice(pair[0])
                return
        with modes[1]():
            function(pair[1], operand[1] * 1.0)

    def writes(self, shape: tuple[int, ...]) -> Any:
        yield lambda t, w: t.add_(w)
        yield lambda t, w: t.mul_(w)
        yield lambda t, w: t.copy_(w)
        yield lambda t, w: t.zero_()
        yield lambda t, w: t.fill_(0.25)
        yield lambda t, w: t.clamp_(-0.5, 0.5)
        yield lambda t, w: t.__isub__(w)
        yield lambda t, w: t.__itruediv__(2.0)
        yield lambda t, w: t.__setitem__(..., w)
        if shape and shape[0]:
            yield lambda t, w: t.__setitem__(0, w[0])
            yield lambda t, w: t[-1].add_(w[-1])
            yield lambda t, w: t[0].__setitem__(..., 3.0)
            yield lambda t, w: t.__setitem__(slice(1, None), w[1:])
            yield lambda t, w: t.view(t.shape)[..., :1].copy_(w[..., :1])

    def turn(self, pair: tuple[Any, Any]) -> None:
        """Give it another shape in place: other views keep theirs, of the same elements."""
        mine, theirs = pair
        base = theirs if theirs._base is None else theirs._base
        if (theirs.is_leaf or base.is_leaf) and theirs.requires_grad:
            return
        function = self.draw(st.sampled_from(list(self.turns(mine.ndim))))
        assert function(mine) is mine
        function(theirs)

    def turns(self, axes: int) -> Any:
        yield lambda t: t.squeeze_()
        yield lambda t: t.unsqueeze_(0)
        if axes:
            axis = self.draw(st.integers(0, axes - 1))
            yield lambda t: t.unsqueeze_(axis)
            yield lambda t: t.transpose_(0, axis)
            yield lambda t: t.swapaxes_(-1, axis)
        if axes <= 2:
            yield lambda t: t.t_()

    def compute(self, pair: tuple[Any, Any]) -> None:
        if self.draw(st.booleans()):
            self.read(pair)
        else:
            self.pairs.append((pair[0] * 2.0, (pair[1] * 2.0).contiguous()))

    def read(self, pair: tuple[Any, Any]) -> None:
        """Something that the gradient depends on: the values at this moment."""
        mine, theirs = pair
        self.losses = (self.losses[0] + (mine * mine).sum(), self.losses[1] + theirs.clone().square().sum())


def diagonal(t: Any) -> Any:
    if isinstance(t, xpnn.Tensor):
        return xpnn.xp.linalg.diagonal(t) if t.ndim else t
    return t.diagonal(dim1=-2, dim2=-1)


def shows_elements_twice(t: Any) -> bool:
    t = t.held.shown if t.has_turned else t
    return t.is_view and any(view.made_by.name == "broadcast_to" for view in t._since(None))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_programs(backend: Target, data: st.DataObject) -> None:
    """Random programs of views, writes and computations: all values and gradients are PyTorch's."""
    with backend.active():
        Program(backend, data.draw).run(data.draw(st.integers(1, 9)))


# What people write


def test_writes_through_views_reach_the_base(backend: Target) -> None:
    a = zeros(backend, 2, 2)
    a[0][1] = 5
    assert a.tolist() == [[0, 5], [0, 0]]
    r = a[0]
    r[:] = 7
    assert a.tolist() == [[7, 7], [0, 0]]
    for row in a:
        row += 1
    assert a.tolist() == [[8, 8], [1, 1]]
    a.view(-1)[0] = 1
    a.T[0][1] = 2
    a[1, :].mul_(10)
    assert a.tolist() == [[1, 8], [20, 10]]
    assert r.tolist() == [1, 8]
    first, second = a.unbind(1)
    first.zero_()
    second.copy_(xpnn.Tensor(backend.array([3.0, 4.0])))
    assert a.tolist() == [[0, 3], [0, 4]]
    for piece in (*a.split(1), *a.chunk(2, 1)):
        piece.add_(1)
    assert a.tolist() == [[2, 5], [2, 6]]
    assert r.tolist() == [2, 5]


def test_every_operator_in_place_reaches_the_base(backend: Target) -> None:
    for name in ("add", "sub", "mul", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"):
        values = np.asarray([[7, 5], [6, 4]])
        a = xpnn.Tensor(backend.array(values.copy()))
        for tensor in (a[0], values[0]):
            getattr(operator, f"i{name}")(tensor, 2)
        assert a.tolist() == values.tolist()
    a = xpnn.Tensor(backend.array([[[1.0, 2.0], [3.0, 4.0]]]))
    first = a[0]
    first @= first * 1.0
    assert a.tolist() == [[[7, 10], [15, 22]]]
    first /= 2.0
    assert a.tolist() == [[[3.5, 5], [7.5, 11]]]


def test_the_base_is_seen_by_its_views(backend: Target) -> None:
    a = zeros(backend, 2, 3)
    views = {"row": a[1], "flat": a.view(-1), "turned": a.T[::2], "wide": a[:, None, :1].expand(2, 4, 1)}
    a += 1
    a[1, 2] = 5
    assert views["row"].tolist() == [1, 1, 5]
    assert views["flat"].tolist() == [1, 1, 1, 1, 1, 5]
    assert views["turned"].tolist() == [[1, 1], [1, 5]]
    assert views["wide"].tolist() == [[[1]] * 4] * 2


@pytest.mark.parametrize(
    "index",
    [
        slice(None, None, -1),
        slice(None, None, -2),
        (slice(None, None, -1), slice(-1, None, -2)),
        (Ellipsis, slice(2, 0, -1)),
        (None, slice(0, 2)),
        (slice(1, 1), slice(1, None)),
    ],
)
def test_slices_as_numpy_has_them(index: Any, backend: Target) -> None:
    expected = np.arange(12.0).reshape(3, 4)
    a = xpnn.Tensor(backend.array(expected.copy()))
    view, numpys = a[index], expected[index]
    view += 100
    numpys += 100
    a[index] = view * 2.0
    expected[index] = numpys * 2
    view[..., 0] = -1
    numpys[..., 0] = -1
    assert a.tolist() == expected.tolist()
    assert view.tolist() == numpys.tolist()


def test_indexing_with_arrays_copies(backend: Target) -> None:
    a = zeros(backend, 3)
    rows = xpnn.Tensor(backend.array(np.asarray([0, 2])))
    picked, listed = a[rows], a[[0, 1]]
    picked += 1
    listed += 1
    assert a.tolist() == [0, 0, 0]
    if backend.name != "strict":  # the standard does not write at an index of integers
        a[1:][[0, 1]] = 2.0
        assert a.tolist() == [0, 2, 2]


def test_copies_are_copies(backend: Target) -> None:
    a = zeros(backend, 2, 3)
    copies: list[Callable[[Any], Any]] = [
        lambda a: a.clone(),
        lambda a: a.T.contiguous(),
        lambda a: a.T.reshape(-1),
        lambda a: a.flip(0),
        lambda a: a.roll(1, 0),
        lambda a: a.repeat(1, 1),
        lambda a: xpnn.xp.repeat(a, 1),
        lambda a: xpnn.xp.reshape(a, (3, 2), copy=True),
        lambda a: a.clamp(-99, 99),
        lambda a: a + 0,
    ]
    for copied in [make(a) for make in copies]:
        copied += 1
    assert a.tolist() == [[0] * 3] * 2
    assert a.contiguous() is a
    with pytest.raises(ViewError, match=r"reshape\(\)"):
        a.T.view(-1)


def test_parts_of_complex_numbers(backend: Target) -> None:
    c = xpnn.Tensor(backend.array(np.zeros(2, "complex64")))
    xpnn.xp.real(c)[0] = 1.0
    xpnn.xp.imag(c)[1] = 3.0
    xpnn.xp.conj(c)[1] = 2 + 5j
    assert c.tolist() == [1, 2 - 5j]
    with pytest.raises(ViewError):
        xpnn.xp.imag(zeros(backend, 2)).add_(1)


def test_what_shows_elements_several_times_is_not_written_into(backend: Target) -> None:
    a = zeros(backend, 1, 3)
    for view in (a.expand(2, 3), a.expand(2, 3)[0], xpnn.xp.broadcast_to(a, (4, 1, 3))):
        with pytest.raises(ViewError, match=r"several times.*clone\(\)"):
            view += 1
    a.expand(1, 3)[0] = 2.0
    assert a.tolist() == [[2, 2, 2]]


# Tensors of the same elements


def test_detach_and_data_share_their_elements(backend: Target) -> None:
    w = xpnn.Tensor(backend.array([1.0, 2.0]), requires_grad=True)
    for off_tape in (w.detach(), w.data, w[:].detach(), xpnn.nn.Parameter(w), w.detach().data):
        before, seen = w.tolist(), w.view(2)
        with xpnn.no_grad():
            off_tape[0] += 10.0
        assert w.tolist() == seen.tolist() == off_tape.tolist() == [before[0] + 10, 2]
        with xpnn.no_grad():
            w[1] = 2.0
            w.view(2).copy_(w * 1.0)
        assert off_tape.tolist() == w.tolist()
    assert w.requires_grad
    assert w.is_leaf


def test_a_tensor_that_is_gone_has_left_its_elements() -> None:
    def make() -> xpnn.Tensor:
        a = xpnn.tensor([0.0, 0.0])
        shared = a.detach()
        a += 1
        a[0].mul_(5)
        return shared

    assert make().tolist() == [5, 1]


def test_data_is_assigned() -> None:
    a, b = xpnn.tensor([0.0, 0.0]), xpnn.tensor([1.0, 2.0])
    old, view = a.detach(), a[0]
    a.data = b
    b += 1
    assert a.tolist() == [2, 3]
    a.zero_()
    assert b.tolist() == old.tolist() == [0, 0]
    a.data += 4
    assert a.tolist() == b.tolist() == [4, 4]
    assert old.tolist() == [0, 0]
    a.data = np.ones((3, 3), "float32")
    a[0] = 2.0
    assert view.shape == ()
    assert b.tolist() == [4, 4]


# Gradients


def test_gradients_of_writes_through_views(backend: Target) -> None:
    w = xpnn.Tensor(backend.array([2.0, 3.0]), requires_grad=True)
    h = xpnn.xp.zeros((2, 2)).to(w.dtype)
    h[0][1] = w[0] * w[1]
    h.T[0].copy_(w * w)
    (h * h).sum().backward()  # w0^4 + w1^4 + w0^2 w1^2
    assert w.grad.tolist() == [4 * 8 + 2 * 2 * 9, 4 * 27 + 2 * 4 * 3]


def test_second_derivatives_through_views(backend: Target) -> None:
    w = xpnn.Tensor(backend.array([2.0, 3.0]), requires_grad=True)
    h = w * 1.0
    h[:1].mul_(w[1:])
    h.view(1, 2)[0, 1] = w[0] ** 3
    (gradient,) = xpnn.grad((h * h).sum(), w, create_graph=True)  # (w0 w1)^2 + w0^6
    (second,) = xpnn.grad(gradient.sum(), w)
    x, y = 2.0, 3.0
    assert gradient.tolist() == [2 * x * y**2 + 6 * x**5, 2 * x**2 * y]
    assert second.tolist() == [2 * y**2 + 30 * x**4 + 4 * x * y, 4 * x * y + 2 * x**2]


def test_a_gradient_is_taken_at_the_values_that_were_computed_with() -> None:
    """PyTorch refuses the backward here, as its saved values are overwritten; here they are not."""
    w = xpnn.tensor([1.0, 2.0], requires_grad=True)
    h = w * 2.0
    loss = (h * h).sum()
    h[0].add_(100)
    h.view(-1).zero_()
    loss.backward()
    assert w.grad.tolist() == [8, 16]


def test_views_of_leaves_are_written_into_off_the_tape(backend: Target) -> None:
    layer = nn.Linear(2, 2)
    views = layer.weight[0], layer.weight.view(-1), layer.weight.T[1:]
    for view in views:
        for write in (lambda v: v.add_(1), lambda v: v.__setitem__(0, 1.0), lambda v: v.__imul__(2.0)):
            with pytest.raises(GradientError, match="no_grad"):
                write(view)
    with xpnn.no_grad():
        layer.weight[0] = 1.0
        layer.weight[1][0] = 5.0
        for row in layer.weight:
            row *= 2.0
    assert layer.weight.tolist() == [[2, 2], [10, layer.weight[1, 1].item()]]
    assert views[0].tolist() == [2, 2]
    views[0].sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0]]


def test_a_view_may_be_a_leaf_of_its_own() -> None:
    x = xpnn.tensor([1.0, 2.0, 3.0])
    part = x[:2].requires_grad_()
    optimizer = optim.SGD([part], lr=0.5)
    (part * part).sum().backward()
    assert part.grad.tolist() == [2, 4]
    optimizer.step()
    assert x.tolist() == [0, 0, 3]
    x[0] = 7.0
    assert part.tolist() == [7, 0]
    assert part.requires_grad
    assert part.is_leaf


def test_kept_gradients_are_those_of_what_a_tensor_became() -> None:
    w = xpnn.tensor([1.0, 1.0], requires_grad=True)
    h = w * 2.0
    h.retain_grad()
    h.mul_(3.0)
    h[0] = 1.0
    (h * h).sum().backward()
    assert h.grad.tolist() == [2, 12]
    assert w.grad.tolist() == [0, 72]


def test_hooks_on_views() -> None:
    w = xpnn.tensor([1.0, 2.0], requires_grad=True)
    part, seen = (w * 2.0)[0], []
    part.register_hook(lambda g: seen.append(g.item()))
    part.retain_grad()
    (part * 3.0).backward()
    assert (seen, part.grad.item(), w.grad.tolist()) == ([3.0], 3.0, [6.0, 0.0])


def test_a_view_on_the_tape_is_not_taken_off_it_in_place() -> None:
    h = xpnn.tensor([1.0], requires_grad=True) * 2.0
    with pytest.raises(GradientError, match=r"detach\(\)"):
        h[0].detach_()


# Modules and optimizers


def test_buffers_are_written_into() -> None:
    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("buffer", np.zeros((2, 2), "float32"))

        def forward(self, x: Any) -> Any:
            self.buffer[0][0] = 7.0
            self.buffer[1] += x
            return self.buffer.sum()

    memory = Memory()
    row = memory.buffer[1]
    assert memory(xpnn.tensor([1.0, 2.0])).item() == 10
    assert memory.state_dict()["buffer"].tolist() == [[7, 0], [1, 2]]
    memory.load_state_dict({"buffer": np.ones((2, 2), "float32")})
    assert row.tolist() == [1, 1]


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.1), lambda p: optim.Adam(p, lr=0.1)])
def test_steps_are_seen(make: Callable, backend: Target) -> None:
    layer = nn.Linear(3, 2)
    optimizer = make(layer.parameters())
    row, shared, copied = layer.weight[0], layer.weight.detach(), layer.weight.detach().clone()
    first = copied.tolist()
    for _ in range(3):
        optimizer.zero_grad()
        layer(xpnn.xp.ones((1, 3))).sum().backward()
        optimizer.step()
        assert shared.tolist() == layer.weight.tolist() != first
        assert row.tolist() == layer.weight.tolist()[0]
    assert copied.tolist() == first


def test_statistics_are_seen(backend: Target) -> None:
    norm = nn.BatchNorm1d(2)
    view, shared = norm.running_mean[1:], norm.running_mean.detach()
    norm(xpnn.xp.ones((3, 2)))
    assert view.tolist() == norm.running_mean.tolist()[1:] != [0]
    assert shared.tolist() == norm.running_mean.tolist()
    nn.init.zeros_(norm.running_mean)
    assert view.tolist() == [0]
    assert shared.tolist() == [0, 0]


def test_views_under_jit() -> None:
    jax = pytest.importorskip("jax")

    def step(x: Any) -> Any:
        t = xpnn.Tensor(x) * 2.0
        row = t[0]
        t.T[1].add_(1.0)
        row.view(-1)[0] = 5.0
        return (t + row).array

    x = jax.numpy.arange(4.0).reshape(2, 2)
    assert jax.jit(step)(x).tolist() == step(x).tolist() == [[10, 6], [9, 10]]


# What a view keeps, and what it costs


def test_a_detached_tensor_keeps_no_graph() -> None:
    w = xpnn.tensor([1.0, 2.0], requires_grad=True)
    h = w.exp()
    node = weakref.ref(h.grad_fn)
    kept = [h.detach(), h.data, h[0].detach(), h.view(1, 2).detach()]
    del h
    gc.collect()
    assert node() is None
    assert kept[0].shape == (2,)


def test_views_make_no_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        a = xpnn.tensor([[1.0, 2.0]], requires_grad=True) * 2.0
        gone = weakref.ref(a)
        views = [a[0], a.T, a.view(-1)[0], a.detach()[0]]
        views[2].add_(1.0)
        views[0].tolist()
        del a, views
        assert gone() is None
    finally:
        gc.enable()


def test_long_chains_of_views() -> None:
    base = xpnn.tensor(np.zeros(3000, "float32"))
    x = base
    for _ in range(2999):
        x = x[1:]
    x += 1
    base += 1
    assert x.tolist() == [2]
    assert base.tolist()[-2:] == [1, 2]
    del x


def test_many_detached_copies_are_forgotten() -> None:
    a = xpnn.tensor([1.0])
    for _ in range(100):
        a.detach()
    assert len(a.aliases) < 20


def test_views_are_copied_and_pickled_as_tensors() -> None:
    a = xpnn.tensor([1.0, 2.0])
    for copied in (copy.deepcopy(a[1:]), copy.copy(a[1:]), pickle.loads(pickle.dumps(a[1:]))):
        copied += 5
        assert type(copied) is xpnn.Tensor
        assert copied.tolist() == [7]
    assert a.tolist() == [1, 2]


def test_what_turns_in_place_leaves_its_views_as_they_are(backend: Target) -> None:
    with backend.active():
        x = xpnn.tensor([[1.0, 2.0], [3.0, 4.0]])
        row, part, shared = x[0], x[1:][0], x.detach()
        assert x.t_() is x
        row[1] = 7.0  # of the first row that was
        assert x.tolist() == [[1, 3], [7, 4]]
        x[1, 1] = 8.0
        shared[1, 0] = 9.0
        assert part.tolist() == [9, 8]
        assert shared.tolist() == [[1, 7], [9, 8]]
        later = x[0]
        x.unsqueeze_(0)
        later += 10
        assert x.tolist() == [[[11, 19], [7, 8]]]
        assert shared.T.tolist() == x.tolist()[0]
        numbers = xpnn.tensor([1, 2, 3, 4])
        last = numbers[3]
        numbers.resize_(2, 1)
        last += 1
        numbers[0] = 5
        assert (last.tolist(), numbers.tolist()) == (5, [[5], [2]])


def test_parameters_that_turned_are_trained_moved_and_copied() -> None:
    layer = nn.Linear(2, 3)
    row = layer.weight.data[0]
    with xpnn.no_grad():
        layer.weight.t_()
        row[1] = 4.0
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    assert (weight.shape, weight.is_leaf, weight.requires_grad, weight[1, 0].item()) == (
        (2, 3),
        True,
        True,
        4,
    )
    with pytest.raises(GradientError, match="while recording"):
        weight[0] += 1
    before = weight.tolist()
    (weight[1].sum() + weight.sum()).backward()
    assert weight.grad.tolist() == [[1, 1, 1], [2, 2, 2]]
    optim.SGD(layer.parameters(), lr=1.0).step()
    np.testing.assert_allclose(weight.tolist(), np.asarray(before) - [[1], [2]], rtol=1e-6)
    assert row[1].item() == 2
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(copied.weight) is nn.Parameter
        assert copied.weight.tolist() == weight.tolist()
    assert layer.double().weight is weight
    assert weight.dtype == "float64"
    buffer = nn.Buffer([[1.0, 2.0]], persistent=False)
    buffer.t_()
    assert not copy.deepcopy(buffer).persistent


def zeros(backend: Target, *shape: int) -> xpnn.Tensor:
    return xpnn.Tensor(backend.array(np.zeros(shape)))
