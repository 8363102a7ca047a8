"""Optimizers that users write in PyTorch's way, hooks of steps, parameters that occur twice."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import optim
from xpnn.backend import ArgumentError, CheckpointError, backend_of, get_backend, to_numpy

torch = pytest.importorskip("torch")

Make = Callable[[Any, Any], Any]


def momentum_with_data(lib: Any, params: Any) -> Any:
    """The style of PyTorch's early days: in place on `.data`."""

    class Momentum(lib.optim.Optimizer):
        def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
            super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

        def step(self, closure: Any = None) -> Any:
            loss = None
            if closure is not None:
                loss = closure()
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    d_p = p.grad.data
                    if group["weight_decay"] != 0:
                        d_p = d_p.add(p.data, alpha=group["weight_decay"])
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"] = 0
                        state["momentum_buffer"] = d_p.clone().detach()
                    else:
                        state["momentum_buffer"].mul_(0.9).add_(d_p, alpha=0.5)
                    state["step"] += 1
                    p.data.add_(state["momentum_buffer"], alpha=-group["lr"])
            return loss

    return Momentum([{"params": params[:1]}, {"params": params[1:], "lr": 0.02}], lr=0.1, weight_decay=0.01)


def adam_without_grad(lib: Any, params: Any) -> Any:
    """The style of today: under `no_grad`, in place on the parameter."""

    class Adam(lib.optim.Optimizer):
        def __init__(
            self, params: Any, lr: float = 1e-3, betas: Any = (0.9, 0.999), eps: float = 1e-8
        ) -> None:
            super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

        @lib.no_grad()
        def step(self, closure: Any = None) -> Any:
            loss = None
            if closure is not None:
                with lib.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                beta1, beta2 = group["betas"]
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    grad = p.grad
                    state = self.state[p]
                    if not state:
                        state["step"] = 0
                        state["exp_avg"] = lib.zeros_like(p)
                        state["exp_avg_sq"] = lib.zeros_like(p)
                    exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
                    state["step"] += 1
                    exp_avg.mul_(beta1).add_(grad, alpha=1 - beta1)
                    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                    correction = 1 - beta2 ** state["step"]
                    denom = (exp_avg_sq / correction).sqrt().add_(group["eps"])
                    p.addcdiv_(exp_avg, denom, value=-group["lr"] / (1 - beta1 ** state["step"]))
            return loss

    return Adam(params, lr=0.05)


