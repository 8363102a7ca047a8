"""Averages of weights: PyTorch's numbers and names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError
from xpnn.optim import swa_utils


def models(torch: Any) -> tuple[Any, Any]:
    """The same small model, here and in PyTorch."""
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).double()
    mine = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    copy_to(mine, theirs)
    return mine, theirs


def copy_to(mine: Any, theirs: Any) -> None:
    mine.load_state_dict({key: xpnn.asarray(value.numpy()) for key, value in theirs.state_dict().items()})


def batch(*seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, 3))


AVERAGES = [
    ({}, False),
    ({}, True),
    ({"multi_avg_fn": ("get_ema_multi_avg_fn", 0.9)}, False),
    ({"multi_avg_fn": ("get_ema_multi_avg_fn", 0.9)}, True),
    ({"multi_avg_fn": ("get_swa_multi_avg_fn",)}, False),
    ({"avg_fn": ("get_ema_avg_fn", 0.5)}, True),
    ({"avg_fn": ("get_swa_avg_fn",)}, False),
]


@pytest.mark.parametrize(("functions", "use_buffers"), AVERAGES)
def test_equal_to_pytorch(
    functions: dict[str, Any], use_buffers: bool, backend: Any, torch_in_float64: Any
) -> None:
    torch = torch_in_float64
    mine, theirs = models(torch)
    averaged, other = (
        module.AveragedModel(
            model,
            use_buffers=use_buffers,
            **{key: getattr(module, name)(*given) for key, (name, *given) in functions.items()},
        )
        for module, model in ((swa_utils, mine), (torch.optim.swa_utils, theirs))
    )
    for step in range(4):
        with torch.no_grad():
            for i, param in enumerate(theirs.parameters()):
                param += torch.tensor(np.random.default_rng((step, i)).standard_normal(tuple(param.shape)))
            theirs(torch.tensor(batch(step)))
        copy_to(mine, theirs)
        averaged.update_parameters(mine)
        other.update_parameters(theirs)
    state, expected = averaged.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(backend.numpy(state[key]), value.numpy(), rtol=1e-12, err_msg=key)
    averaged.eval()
    other.eval()
    x = batch(9)
    np.testing.assert_allclose(
        backend.numpy(averaged(Tensor(backend.array(x)))), other(torch.tensor(x)).detach().numpy(), rtol=1e-9
    )


def test_the_average_is_apart_from_the_model() -> None:
    model = nn.Linear(2, 2)
    averaged = swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    before = averaged.module.weight.tolist()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        model(Tensor(np.ones((1, 2), np.float32))).sum().backward()
        optimizer.step()
    assert averaged.module.weight.tolist() == before
    assert averaged.module.weight.requires_grad


def test_the_average_goes_on_when_the_model_was_moved(backend: Any) -> None:
    with xpnn.use_backend("numpy"):
        model = nn.Linear(2, 2)
        averaged = swa_utils.AveragedModel(model)
        averaged.update_parameters(model)
    model.to(backend.backend, device=backend.device)
    averaged.update_parameters(model)
    assert isinstance(averaged.module.weight.array, np.ndarray)
    assert averaged.n_averaged.item() == 2


@pytest.mark.parametrize("as_tuple", [False, True])
def test_update_bn(as_tuple: bool, backend: Any) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = models(torch)
    batches = [batch(i) for i in range(3)]
    loader = [Tensor(backend.array(x)) for x in batches]
    mine.eval()
    swa_utils.update_bn([(x, None) for x in loader] if as_tuple else loader, mine)
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in batches], theirs)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        found, expected = (getattr(model[1], name) for model in (mine, theirs))
        np.testing.assert_allclose(backend.numpy(found), expected.numpy(), rtol=1e-9)
    assert mine[1].momentum == 0.1
    assert not mine.training


def test_update_bn_mends_the_model_when_the_data_fail() -> None:
    model = nn.BatchNorm1d(3)

    def loader() -> Any:
        yield batch(0).astype("float32")
        raise KeyError

    with pytest.raises(KeyError):
        swa_utils.update_bn(loader(), model.eval())
    assert model.momentum == 0.1
    assert not model.training


def test_update_bn_finds_all_kinds_and_leaves_each_mode() -> None:
    model = nn.Sequential(nn.SyncBatchNorm(1), nn.BatchNorm1d(1), nn.Dropout())
    model[1].eval()
    swa_utils.update_bn([Tensor([[1.0], [3.0]]), Tensor([[3.0], [5.0]])], model)
    assert model[0].running_mean.tolist() == [3.0]
    assert [part.training for part in model.modules()] == [True, True, False, True]


@pytest.mark.parametrize(
    "options", [{}, {"anneal_epochs": 3, "anneal_strategy": "linear"}, {"anneal_epochs": 0}]
)
def test_swalr(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    rates = []
    for library, tensor in ((optim, Tensor(np.ones(1))), (torch.optim, torch.ones(1))):
        tensor.requires_grad_(True)
        optimizer = library.SGD([tensor], lr=1.0)
        decay = library.lr_scheduler.MultiplicativeLR(optimizer, lambda step: 0.9)
        swa = library.swa_utils.SWALR(optimizer, swa_lr=0.05, **options)
        found = []
        for step in range(20):
            tensor.grad = tensor.detach() * 0
            optimizer.step()
            (swa if step > 4 else decay).step()
            found.append(optimizer.param_groups[0]["lr"])
        rates.append(found)
    np.testing.assert_allclose(*rates, rtol=1e-12)


def test_bad_arguments() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(ArgumentError, match="at most one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(model, avg_fn=max, multi_avg_fn=max)
    with pytest.raises(ArgumentError, match="parameters that it was made from"):
        swa_utils.AveragedModel(model).update_parameters(nn.Linear(2, 1))
    with pytest.raises(ArgumentError, match=r"decay in \[0, 1\]"):
        swa_utils.get_ema_multi_avg_fn(2)
    with pytest.raises(DTypeError, match="update_bn expects model as a Module, got 3"):
        swa_utils.update_bn([], 3)
    with pytest.raises(DTypeError, match="update_bn expects a loader of batches, got 3"):
        swa_utils.update_bn(3, nn.BatchNorm1d(1))
    with pytest.raises(DTypeError, match="avg_fn as a function, got 'mean'"):
        swa_utils.AveragedModel(model, avg_fn="mean")
    optimizer = optim.SGD(model.parameters())
    for wrong in ({"swa_lr": [1.0, 2.0]}, {"anneal_epochs": -1}, {"anneal_strategy": "x"}):
        with pytest.raises(ArgumentError):
            swa_utils.SWALR(optimizer, **({"swa_lr": 0.1} | wrong))
