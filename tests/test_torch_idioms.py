"""Lines as they stand in PyTorch programs: they work here, or say what to write instead."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.autograd import checkpoint, grad, jacobian, jvp, tensor, vjp
from xpnn.backend import DTypeError, ShapeError, asarray

LABELS = np.arange(8) % 3


def network():
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))


def images():
    return tensor(np.random.default_rng(0).standard_normal((8, 5)).astype("float32"))


def loss_of(model):
    return F.cross_entropy(model(images()), tensor(LABELS))


def write_data(model):
    for p in model.parameters():
        p.data -= 0.1 * p.grad.data


def rebind(model):
    for p in model.parameters():
        p -= 0.1 * p.grad


def add_scaled(model):
    for p in model.parameters():
        p.add_(p.grad, alpha=-0.1)


def subtract(model):
    for p in model.parameters():
        p.sub_(0.1 * p.grad)


@pytest.mark.parametrize("update", [rebind, add_scaled, subtract, write_data])
def test_hand_written_steps(backend, update):
    if update is write_data and backend.read_only:
        pytest.skip("writes into its own arrays")
    model = network()
    before = loss_of(model)
    before.backward()
    expected = [backend.numpy(p.array - 0.1 * p.grad.array) for p in model.parameters()]
    with xpnn.no_grad():
        update(model)
    for p, values in zip(model.parameters(), expected):
        np.testing.assert_allclose(xpnn.to_numpy(p.array), values, rtol=1e-6)
        assert p.is_leaf
        assert p.requires_grad
        p.grad.zero_()
        assert not xpnn.to_numpy(p.grad).any()
    assert loss_of(model).item() < before.item()


def test_data_takes_the_array_of_a_tensor(backend):
    layer = nn.Linear(2, 1)
    layer.weight.data = tensor([[3.0, 4.0]])
    assert type(layer.weight.array) is type(layer.bias.array)
    assert F.linear(tensor([[1.0, 1.0]]), layer.weight).tolist() == [[7.0]]


def test_data_is_the_tensor_off_the_tape(backend):
    w = tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    data = w.data
    data.add_(1.0).mul_(2.0)
    data[0] = 7.0
    w.data.clamp_(max=6.5)
    assert w.tolist() == data.tolist() == [6.5, 6.0]
    assert isinstance(data, xpnn.Tensor)
    assert not data.requires_grad
    values, indices = data.max(0)
    assert (values.item(), indices.item()) == (6.5, 0)
    loss.backward()  # as it was recorded
    assert w.grad.tolist() == [2.0, 4.0]
    w.grad.data.zero_()
    assert w.grad.tolist() == [0.0, 0.0]
    copied = copy.deepcopy(data)
    copied += 1
    assert w.tolist() == [6.5, 6.0]
    with pytest.raises(DTypeError, match=r"Tensor.data expects a Tensor or an array, got list"):
        w.data = [1.0, 2.0]


def test_moving_average_of_a_model(backend):
    model = network()
    average = copy.deepcopy(model).requires_grad_(False)
    with xpnn.no_grad():
        for mean, p in zip(average.parameters(), model.parameters()):
            p.add_(1.0)
            mean.mul_(0.75).add_(p, alpha=0.25)
    for mean, p in zip(average.parameters(), model.parameters()):
        np.testing.assert_allclose(backend.numpy(mean.array), backend.numpy(p.array) - 0.75, rtol=1e-5)


def test_accuracy(backend):
    out, y = network()(images()), tensor(LABELS)
    predicted = out.argmax(dim=1, keepdim=True)
    correct = predicted.eq(y.view_as(predicted)).sum().item()
    assert correct == (out.argmax(1) == y).sum().item() == (out.max(1)[1] == y).sum().item()
    assert (out.argmax(dim=1) == y).float().mean().item() == correct / 8
    assert out.topk(3, 1).indices.eq(y.view(8, 1)).any(1).all().item()


def test_names_of_operators_are_the_operators(backend):
    a, b = tensor([1.0, -2.0], requires_grad=True), tensor([3.0, -4.0])
    for named, plain in [
        (a.add(b, alpha=2), a + 2 * b),
        (a.sub(b), a - b),
        (a.mul(b), a * b),
        (a.div(b), a / b),
        (a.neg(), -a),
        (a.relu(), F.relu(a)),
        (a.sigmoid(), F.sigmoid(a)),
        (a.log_softmax(0), F.log_softmax(a, 0)),
        (a.maximum(b), xpnn.xp.maximum(a, b)),
        (a.minimum(b), xpnn.xp.minimum(a, b)),
    ]:
        np.testing.assert_allclose(backend.numpy(named.array), backend.numpy(plain.array), rtol=1e-6)
        np.testing.assert_allclose(
            *[backend.numpy(grad(y.sum(), a)[0].array) for y in (named, plain)], rtol=1e-5
        )
    for named, plain in [(a.eq(b), a == b), (a.ne(b), a != b), (a.lt(b), a < b), (a.le(b), a <= b)]:
        assert named.tolist() == plain.tolist()
    assert (a.gt(b).tolist(), a.ge(b).tolist()) == ([False, True], [False, True])


def test_writing_methods_are_on_the_tape():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).clamp_(max=3.0).mul_(2.0)
    z = (x * x).fill_(5.0)
    w = (x * 0.0).copy_(x * 3.0)
    assert grad(y.sum() + z.sum() + w.sum(), x)[0].tolist() == [4.0 + 3.0, 0.0 + 3.0]
    assert (z.tolist(), w.zero_().tolist()) == ([5.0, 5.0], [0.0, 0.0])
    y.detach_()
    assert y.is_leaf
    assert not y.requires_grad
    whole = tensor(1.0)
    assert whole.zero_().item() == 0.0


def test_a_step_in_place_keeps_the_element_type(backend):
    x = tensor([1.0, 2.0])
    x += backend.array(np.asarray([1.0, 1.0]))
    assert x.dtype == tensor([1.0]).dtype


def test_integers_do_not_widen_floats(backend):
    x, counts = tensor([1.0, 2.0], requires_grad=True), tensor([1, 2])
    for y in (x * counts, counts * x, x / counts, counts - x, x**counts):
        assert y.dtype == x.dtype
        assert grad(y.sum(), x)[0].dtype == x.dtype
    (first,) = grad((x * x * counts).sum(), x, create_graph=True)
    assert grad(first.sum(), x)[0].tolist() == [2.0, 4.0]


def test_conversion_to_what_it_is_keeps_the_leaf():
    x = tensor([1.0], requires_grad=True)
    assert x.float() is x.to("float32") is x.to(device="cpu") is x.to("numpy") is x


def test_empty_axes_split_into_empty_chunks():
    first, second = tensor(np.zeros((0, 3))).chunk(2)
    assert first.shape == second.shape == (0, 3)


def test_gradients_of_all_parameters_at_once():
    model = network()
    gradients = grad(loss_of(model), model.parameters())
    assert [g.shape for g in gradients] == [p.shape for p in model.parameters()]


def test_a_wider_gradient_from_above_widens_nothing():
    x = tensor([1.0, 2.0], requires_grad=True)
    for seed in (np.ones(2), tensor([1, 1])):
        (gradient,) = grad(x * x, x, seed)
        assert gradient.dtype == x.dtype
    with pytest.raises(DTypeError, match=r"expects Tensors as the gradients from above, got float"):
        (x * x).sum().backward(2.0)


@pytest.mark.parametrize("value", [1.0, np.ones((7, 5), "float32")])
def test_a_gradient_that_is_no_tensor(value):
    model = network()
    model[0].weight.grad = value
    with pytest.raises(DTypeError, match=r"expects a Tensor as the gradient of '0.weight'"):
        optim.SGD(model.parameters(), lr=0.1).step()


@pytest.mark.parametrize("value", [np.ones((7, 5)), np.ones((1, 5), "float32")])
def test_a_gradient_that_would_change_the_parameter(value):
    model = network()
    model[0].weight.grad = tensor(value)
    with pytest.raises(ShapeError, match=r"expects a gradient of shape \(7, 5\) and float32 for '0.weight'"):
        optim.Adam(model.parameters()).step()


def test_a_checkpoint_sees_its_argument_as_it_was():
    x = tensor([1.0, 2.0], requires_grad=True)
    hidden = x * 2.0
    y = checkpoint(lambda h: (h * h).sum(), hidden)
    hidden += 100.0
    y.backward()
    assert x.grad.tolist() == [8.0, 16.0]


@pytest.mark.parametrize("sweep", [False, True])
def test_a_checkpoint_is_freed_without_the_collector(sweep):
    x = tensor([1.0, 2.0], requires_grad=True)
    hidden = x * 2.0
    array = weakref.ref(hidden.array)
    gc.disable()
    try:
        y = checkpoint(lambda h: (h * h).sum(), hidden)
        if sweep:
            y.backward()
        del hidden, y
        assert array() is None
    finally:
        gc.enable()


def test_derivatives_of_constants_and_of_nothing(backend):
    x, constant = tensor([1.0, 2.0]), tensor([3.0])
    assert jvp(lambda x: constant, x, x)[1].tolist() == [0.0]
    assert vjp(lambda x: constant, x, tensor([1.0]))[1].tolist() == [0.0, 0.0]
    outputs, products = vjp(lambda x: (constant, x * x), x, (constant, x))
    assert (len(outputs), products.tolist()) == (2, [2.0, 8.0])
    nothing = tensor(asarray(np.zeros((0, 2), "float32")))
    assert jacobian(lambda x: x * x, nothing).shape == (0, 2, 0, 2)
    assert jacobian(lambda x: x[:0], x).shape == (0, 2)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}])
def test_a_batch_whose_labels_are_all_ignored_trains_nothing(backend, options):
    x = tensor(np.ones((2, 3), "float32"), requires_grad=True)
    loss = F.cross_entropy(x, tensor([-100, -100]), **options)
    loss.backward()
    assert np.isnan(loss.item())
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_small_values_keep_their_digits(backend):
    x = tensor([-20.0, -80.0], requires_grad=True)
    np.testing.assert_allclose(xpnn.to_numpy(x.sigmoid().detach()), np.exp([-20.0, -80.0]), rtol=1e-5)
    np.testing.assert_allclose(
        xpnn.to_numpy(grad(F.softplus(x).sum(), x)[0]), np.exp([-20.0, -80.0]), rtol=1e-5
    )


def test_shapes_and_places(backend):
    assert tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).gather(1, tensor([[1]])).tolist() == [[2.0]]
    x = xpnn.zeros(2, 3, 4)
    assert x[0, :, [0, 1]].shape == (3, 2)
    assert x.view(x.size(0), -1).size() == (2, 12)
    assert x.flip(dims=(0,)).to(tensor([1])).dtype == tensor([1]).dtype
    assert f"{tensor([1.0, 0.5]).sum()}" == "1.5"


def test_data_parallel_is_the_module_under_one_more_name():
    layer = nn.Linear(5, 2)
    parallel = nn.DataParallel(layer).eval()
    assert not layer.training
    assert parallel.module is layer
    assert list(parallel.state_dict()) == ["module.weight", "module.bias"]
    assert parallel(images()).tolist() == layer(images()).tolist()
    assert nn.parallel.data_parallel(layer, images()).tolist() == layer(images()).tolist()
    with pytest.raises(DTypeError, match="expects a Module"):
        nn.DataParallel(print)


def test_an_encoder_takes_the_options_of_nested_tensors():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 1, None, enable_nested_tensor=False)
    assert encoder(xpnn.ones(3, 2, 4)).shape == (3, 2, 4)


def test_full_of_no_axes():
    assert xpnn.full((), 2.5).shape == xpnn.full([], 2.5).shape == ()


@pytest.mark.parametrize("make", [xpnn.FloatTensor, xpnn.Tensor])
@pytest.mark.parametrize("sizes", [(), (3,), (2, 3)])
def test_older_constructors_take_a_size(make, sizes):
    assert make(xpnn.zeros(sizes).size()).shape == sizes


def test_attributes_of_ones_own():
    """They stay with the object and its copies, and do not reach results."""
    parameter, buffer, x = nn.Parameter(xpnn.ones(2)), nn.Buffer(xpnn.ones(2)), xpnn.ones(2, 3)
    for t in (parameter, buffer, x, x[0]):
        t._no_weight_decay = [True]
        for again in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
            assert again._no_weight_decay == [True]
            assert again._no_weight_decay is not t._no_weight_decay
        assert not hasattr(t.clone(), "_no_weight_decay")
        assert not hasattr(t.detach(), "_no_weight_decay")
    x.unsqueeze_(0)
    assert x._no_weight_decay == [True]
    with pytest.raises(AttributeError, match="Did you mean"):
        x.reshap()


def test_a_tuple_within_an_index():
    x = xpnn.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(x[..., (1, 0)].numpy(), [[1, 0], [4, 3]])


def test_saved_variables():
    class Square(xpnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_variables
            return 2 * g * x

    x = tensor([3.0], requires_grad=True)
    Square.apply(x).sum().backward()
    assert x.grad.item() == 6


@pytest.mark.parametrize("function", [xpnn.logaddexp, lambda x, y: xpnn.stack([x, y]).logcumsumexp(0)[1]])
def test_second_derivatives_of_ties(function):
    """ln(e^x + e^y) is as smooth at x = y as elsewhere: 1/2, and 1/4."""
    x, y = (tensor(np.asarray([1.0, 2.0]), requires_grad=True) for _ in range(2))
    (gx,) = grad(function(x, y).sum(), x, create_graph=True)
    np.testing.assert_allclose(gx.detach().numpy(), 0.5)
    for ggx, sign in zip(grad(gx.sum(), [x, y]), (1, -1)):
        np.testing.assert_allclose(ggx.numpy(), sign * 0.25)
