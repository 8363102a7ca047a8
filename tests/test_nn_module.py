"""What modules do beside computing: parts and names, state, moving, hooks, errors, containers."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor, tensor
from xpnn.backend import (
    AnomalyError,
    ArgumentError,
    BackendError,
    CheckpointError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    XpnnError,
    backend_of,
)


class Net(nn.Module):
    """A convolution, a shared linear layer, a buffer that is saved and one that is not."""

    def __init__(self) -> None:
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        self.head = nn.Linear(8, 3)
        self.again = self.head
        self.scale = nn.Parameter([1.0])
        self.register_buffer("offset", [0.5])
        self.register_buffer("scratch", [0.0], persistent=False)
        self.register_parameter("absent", None)

    def forward(self, x: Any) -> Any:
        x = self.features(x)
        return self.head(x.reshape(x.shape[0], -1)) * self.scale + self.offset


def values(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    first, second = values(one), values(other)
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


IMAGES = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype("float32")


def test_names_in_the_order_of_setting() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        *("scale", "features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"),
        *("head.weight", "head.bias"),
    ]
    assert [name for name, _ in net.named_buffers()][:2] == ["offset", "scratch"]
    assert [name for name, _ in net.named_children()] == ["features", "head"]
    assert [name for name, _ in net.named_modules()] == [
        *("", "features", "features.0", "features.1", "features.2", "head")
    ]
    assert len(list(net.modules())) == 6
    assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert "again.weight" in dict(net.named_parameters(remove_duplicate=False))


def test_state_dict_has_every_name() -> None:
    state = Net().state_dict()
    assert {"again.weight", "head.weight", "offset"} < set(state)
    assert "scratch" not in state
    assert not any(tensor.requires_grad for tensor in state.values())


def test_parameters_know_their_names() -> None:
    parameters = Net().parameters()
    assert next(parameters.named)[0] == "scale"
    assert next(parameters).shape == (2, 1, 3, 3)
    assert len(list(parameters)) == 5


def test_state_dict_shows_the_module(backend: Target) -> None:
    """What is written into it reaches the module, and it shows what training makes of that, as in PyTorch."""
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    state, before = net.state_dict(), copy.deepcopy(net.state_dict())
    for _ in range(2):
        optimizer.zero_grad()
        (net(tensor([[1.0, 2.0], [3.0, 5.0]])) ** 2).sum().backward()
        optimizer.step()
    for name, held in net.state_dict(keep_vars=True).items():
        np.testing.assert_array_equal(state[name].numpy(), held.detach().numpy())
        assert (before[name].numpy() != held.detach().numpy()).any()
    with xpnn.no_grad():
        for average, value in zip(net.state_dict().values(), before.values(), strict=True):
            average.copy_(value)
    for name, held in net.state_dict(keep_vars=True).items():
        np.testing.assert_array_equal(before[name].numpy(), held.detach().numpy())


def test_parts_are_found_by_path() -> None:
    net = Net()
    assert net.get_submodule("features.0") is net.features[0]
    assert net.get_submodule("") is net
    assert net.get_parameter("features.0.weight") is net.features[0].weight
    assert net.get_buffer("offset") is net.offset
    with pytest.raises(
        ArgumentError, match=r"no part 'features\.9'.*'9' in Sequential. Its parts are: 0, 1, 2"
    ):
        net.get_submodule("features.9")
    with pytest.raises(ArgumentError, match="no Parameter 'offset'"):
        net.get_parameter("offset")


def test_what_may_take_the_place_of_what() -> None:
    net = Net()
    with pytest.raises(DTypeError, match="cannot take a ndarray in place of its Parameter 'scale'"):
        net.scale = np.ones(1)
    buffer = net.offset
    net.offset = np.asarray([2.0], dtype="float32")
    assert net.offset is buffer
    assert buffer.tolist() == [2.0]
    with pytest.raises(DTypeError, match="Buffer 'offset'"):
        net.offset = "two"
    net.scale = None
    assert "scale" not in net.state_dict()
    with pytest.raises(ArgumentError, match="without dots"):
        net.register_module("a.b", nn.ReLU())
    with pytest.raises(ArgumentError, match="has an attribute 'forward' already"):
        net.add_module("forward", nn.ReLU())
    with pytest.raises(DTypeError, match="expects a Parameter or None as 'w', got Tensor"):
        net.register_parameter("w", Tensor([1.0]))


def test_modes_gradients_and_freezing() -> None:
    net = Net()
    assert net.training
    net.eval()
    assert not any(module.training for module in net.modules())
    net.train()
    net.features.requires_grad_(False)
    net(IMAGES).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == [
        name for name, _ in net.features.named_parameters("features")
    ]
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0.0]
    net.zero_grad()
    assert net.scale.grad is None
    seen = []
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Conv2d", "BatchNorm2d", "ReLU", "Sequential", "Linear", "Net"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent(duplicate: Any) -> None:
    net = Net()
    net(IMAGES).sum().backward()
    other = duplicate(net)
    assert_same(net, other)
    assert other.again is other.head
    assert not other.scratch.persistent
    before = values(other)
    net.head.weight.array = net.head.weight.array + 1.0
    np.testing.assert_array_equal(other.head.weight.detach().numpy(), before["head.weight"])
    assert isinstance(other.head.weight, nn.Parameter)
    assert isinstance(other.offset, nn.Buffer)


def test_deepcopy_on_every_backend(backend: Any) -> None:
    net = Net()
    other = copy.deepcopy(net)
    assert_same(net, other)
    assert backend_of(other.head.weight.array).name == backend.backend


# --- loading ---


def test_load_takes_arrays_of_any_kind(backend: Any) -> None:
    source = nn.Linear(3, 2)
    state = {name: tensor.array for name, tensor in source.state_dict().items()}
    with xpnn.use_backend("numpy"):
        target = nn.Linear(3, 2).double()
        keys = target.load_state_dict(state)
    assert repr(keys) == "<All keys matched successfully>"
    assert target.weight.dtype == xpnn.float64
    np.testing.assert_array_equal(values(target)["weight"], values(source)["weight"])
    again = nn.Linear(3, 2)
    again.load_state_dict(values(target))
    assert_same(again, source)


def test_load_reports_everything_and_changes_nothing() -> None:
    net = Net()
    before = values(net)
    state = {name: value + 1 for name, value in before.items()}
    del state["head.bias"]
    state["tail.weight"] = np.ones(3)
    state["scale"] = np.ones(4)
    state["offset"] = "half"
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    report = str(caught.value)
    assert report.startswith("Net cannot load this state dict, nothing was changed:")
    assert "missing (1): head.bias" in report
    assert "unexpected (1): tail.weight" in report
    assert "mismatched (2): 'scale' expects the shape (1,), got (4,)" in report
    assert "'offset' expects an array, got str" in report
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_load_without_strict() -> None:
    net = Net()
    keys = net.load_state_dict({"scale": np.asarray([3.0]), "more": np.ones(1)}, strict=False)
    assert keys.unexpected_keys == ["more"]
    assert "head.weight" in keys.missing_keys
    assert net.scale.tolist() == [3.0]
    with pytest.raises(CheckpointError, match="mismatched"):
        net.load_state_dict({"scale": np.ones(2)}, strict=False)


def test_long_reports_are_cut() -> None:
    with pytest.raises(RuntimeError, match="and 3 more"):  # as PyTorch's programs catch it
        nn.Sequential(*[nn.PReLU() for _ in range(11)]).load_state_dict({})


# --- moving ---


def test_to_keeps_the_parameters() -> None:
    net = Net()
    net(IMAGES).sum().backward()
    parameters = list(net.parameters())
    assert net.to(dtype="float64") is net
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert {p.dtype.name for p in parameters} == {p.grad.dtype.name for p in parameters} == {"float64"}
    assert net.features[1].num_batches_tracked.dtype == "int64"
    assert net.float().scale.dtype == "float32"
    assert net.to(np.float64).scale.dtype == "float64"
    with pytest.raises(DTypeError, match="floating-point dtype, got int32"):
        net.to(dtype="int32")
    with pytest.raises(BackendError):
        net.to(backend="abacus")


def test_to_another_backend_and_back(backend: Any) -> None:
    if backend.read_only:
        pytest.skip("goes to NumPy and back")
    with xpnn.use_backend("numpy"):
        net = Net()
        expected = net.eval()(IMAGES).detach().numpy()
        net(IMAGES).sum().backward()
    before = values(net)
    net.to(backend.backend, device=backend.device)
    assert backend_of(net.scale.array).name == backend_of(net.scale.grad.array).name == backend.backend
    y = net(Tensor(backend.array(IMAGES)))
    np.testing.assert_allclose(backend.numpy(y.detach()), expected, rtol=1e-4, atol=1e-5)
    net.to("numpy")
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_to_where_a_tensor_is(backend: Any) -> None:
    """Its library, device and element type, as in PyTorch's `projector.to(hidden)`."""
    like = Tensor(backend.array(IMAGES.astype(np.float64)))
    with xpnn.use_backend("numpy"):
        net = Net().to(like, True)
    assert backend_of(net.scale.array).name == backend.backend
    assert (net.scale.dtype, net.scale.device) == (like.dtype, like.device)
    with pytest.raises(DTypeError, match="floating-point dtype, got int64"):
        net.to(like.long())


