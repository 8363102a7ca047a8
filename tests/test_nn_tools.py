"""Tools of modules beside their call: hooks of all kinds, state dicts with hooks, containers, moving."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.backend import ArgumentError, CheckpointError, DTypeError, GradientError, IndexOutOfRangeError


def libraries() -> list[Any]:
    """(nn, tensor, registered hooks of all modules) of xpnn, and of PyTorch where it is installed."""
    torch = pytest.importorskip("torch")
    return [(nn, xpnn.tensor, nn), (torch.nn, torch.tensor, torch.nn.modules.module)]


def same_on_both(play: Callable[..., list[Any]]) -> None:
    """What `play(nn, tensor, hooks of all modules)` notes down is the same in xpnn and in PyTorch."""
    mine, theirs = (play(*library) for library in libraries())
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert one == other


def test_all_methods_of_torch_are_there() -> None:
    """But those of its compilers, of other hardware, and of its own books."""
    torch = pytest.importorskip("torch")
    absent = {"T_destination", "call_super_init", "dump_patches", "ipu", "mtia", "xpu"}
    for name in ("Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"):
        theirs = {method for method in dir(getattr(torch.nn, name)) if not method.startswith("_")}
        assert theirs - set(dir(getattr(nn, name))) - absent == set(), name


def test_hooks_of_all_modules() -> None:
    """In the order in which PyTorch calls them, those of all modules before those of the one."""

    def play(library: Any, tensor: Any, everywhere: Any) -> list[Any]:
        log: list[Any] = []
        layer, x = library.ReLU(), tensor([-1.0, 2.0], requires_grad=True)
        handles = [
            everywhere.register_module_forward_pre_hook(lambda *args: log.append("all before")),
            everywhere.register_module_forward_hook(lambda *args: log.append("all after")),
            everywhere.register_module_full_backward_pre_hook(lambda *args: log.append("all above")),
            everywhere.register_module_full_backward_hook(lambda *args: log.append("all backward")),
            layer.register_forward_pre_hook(lambda *args: log.append("before")),
            layer.register_forward_hook(lambda *args: log.append("after")),
            layer.register_full_backward_pre_hook(lambda module, gy: (gy[0] * 3,)),
            layer.register_full_backward_hook(
                lambda module, gx, gy: log.append((gx[0].tolist(), gy[0].tolist()))
            ),
        ]
        layer(x).sum().backward()
        log.append(x.grad.tolist())
        for handle in handles:
            handle.remove()
        before = len(log)
        layer(x).sum().backward()
        assert len(log) == before
        return log

    same_on_both(play)


def test_hooks_that_are_always_called() -> None:
    def play(library: Any, tensor: Any, everywhere: Any) -> list[Any]:
        log: list[Any] = []

        class Fails(library.Module):
            def forward(self, x):
                raise RuntimeError("on the way")

        layer = Fails()
        layer.register_forward_hook(lambda *args: log.append("never"))
        layer.register_forward_hook(lambda m, args, output: log.append(output), always_call=True)
        with (
            everywhere.register_module_forward_hook(lambda *args: log.append("all"), always_call=True),
            pytest.raises(RuntimeError, match="on the way"),
        ):
            layer(1)
        assert log == ["all", None]
        return log

    same_on_both(play)


def test_hooks_of_state_dicts() -> None:
    def play(library: Any, tensor: Any, everywhere: Any) -> list[Any]:
        net, log = library.Sequential(library.Linear(2, 1, bias=False)), []
        net[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.append((prefix, keep)))
        net[0].register_state_dict_post_hook(
            lambda m, state, prefix, data: state.update({"more": tensor([1.0])})
        )
        state = net.state_dict(prefix="a.")
        log.append(list(state))

        def rename(module, state, prefix, data, strict, missing, unexpected, errors):
            state[prefix + "weight"] = state.pop(prefix + "old")
            log.append((prefix, strict, missing, unexpected, errors))

        net[0].register_load_state_dict_pre_hook(rename)
        net[0].register_load_state_dict_post_hook(lambda module, keys: keys.unexpected_keys.clear())
        given = {"0.old": tensor([[5.0, 6.0]]), "stranger": tensor([0.0])}
        log.append(tuple(net.load_state_dict(given)))
        log.append((list(given), net[0].weight.tolist()))
        return log

    same_on_both(play)


def test_names_that_hooks_leave_are_complained_of() -> None:
    net = nn.Linear(2, 1)
    net.register_load_state_dict_post_hook(lambda module, keys: None)
    with pytest.raises(CheckpointError, match=r"(?s)the rest was loaded.*missing \(1\): bias"):
        net.load_state_dict({"weight": np.ones((1, 2), np.float32)})
    assert net.weight.tolist() == [[1.0, 1.0]]
    net.register_load_state_dict_pre_hook(lambda *words: words[-1].append("too old"))
    with pytest.raises(CheckpointError, match=r"(?s)nothing was changed.*too old"):
        net.load_state_dict({"weight": np.zeros((1, 2), np.float32)})
    assert net.weight.tolist() == [[1.0, 1.0]]


def test_extra_state() -> None:
    for library, _, _ in libraries():

        class Counting(library.Module):
            def __init__(self):
                super().__init__()
                self.count = 3

            def get_extra_state(self):
                return {"count": self.count}

            def set_extra_state(self, state):
                self.count = state["count"]

        net = library.Sequential(Counting(), library.Linear(1, 1))
        state = net.state_dict()
        assert list(state) == ["0._extra_state", "1.weight", "1.bias"]
        net[0].count = 0
        net.load_state_dict(state)
        assert net[0].count == 3
        del state["0._extra_state"]
        with pytest.raises((CheckpointError, RuntimeError), match="_extra_state"):
            net.load_state_dict(state)


def test_state_dict_of_the_parameters_themselves() -> None:
    layer, taken = nn.Linear(2, 1), {}
    state = layer.state_dict(destination=taken, keep_vars=True)
    assert state is taken
    assert state["weight"] is layer.weight
    wide = np.ones((1, 2))
    layer.load_state_dict({"weight": wide, "bias": np.zeros(1)}, assign=True)
    assert layer.weight.array is wide


def test_registries_are_the_attributes() -> None:
    for library, tensor, _ in libraries():
        net = library.Sequential(library.Linear(1, 1), library.BatchNorm1d(1))
        assert list(net._modules) == ["0", "1"]
        assert list(net[0]._parameters) == ["weight", "bias"]
        assert list(net[1]._buffers) == ["running_mean", "running_var", "num_batches_tracked"]
        net._modules["0"] = library.ReLU()
        assert type(net[0]) is library.ReLU
        del net._modules["1"]
        assert len(net) == 1
        net[0]._parameters["scale"] = library.Parameter(tensor([1.0]))
        assert net[0].scale.tolist() == [1.0]
    with pytest.raises(DTypeError, match="expects a Module or None as '0', got int"):
        nn.Sequential()._modules["0"] = 3  # type: ignore[assignment]
    with pytest.raises(KeyError):
        del nn.Sequential()._modules["0"]


def test_attributes() -> None:
    for library, _, _ in libraries():
        net = library.Sequential(library.ReLU())
        assert net.__getattr__("0") is net[0]
        with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'layer'"):
            _ = net.layer
        assert not hasattr(net, "layer")
        net.set_submodule("0", library.Tanh())
        assert type(net[0]) is library.Tanh
    with pytest.raises(ArgumentError, match="has no part '3'"):
        nn.Sequential().set_submodule("3", nn.ReLU(), strict=True)
    with pytest.raises(DTypeError, match="expects a module, got int"):
        nn.Sequential().set_submodule("3", 4)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expects the name of a part"):
        nn.Sequential().set_submodule("", nn.ReLU())


def test_types_and_places() -> None:
    layer = nn.BatchNorm1d(2)
    for change, dtype in (
        (layer.half, "float16"),
        (layer.double, "float64"),
        (lambda: layer.type("float32"), "float32"),
    ):
        assert change() is layer
        assert {p.dtype.name for p in layer.parameters()} == {dtype}
        assert layer.num_batches_tracked.dtype == "int64"
    assert layer.cpu() is layer.share_memory() is layer.to_empty(device="cpu") is layer
    layer.compile()
    with pytest.raises(xpnn.XpnnError):
        layer.cuda()
    with pytest.raises(NotImplementedError, match="defines no get_extra_state"):
        layer.get_extra_state()
    with pytest.raises(NotImplementedError, match="defines no set_extra_state"):
        layer.set_extra_state({})


def test_containers_as_in_torch() -> None:
    """What lists and chains do, and print."""

    def play(library: Any, tensor: Any, everywhere: Any) -> list[Any]:
        log: list[Any] = []
        parts = library.ModuleList([None, library.ReLU()])
        log += [len(parts), parts[0], repr(parts), [name for name, _ in parts.named_modules()]]
        parts[0] = library.Tanh()
        parts.insert(1, None)
        log += [repr(parts), parts.pop(1), len(parts)]
        parts += [library.Sigmoid()]
        log += [repr(copy.deepcopy(parts)), repr(parts + list(library.ModuleList([library.ReLU()])))]
        chain = library.Sequential(library.Linear(2, 2), library.ReLU())
        log += [repr(chain * 2), repr(2 * chain), repr(chain + library.Sequential(library.Tanh()))]
        chain *= 2
        log += [
            repr(chain.pop(0)),
            repr(chain.extend([library.Tanh()])),
            repr(chain.insert(-1, library.SiLU())),
        ]
        log += [repr(chain[1:3]), repr(library.ModuleDict({"a": None, "b": library.ReLU()}))]
        values = library.ParameterList([tensor([1.0, 2.0]), library.Parameter(tensor([[1.0]])), "x"])
        log += [len(values), repr(values).replace("torch.", ""), len(list(values.parameters())), values[2]]
        named = library.ParameterDict({"a": tensor([1.0]), "b": 3})
        log += [named.get("q"), list(reversed(named)), list((named | {"c": tensor([2.0])}).keys())]
        log += [
            list(({"c": 1} | named).keys()),
            named.popitem(),
            named.setdefault("d", 5),
            list(named.copy()),
        ]
        log += [list(named.fromkeys(["u", "v"], 1).items()), len(named), "a" in named]
        named |= {"e": 1}
        named.clear()
        log.append(len(named))
        return log

    same_on_both(play)


def test_container_refusals() -> None:
    with pytest.raises(DTypeError, match="expects several members to add, got ReLU"):
        nn.ModuleList().extend(nn.ReLU())  # type: ignore[arg-type]
    with pytest.raises(IndexOutOfRangeError, match="nothing can be inserted at 3"):
        nn.Sequential().insert(3, nn.ReLU())
    with pytest.raises(ArgumentError, match="expects a factor of at least 1, got 0"):
        nn.Sequential(nn.ReLU()) * 0
    with pytest.raises(TypeError):
        _ = nn.Sequential(nn.ReLU()) + 3  # type: ignore[operator]
    with pytest.raises(DTypeError, match="expects a name, got int"):
        nn.ModuleDict()[3] = nn.ReLU()  # type: ignore[index]
    with pytest.raises(DTypeError, match="expects a dictionary or pairs"):
        nn.ModuleDict(3)  # type: ignore[arg-type]
    with pytest.raises(GradientError, match="cannot be called"):
        nn.ParameterList()(1)