def sgd_of_the_library(lib: Any, params: Any) -> Any:
    """A subclass that only adds to a step."""

    class Clipped(lib.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.data.clamp_(-0.1, 0.1)
            return super().step(closure)

    return Clipped(params, lr=0.1, momentum=0.9)


OPTIMIZERS = [momentum_with_data, adam_without_grad, sgd_of_the_library]


def start(lib: Any, dtype: str = "float64") -> list[Any]:
    values = np.linspace(-1, 1, 6).reshape(2, 3), np.array([0.5, -0.5])
    return [lib.tensor(v.tolist(), dtype=getattr(lib, dtype), requires_grad=True) for v in values]


def loss_of(params: list[Any]) -> Any:
    w, b = params
    return ((w * w).sum(1) * b).exp().sum() + (b**2).sum()


def train(params: list[Any], optimizer: Any, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(params)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_trains_as_on_pytorch(backend: Target, make: Make) -> None:
    mine, theirs = start(xpnn), start(torch)
    found = train(mine, make(xpnn, mine), 20)
    expected = train(theirs, make(torch, theirs), 20)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for p, q in zip(mine, theirs):
        np.testing.assert_allclose(p.tolist(), q.tolist(), rtol=1e-12)
        assert backend_of(p.array) is get_backend()


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_goes_on_from_a_state_dict(make: Make, tmp_path: Any) -> None:
    whole = start(xpnn)
    expected = train(whole, make(xpnn, whole), 6)
    params = start(xpnn)
    optimizer = make(xpnn, params)
    seen = train(params, optimizer, 3)
    xpnn.save({"optimizer": optimizer.state_dict(), "params": [p.detach() for p in params]}, tmp_path / "run")
    saved = xpnn.load(tmp_path / "run")
    again = [p.requires_grad_() for p in saved["params"]]
    resumed = make(xpnn, again)
    resumed.load_state_dict(saved["optimizer"])
    assert seen + train(again, resumed, 3) == expected
    state = copy.deepcopy(optimizer.state_dict())
    state["state"]["2"] = {}
    with pytest.raises(CheckpointError, match="which this optimizer does not train"):
        resumed.load_state_dict(state)


def test_a_closure_gives_the_loss() -> None:
    params = start(xpnn)
    optimizer = adam_without_grad(xpnn, params)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(params)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    other = start(xpnn)
    assert losses == train(other, adam_without_grad(xpnn, other), 5)


def test_the_state_by_parameter_and_by_name(backend: Target) -> None:
    params = start(xpnn)
    optimizer = optim.Adam([("w", params[0]), ("b", params[1])])
    assert params[0] not in optimizer.state
    assert optimizer.state.get(params[0]) is None
    train(params, optimizer, 2)
    assert params[0] in optimizer.state
    assert optimizer.state[params[0]] is optimizer.state["w"]
    assert optimizer.state.get(params[1]) is optimizer.state["b"]
    assert float(to_numpy(optimizer.state[params[1]]["step"])) == 2
    assert list(optimizer.state) == ["w", "b"]
    optimizer.state.pop(params[0])
    del optimizer.state["b"]
    assert optimizer.state == {}
    with pytest.raises(KeyError, match="does not train"):
        _ = optimizer.state[xpnn.zeros(2)]
    with pytest.raises(KeyError):
        _ = optimizer.state["b"]
    optimizer.add_param_group({"params": [other := xpnn.zeros(2, requires_grad=True)]})
    optimizer.state[other]["note"] = 1
    assert optimizer.state["2"] == {"note": 1}


def calls_around_a_step(lib: Any, make: Make) -> list[Any]:
    """What is called, in its order, and with what, in a step with hooks and in one after their removal."""
    params, calls = start(lib), []
    optimizer = make(lib, params)

    def closure() -> Any:
        calls.append("loss")
        optimizer.zero_grad()
        loss = loss_of(params)
        loss.backward()
        return loss

    def before(opt: Any, args: Any, kwargs: Any) -> Any:
        calls.append(("before", opt is optimizer is args[0], len(args), kwargs))
        return (optimizer, closure), {}

    def after(opt: Any, args: Any, kwargs: Any) -> None:
        calls.append(("after", args[-1] is closure, kwargs))

    handles = [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
    closure()
    optimizer.step(closure)
    for handle in handles:
        handle.remove()
    calls.append("without")
    optimizer.step(closure)
    return calls


@pytest.mark.parametrize("make", [*OPTIMIZERS, lambda lib, params: lib.optim.LBFGS(params, max_iter=2)])
def test_hooks_of_steps(make: Make) -> None:
    calls = calls_around_a_step(xpnn, make)
    if make is not sgd_of_the_library:  # PyTorch calls the hooks of the class and of its base
        assert calls == calls_around_a_step(torch, make)
    assert calls[:3] == ["loss", ("before", True, 2, {}), "loss"]
    assert calls.count(("after", True, {})) == 1
    assert calls[calls.index("without") - 1] == ("after", True, {})
    assert set(calls[calls.index("without") :]) == {"without", "loss"}
    params = start(xpnn)
    optimizer = make(xpnn, params)
    optimizer.register_step_pre_hook(lambda *_: 1)
    with pytest.raises(ArgumentError, match="None or"):
        optimizer.step(lambda: loss_of(params))


@pytest.mark.parametrize(
    "options", [{"name": "SGD", "lr": 0.1, "weight_decay": 0.1}, {"name": "Adam", "lr": 0.1}]
)
def test_a_duplicate_in_a_group_is_updated_twice(backend: Target, options: dict[str, Any]) -> None:
    options = dict(options)
    name = options.pop("name")
    mine, theirs = start(xpnn), start(torch)
    with pytest.warns(UserWarning, match="duplicate param"):
        one = getattr(optim, name)([mine[0], mine[1], mine[0]], **options)
    with pytest.warns(UserWarning, match="duplicate param"):
        other = getattr(torch.optim, name)([theirs[0], theirs[1], theirs[0]], foreach=False, **options)
    np.testing.assert_allclose(train(mine, one, 6), train(theirs, other, 6), rtol=1e-12)
    again = copy.deepcopy(one)
    again.load_state_dict(one.state_dict())


def test_a_parameter_in_two_groups_is_refused() -> None:
    x = xpnn.zeros(2, requires_grad=True)
    with pytest.raises(ArgumentError, match="twice, in two groups"):
        optim.SGD([{"params": [x]}, {"params": [x]}])


def calls_around_state_dicts(lib: Any, make: Make) -> list[Any]:
    """What is called, in its order, where a state dict is made and loaded, and what is loaded then."""
    params, calls = start(lib), []
    optimizer = make(lib, params)

    def saved(opt: Any, state: dict[str, Any]) -> Any:
        calls.append(("saved", opt is optimizer))
        return {**state, "note": 1}

    def loading(opt: Any, state: dict[str, Any]) -> Any:
        calls.append(("loading", state.pop("note", None)))
        state["param_groups"] = [{**group, "lr": 0.25} for group in state["param_groups"]]

    handles = [
        optimizer.register_state_dict_pre_hook(lambda opt: calls.append("saving")),
        optimizer.register_state_dict_pre_hook(lambda opt: calls.append("saving first"), prepend=True),
        optimizer.register_state_dict_post_hook(saved),
        optimizer.register_load_state_dict_pre_hook(loading),
        optimizer.register_load_state_dict_post_hook(lambda opt: calls.append(("loaded", opt is optimizer))),
    ]
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    calls += [state["note"], optimizer.param_groups[0]["lr"]]
    for handle in handles:
        handle.remove()
    return [*calls, "note" in optimizer.state_dict()]


@pytest.mark.parametrize(
    "make",
    [
        lambda lib, params: lib.optim.Adam(params, lr=0.5),
        lambda lib, params: lib.optim.LBFGS(params, max_iter=2),  # has methods of its own
    ],
)
def test_hooks_of_state_dicts(make: Make) -> None:
    assert calls_around_state_dicts(xpnn, make) == calls_around_state_dicts(torch, make)


@pytest.mark.parametrize("lib", [xpnn, torch])
def test_hooks_of_all_optimizers(lib: Any) -> None:
    calls: list[Any] = []
    module = importlib.import_module(f"{lib.__name__}.optim.optimizer")
    places = [module.register_optimizer_step_pre_hook, module.register_optimizer_step_post_hook]
    handles = [place(lambda opt, args, kwargs, i=i: calls.append(i)) for i, place in enumerate(places)]
    first, second = (lib.optim.SGD([lib.zeros(2, requires_grad=True)]) for _ in range(2))
    first.register_step_pre_hook(lambda *_: calls.append("own before"))
    first.register_step_post_hook(lambda *_: calls.append("own after"))
    first.step()
    second.step()
    for handle in handles:
        handle.remove()
    second.step()
    assert calls == [0, "own before", "own after", 1, 0, 1]