def test_device_alone() -> None:
    torch = pytest.importorskip("torch")
    with xpnn.use_backend("torch"):
        net = Net()
    assert str(net.to("cpu").scale.device) == "cpu"
    assert net.to(torch.device("cpu"), torch.float64).scale.dtype == torch.float64


# --- hooks ---


def test_forward_hooks() -> None:
    layer = nn.Linear(2, 1)
    calls: list[str] = []
    layer.register_forward_pre_hook(lambda module, args: calls.append("second"))
    layer.register_forward_pre_hook(lambda module, args: calls.append("first"), prepend=True)
    handle = layer.register_forward_hook(lambda module, args, output: output * 0)
    x = xpnn.tensor([[1.0, 2.0]])
    assert layer(x).tolist() == [[0.0]]
    assert calls == ["first", "second"]
    handle.remove()
    handle.remove()
    assert layer(x).tolist() != [[0.0]]
    with layer.register_forward_pre_hook(lambda module, args: x * 0):
        assert layer(x).tolist() == [[layer.bias.tolist()[0]]]


def test_hooks_with_keyword_arguments() -> None:
    class Scale(nn.Module):
        def forward(self, x: float, factor: float = 1.0) -> float:
            return x * factor

    layer = Scale()
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"factor": 3.0}), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, kwargs, out: (out, kwargs["factor"]), with_kwargs=True)
    assert layer(2.0, factor=1.0) == (6.0, 3.0)


def test_backward_hooks_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    weight = np.asarray([[1.0, -2.0], [0.5, 3.0]])
    gradients: dict[str, list[Any]] = {"mine": [], "theirs": []}

    def keep(name: str) -> Any:
        return lambda module, grad_input, grad_output: gradients[name].append((grad_input, grad_output))

    mine, theirs = nn.Linear(2, 2).double(), torch.nn.Linear(2, 2).double()
    mine.load_state_dict({"weight": weight, "bias": np.ones(2)})
    theirs.load_state_dict({"weight": torch.tensor(weight), "bias": torch.ones(2)})
    mine.register_full_backward_hook(keep("mine"))
    theirs.register_full_backward_hook(keep("theirs"))
    values = np.asarray([[1.0, 2.0]])
    (mine(Tensor(values, requires_grad=True)) ** 2).sum().backward()
    (theirs(torch.tensor(values, requires_grad=True)) ** 2).sum().backward()
    for kind in (0, 1):
        (a,), (b,) = gradients["mine"][0][kind], gradients["theirs"][0][kind]
        np.testing.assert_allclose(a.numpy(), b.numpy())
    (mine(Tensor(values)) ** 2).sum().backward()  # the input requires no gradient
    grad_input, grad_output = gradients["mine"][1]
    assert grad_input == (None,)
    np.testing.assert_array_equal(grad_output[0].numpy(), gradients["mine"][0][1][0].numpy())


class Pair(NamedTuple):
    first: Any
    second: Any


@pytest.mark.parametrize(
    "made", [lambda x: Pair(x * 2, 1), lambda x: OrderedDict(a=x * 2), lambda x: [x * 2], lambda x: (x * 2,)]
)
def test_backward_hooks_leave_the_class_of_outputs(made: Callable) -> None:
    module, seen = nn.Identity(), []
    module.forward = made
    module.register_full_backward_hook(lambda *args: seen.append(args))
    y = module(xpnn.ones(2).requires_grad_())
    assert type(y) is type(made(xpnn.ones(2)))
    (y["a"] if isinstance(y, dict) else y[0]).sum().backward()
    assert len(seen) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Linear(1, 1).train("False"),
        lambda: nn.Linear(1, 1).requires_grad_("False"),
        lambda: nn.Linear(1, 1).load_state_dict({}, strict="False"),
        lambda: nn.Linear(1, 1).register_buffer("mean", xpnn.ones(2), persistent="False"),
        lambda: xpnn.ones(2).requires_grad_("False"),
        lambda: xpnn.zeros(2, requires_grad="False"),
        lambda: xpnn.inference_mode("False"),
    ],
)
def test_a_word_is_no_flag(call: Callable) -> None:
    """The string "False" would count as true."""
    with pytest.raises(XpnnError, match="True or False, got 'False'"):
        call()


def test_backward_hooks_replace_the_gradient() -> None:
    class Sum(nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return a + b, a * b

    module = Sum()
    module.register_full_backward_hook(
        lambda m, grad_input, grad_output: tuple(None if g is None else 10 * g for g in grad_input)
    )
    a, b = xpnn.tensor([2.0], requires_grad=True), xpnn.tensor([5.0], requires_grad=True)
    total, _ = module(a, b)  # the second output is not used
    total.sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([10.0], [10.0])
    (first,) = xpnn.grad(module(a, b)[1].sum(), a, create_graph=True)
    assert first.tolist() == [50.0]
    (second,) = xpnn.grad(first.sum(), b)
    assert second.tolist() == [100.0]  # the hook is called in the second sweep too


def test_hooks_of_a_copy_are_its_own() -> None:
    layer = nn.Identity()
    layer.register_forward_hook(lambda module, args, output: output + 1)
    other = copy.deepcopy(layer)
    other.register_forward_hook(lambda module, args, output: output + 1)
    assert (layer(0), other(0)) == (1, 2)


# --- errors ---


def test_errors_name_the_module_by_path() -> None:
    net = nn.Sequential(OrderedDict(features=nn.Sequential(nn.ReLU(), nn.Conv2d(64, 8, 3))))
    with pytest.raises(ShapeError) as caught:
        net(xpnn.xp.ones((8, 32, 14, 14)))
    assert str(caught.value) == (
        "Conv2d 'features.1' expects 64 input channels (NCHW), got 32 from an input of shape "
        "(8, 32, 14, 14). Did you mean in_channels=32?"
    )
    assert caught.value.module is net.features[1]
    assert caught.value.module_path == ("features", "1")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(ShapeError, match=r"^Conv2d expects 64"):
        net.features[1](xpnn.xp.ones((8, 32, 14, 14)))


def test_errors_through_a_list() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(4, 3)])

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return x

    with pytest.raises(ShapeError, match=r"^Linear 'layers\.1' expects 4 input features"):
        Chain()(xpnn.xp.ones((1, 3)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_anomalies_name_operation_and_module() -> None:
    class Log(nn.Module):
        def forward(self, x: Any) -> Any:
            return xpnn.xp.log(x)

    net = nn.Sequential(nn.Identity(), Log())
    with (
        xpnn.detect_anomaly(),
        pytest.raises(AnomalyError, match=r"^log in Log '1' made -inf at index \(1,\)"),
    ):
        net(xpnn.tensor([1.0, 0.0]))

    class Root(nn.Module):
        def forward(self, x: Any) -> Any:
            return xpnn.xp.sqrt(x)

    net = nn.Sequential(OrderedDict(root=Root()))
    x = xpnn.tensor([0.0], requires_grad=True)
    with xpnn.detect_anomaly(), pytest.raises(AnomalyError, match=r"recorded in Sequential / Root 'root'"):
        net(x).sum().backward()


def test_forward_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(1)


# --- containers ---


def test_sequential() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3
    assert isinstance(net[-1], nn.Linear)
    assert [name for name, _ in net[1:].named_children()] == ["1", "2"]
    del net[1]
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    net.insert(1, nn.Tanh()).extend([nn.Sigmoid()])
    net[0] = nn.Identity()
    assert [type(layer).__name__ for layer in net] == ["Identity", "Tanh", "Linear", "Sigmoid"]
    tail = net[2:].append(nn.ReLU())
    assert [type(layer).__name__ for layer in tail] == ["Linear", "Sigmoid", "ReLU"]
    with pytest.raises(IndexOutOfRangeError, match="Sequential has 4 members, there is no number 4"):
        net[4]
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    assert named.a is named[0]
    del named[0]
    assert [name for name, _ in named.named_children()] == ["b"]


def test_lists_and_dictionaries() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2)]) + nn.ModuleList([nn.ReLU()])
    assert [name for name, _ in layers.named_parameters()] == ["0.weight", "0.bias"]
    assert len(layers[:1]) == 1
    parts = nn.ModuleDict([("a", nn.ReLU())])
    parts["b"] = nn.Linear(1, 1)
    parts.update({"c": nn.Tanh()})
    assert isinstance(parts.pop("a"), nn.ReLU)
    del parts["c"]
    assert list(parts.keys()) == ["b"]
    assert next(iter(parts.items()))[1] is parts["b"] is next(iter(parts.values()))
    parts.clear()
    assert len(parts) == 0
    with pytest.raises(ArgumentError, match="has an attribute 'keys' already"):
        parts["keys"] = nn.ReLU()
    weights = nn.ParameterList([nn.Parameter([1.0])]).append(nn.Parameter([2.0]))
    weights[0] = nn.Parameter([3.0])
    assert [w.tolist() for w in weights] == [[3.0], [2.0]]
    assert [name for name, _ in nn.ParameterDict({"w": weights[0]}).named_parameters()] == ["w"]


def test_containers_print_as_in_torch() -> None:
    torch = pytest.importorskip("torch")

    def make(library: Any) -> Any:
        return library.Sequential(
            library.Conv2d(1, 2, 3, bias=False),
            library.ModuleList([library.Linear(2, 2), library.Linear(2, 2), library.ReLU()]),
            library.ModuleDict({"a": library.Sequential(library.Flatten()), "b": library.Sequential()}),
        )

    assert repr(make(nn)) == repr(make(torch.nn))


def test_optimizer_made_before_the_move_still_trains() -> None:
    pytest.importorskip("torch")
    from xpnn.optim import SGD

    net = nn.Linear(2, 1)
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    for name in ("numpy", "torch", "numpy"):
        net.to(name)
        before = net.weight.detach().to("numpy").numpy().copy()
        with xpnn.use_backend(name):
            net(xpnn.asarray([[1.0, 2.0]])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert not np.array_equal(net.weight.detach().to("numpy").numpy(), before)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e30])
def test_counters_are_taken_from_floats_that_are_whole(value: float) -> None:
    norm = nn.BatchNorm1d(2)
    state = {name: array.numpy().astype("float64") for name, array in norm.state_dict().items()}
    state["num_batches_tracked"] = np.array(7.0)
    norm.load_state_dict(state)
    assert norm.num_batches_tracked.item() == 7
    state["num_batches_tracked"] = np.array(value)
    with pytest.raises(CheckpointError, match=r"'num_batches_tracked' expects int64, got float64"):
        norm.load_state_dict(state)
    assert norm.num_batches_tracked.item() == 7


def test_what_a_module_holds_can_be_written_as_pytorch_keeps_it() -> None:
    layer = nn.BatchNorm1d(2)
    layer._buffers["v"] = xpnn.ones(2)
    layer._buffers["running_mean"] = xpnn.ones(2)
    layer._parameters["w"] = nn.Parameter(xpnn.ones(1))
    layer._modules["part"] = nn.ReLU()
    assert {"v", "w"} <= layer.state_dict().keys()
    assert layer.running_mean.tolist() == [1.0, 1.0]
    assert isinstance(layer.part, nn.ReLU)
    del layer._buffers["v"], layer._parameters["w"], layer._modules["part"]
    assert not {"v", "w"} & layer.state_dict().keys()
    with pytest.raises(DTypeError, match="expects a Buffer or None as 'v', got int"):
        layer._buffers["v"] = 3


def _names_and_order(nn: Any) -> list[str]:
    """What PyTorch's modules and ours say of the order of parts that take the place of something else."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.head, self.left_out = "avg", None, None
            self.register_parameter("scale", None)
            self.body = nn.Linear(1, 2)
            self.tail = nn.Linear(2, 2)
            self.left_out = nn.Linear(2, 1)
            self.body = None
            self.pool, self.head = nn.ReLU(), nn.Linear(2, 3)
            self.body = nn.Linear(2, 2)
            self.shift = nn.Parameter(self.head.bias.detach())
            self.scale = nn.Parameter(self.head.bias.detach())

    net = Net()
    return [*dict(net.named_children()), *dict(net.named_parameters())]


def test_parts_that_take_the_place_of_what_was_none_come_last() -> None:
    """The order is PyTorch's, by which optimizers number their state."""
    torch = pytest.importorskip("torch")
    found = _names_and_order(nn)
    assert found[:5] == ["body", "tail", "left_out", "pool", "head"]
    assert found == _names_and_order(torch.nn)
