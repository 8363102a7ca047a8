"""What each process of a job does in tests/test_distributed.py: `mpiexec -n 2 python tests/ranks.py NAME`."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import cupy_like
import cupy_like_nccl
import numpy as np
import pytest
import targets  # noqa: F401 - which registers the stand-in for CuPy

import xpnn
from xpnn import distributed as dist
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.backend import ArgumentError, DTypeError, ShapeError
from xpnn.data import DataLoader, DistributedSampler, TensorDataset
from xpnn.distributed.algorithms.ddp_comm_hooks import default_hooks
from xpnn.metrics import ROCAUC, Accuracy
from xpnn.train import Trainer, TrainingModule
from xpnn.train.team import Team

X = np.random.default_rng(0).standard_normal((12, 3, 6, 6))
Y = np.random.default_rng(1).integers(0, 5, 12)


def part(array: np.ndarray) -> Any:
    """This process's equal part of a batch."""
    count = len(array) // dist.get_world_size()
    return xpnn.tensor(array[dist.get_rank() * count : (dist.get_rank() + 1) * count])


_OF_NCCL = [
    *(xpnn.float16, xpnn.float32, xpnn.float64, xpnn.complex64, xpnn.complex128),
    *(xpnn.int8, xpnn.uint8, xpnn.int16, xpnn.uint16, xpnn.int32, xpnn.uint32, xpnn.int64, xpnn.uint64),
]


def collectives() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    everyone = range(size)
    half = [xpnn.float16, xpnn.bfloat16]
    for backend, dtypes in (
        ("numpy", [xpnn.float32, xpnn.float64, xpnn.int64, xpnn.complex64, xpnn.float16]),
        ("torch", [xpnn.float32, xpnn.int32, *half]),
        ("jax", [xpnn.float32, *half]),
        ("array_api_strict", [xpnn.float32]),
    ):
        if backend not in xpnn.backend.available_backends():
            continue
        with xpnn.use_backend(backend):
            for dtype in dtypes:
                x = xpnn.tensor([[1, 2, 3], [4, 5, 6]], dtype=dtype) * (rank + 1)
                total = x.clone()
                dist.all_reduce(total)
                assert total.dtype == x.dtype
                assert total.tolist() == (x / (rank + 1) * sum(r + 1 for r in everyone)).tolist()
                copy = x.clone()
                dist.broadcast(copy, size - 1)
                assert copy.tolist() == (x / (rank + 1) * size).tolist()
                places = [xpnn.zeros_like(x) for _ in everyone]
                dist.all_gather(places, x)
                assert [p.tolist() for p in places] == [(x / (rank + 1) * (r + 1)).tolist() for r in everyone]
    x = xpnn.tensor([1.0, -2.0]) * (rank + 1)
    for op, expected in (
        (dist.ReduceOp.MAX, [size, -2.0]),
        (dist.ReduceOp.MIN, [1.0, -2.0 * size]),
        (dist.ReduceOp.AVG, [(size + 1) / 2, -(size + 1.0)]),
        (dist.ReduceOp.PRODUCT, [np.prod(range(1, size + 1)), (-2.0) ** size * np.prod(range(1, size + 1))]),
    ):
        reduced = x.clone()
        dist.all_reduce(reduced, op)
        assert reduced.tolist() == list(expected), op
    reduced = x.clone()
    dist.reduce(reduced, dst=size - 1)
    factor = size * (size + 1) / 2 if rank == size - 1 else rank + 1
    assert reduced.tolist() == [factor, -2 * factor]
    whole = xpnn.zeros(2 * size)
    dist.all_gather_into_tensor(whole, x)
    assert whole.tolist() == [v for r in everyone for v in (r + 1.0, -2.0 * (r + 1))]
    places = [xpnn.zeros(2) for _ in everyone] if rank == 0 else None
    dist.gather(x, places)
    assert places is None or [p.tolist() for p in places] == [[r + 1.0, -2.0 * (r + 1)] for r in everyone]
    mine = xpnn.zeros(1)
    dist.scatter(mine, [xpnn.tensor([10.0 * r]) for r in everyone] if rank == 0 else None)
    assert mine.tolist() == [10.0 * rank]
    objects: list[Any] = [None] * size
    dist.all_gather_object(objects, {"rank": rank})
    assert objects == [{"rank": r} for r in everyone]
    said = [rank, "a"]
    dist.broadcast_object_list(said, src=size - 1)
    assert said == [size - 1, "a"]
    strided = xpnn.tensor(np.arange(6.0).reshape(2, 3).T)
    dist.all_reduce(strided)
    assert strided.tolist() == (np.arange(6.0).reshape(2, 3).T * size).tolist()
    empty = xpnn.zeros(0, 3)
    dist.all_reduce(empty)
    assert empty.shape == (0, 3)
    assert dist.get_backend() == "mpi"
    assert list(DistributedSampler(range(4 * size), shuffle=False)) == list(range(rank, 4 * size, size))
    with pytest.raises(ShapeError, match=f"{size} entries"):
        dist.all_gather([x] * (size + 1), x)
    with pytest.raises(DTypeError, match="Tensor"):
        dist.all_reduce(X)
    with pytest.raises(DTypeError, match="bool"):
        dist.all_reduce(xpnn.tensor([True]))
    with pytest.raises(ArgumentError, match="rank"):
        dist.broadcast(x, size)
    with pytest.raises(ArgumentError, match="MPI says"):
        dist.init_process_group("gloo", rank=size, world_size=size + 1)
    dist.barrier()


class Net(nn.Module):
    """Shared weights, a parameter that nothing uses, one that only rank 0 uses, a frozen one."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.wide = nn.Linear(64, 1100)
        self.narrow = nn.Linear(1100, 64)
        self.head = nn.Linear(64, 5)
        self.spare = nn.Parameter(xpnn.ones(3))
        self.frozen = nn.Parameter(xpnn.ones(3), requires_grad=False)
        self.first = nn.Parameter(xpnn.ones(5))

    def forward(self, x: Any, first: bool = True) -> Any:
        h = F.relu(self.norm(self.conv(x))).flatten(1)
        h = h + self.narrow(F.relu(self.wide(h)))
        h = h + self.narrow(F.relu(self.wide(h)))
        return self.head(h) * self.first if first else self.head(h)


def fresh(seed: int) -> Net:
    xpnn.manual_seed(seed)
    return nn.SyncBatchNorm.convert_sync_batchnorm(Net().double())


def gradients() -> None:
    """Data parallel steps are those of one process with the whole batch, to the last digits of float64."""
    rank = dist.get_rank()
    for backend in sorted({"numpy", "torch"} & set(xpnn.backend.available_backends())):
        with xpnn.use_backend(backend):
            alone = nn.Module.double(_plain(fresh(0)))
            model = fresh(rank)
            copies = nn.parallel.DistributedDataParallel(model, bucket_cap_mb=0.001)
            expected = optim.SGD(alone.parameters(), lr=0.05, momentum=0.9)
            optimizer = optim.SGD(copies.parameters(), lr=0.05, momentum=0.9)
            for step in range(4):
                expected.zero_grad()
                optimizer.zero_grad(set_to_none=step != 2)
                for net in (alone, model):
                    net.train(step != 1)
                F.cross_entropy(alone(xpnn.tensor(X)), xpnn.tensor(Y)).backward()
                if step == 1:  # accumulated in two parts, of which the last one shares
                    x, y = part(X), part(Y)
                    half = len(y) // 2
                    with copies.no_sync():
                        (F.cross_entropy(copies(x[:half]), y[:half], reduction="sum") / len(y)).backward()
                    (F.cross_entropy(copies(x[half:]), y[half:], reduction="sum") / len(y)).backward()
                else:
                    F.cross_entropy(copies(part(X)), part(Y)).backward()
                _expect_same(alone, model, "grad", step)
                kept = [p.grad.clone() for p in model.parameters() if p.grad is not None]
                expected.step()
                optimizer.step()
                _expect_same(alone, model, "data", step)
                held = [p.grad for p in model.parameters() if p.grad is not None]
                assert all(bool((k == h).all()) for k, h in zip(kept, held))
            copies.check_replicas()
            assert model.spare.grad is None
            assert model.frozen.grad is None
            names = [name for name, _ in copies.named_parameters()]
            assert names == [f"module.{name}" for name, _ in model.named_parameters()]


def _plain(net: Net) -> Net:
    net.norm = nn.BatchNorm2d(4)
    return net


def _expect_same(alone: Net, model: Net, what: str, step: int) -> None:
    for (name, p), (_, q) in zip(alone.named_parameters(), model.named_parameters()):
        a, b = getattr(p, what), getattr(q, what)
        if a is None or b is None:
            zero = a is b or (a is None and not b.any()) or (b is None and not a.any())
            assert zero, (name, step, a, b)
            continue
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-8, atol=1e-11, err_msg=f"{name} {step}")


def unused() -> None:
    """A parameter that only some processes use has the mean with zeros of the others."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model = fresh(0)
    copies = nn.parallel.DistributedDataParallel(model)
    for _ in range(2):
        copies.zero_grad()
        copies(part(X), first=rank == 0).sum().backward()
        own = model.first.grad
        assert own is not None
        places = [xpnn.zeros_like(own) for _ in range(size)]
        dist.all_gather(places, own)
        assert all(bool((p == own).all()) for p in places)
        assert model.spare.grad is None
    before = model.first.grad.clone()
    copies.zero_grad(set_to_none=False)
    copies(part(X), first=False).sum().backward()
    assert not model.first.grad.any()
    assert bool((before == own).all()), "what a user holds is not written over"


def other_hooks() -> None:
    """What is shared is what the user's hooks have made of a gradient, whenever they came."""
    rank, size = dist.get_rank(), dist.get_world_size()
    layer = nn.Linear(2, 1)
    layer.weight.register_hook(lambda g: g * 2)
    copies = nn.parallel.DistributedDataParallel(layer)
    layer.weight.register_hook(lambda g: g * (rank + 1))
    copies(xpnn.ones(1, 2)).sum().backward()
    assert layer.weight.grad.tolist() == [[size + 1.0] * 2]  # the mean of 2, 4, 6 ...


def many() -> None:
    """More networks, one after the other and some beside others, than MPI has communicators."""
    rank, draw = dist.get_rank(), np.random.default_rng(0)
    x = xpnn.ones(1, 2)
    same = nn.Linear(2, 1)
    kept: list[Any] = []
    for step in range(2100):  # MPICH has 2,046
        kept.append(nn.parallel.DistributedDataParallel(nn.Linear(2, 1)))
        if rank and step % 3 == 0:
            kept[-1].itself = [kept[-1]]  # which is collected later than in the other process
        if step % 10 == 0:  # wrapped again and again
            whole = nn.parallel.DistributedDataParallel(same)
            same.zero_grad()
            whole(x * rank).sum().backward()
            assert same.weight.grad.tolist() == [[0.5] * 2]
            assert whole.sharing.steps == 1
        if len(kept) > 4:
            del kept[int(draw.integers(len(kept)))]
        copies = kept[int(draw.integers(len(kept)))]
        copies.zero_grad()
        copies(x * (rank + step)).sum().backward()
        assert copies.module.weight.grad.tolist() == [[step + 0.5] * 2]
    for _ in range(2100):
        half = dist.new_group([0])
        dist.destroy_process_group(half)
    if rank == 0:
        with pytest.raises(dist.ProcessError, match="The group was destroyed"):
            dist.barrier(half)


def interrupted() -> None:
    """A Trainer shares the gradients of a network that is shared already, and lets that go on afterwards."""
    rank = dist.get_rank()
    copies = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
    team = Team()
    for shares in (True, False):
        with team.sharing([copies]):
            team.begin_step(1, (), shares)
            copies.zero_grad()
            copies.module(xpnn.ones(1, 2) * rank).sum().backward()
        assert copies.module.weight.grad.tolist() == [[0.5 if shares else rank] * 2]
        assert copies.sharing.steps == 0
    copies.zero_grad()
    copies(xpnn.ones(1, 2) * rank).sum().backward()
    assert copies.module.weight.grad.tolist() == [[0.5] * 2]
    assert copies.sharing.steps == 1


def _trained_by(hook: Any, state: Any = None, dtype: Any = xpnn.float32) -> np.ndarray:
    """The parameters after three steps, in which a hook makes one gradient of all processes'."""
    xpnn.manual_seed(0)
    shared = nn.Linear(300, 300, dtype=dtype)  # large enough to travel alone
    net = nn.Sequential(nn.Linear(8, 300, dtype=dtype), shared, nn.ReLU(), nn.Linear(300, 3, dtype=dtype))
    copies = nn.parallel.DistributedDataParallel(net)
    if hook is not None:
        copies.register_comm_hook(state, hook)
    optimizer = optim.SGD(copies.parameters(), lr=0.1)
    x = np.random.default_rng(dist.get_rank()).standard_normal((4, 8))
    for _ in range(3):
        optimizer.zero_grad()
        copies(xpnn.tensor(x, dtype=dtype)).square().mean().backward()
        optimizer.step()
    copies.check_replicas()
    return np.concatenate([p.numpy(force=True).ravel() for p in net.parameters()])


def comm_hooks() -> None:
    """Ready-made hooks, one of the user's own, and what is no hook."""
    rank, size = dist.get_rank(), dist.get_world_size()
    seen: list[tuple[int, bool]] = []

    def watching(state: Any, bucket: dist.GradBucket) -> Any:
        state.append((bucket.index(), bucket.is_last()))
        for gradient, parameter in zip(bucket.gradients(), bucket.parameters(), strict=True):
            assert gradient.shape == parameter.shape
            assert parameter.grad is None
        summed = dist.all_reduce(bucket.buffer().div_(size), async_op=True).get_future()
        return summed.then(lambda future: future.value()[0])

    for backend in sorted({"numpy", "torch", "array_api_strict"} & set(xpnn.backend.available_backends())):
        with xpnn.use_backend(backend):
            seen.clear()
            expected = _trained_by(None, dtype=xpnn.float64)
            for hook, state in ((default_hooks.allreduce_hook, None), (watching, seen)):
                np.testing.assert_allclose(_trained_by(hook, state, xpnn.float64), expected, atol=1e-12)
            assert seen[-3:] == [(0, False), (1, False), (2, True)] or seen[-2:] == [(0, False), (1, True)]
    rough = {"numpy": ["fp16"], "torch": ["fp16", "bf16"]}
    for backend in sorted(set(rough) & set(xpnn.backend.available_backends())):
        with xpnn.use_backend(backend):
            expected = _trained_by(None)
            for name in rough[backend]:
                for hook in (
                    getattr(default_hooks, f"{name}_compress_hook"),
                    getattr(default_hooks, f"{name}_compress_wrapper")(default_hooks.allreduce_hook),
                ):
                    off = np.abs(_trained_by(hook, dist.GroupMember.WORLD) - expected).max()
                    assert 0 < off < (1e-3 if name == "fp16" else 1e-2)

    def own(state: Any, bucket: Any) -> Any:
        done: Any = xpnn.futures.Future()
        done.set_result(bucket.buffer() * state)
        return done

    copies = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
    copies.register_comm_hook(3.0, own)
    copies(xpnn.ones(1, 2) * rank).sum().backward()
    assert copies.module.weight.grad.tolist() == [[3.0 * rank] * 2]
    with pytest.raises(dist.ProcessError, match="called already"):
        copies.register_comm_hook(None, own)
    with pytest.raises(DTypeError, match="expects a function, got str"):
        nn.parallel.DistributedDataParallel(nn.Linear(2, 1)).register_comm_hook(None, "mean")
    hook = own if rank else watching
    with pytest.raises(dist.ProcessError, match="and with"):
        nn.parallel.DistributedDataParallel(nn.Linear(2, 1)).register_comm_hook(None, hook)
    for wrong, error, said in (
        (lambda state, bucket: bucket.buffer(), DTypeError, "expects a future from the hook, got Tensor"),
        (lambda state, bucket: own(1, bucket).then(lambda _: 3), DTypeError, "of one Tensor .*, got int"),
        (lambda state, bucket: own(1, bucket).then(lambda f: f.value()[1:]), ShapeError, "expects 3 numbers"),
    ):
        copies = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
        copies.register_comm_hook(None, wrong)
        with pytest.raises(error, match=said):
            copies(xpnn.ones(1, 2)).sum().backward()


def second_order() -> None:
    layer = nn.Linear(2, 1)
    copies = nn.parallel.DistributedDataParallel(layer)
    with pytest.raises(xpnn.backend.GradientError, match="second derivatives"):
        copies(xpnn.ones(3, 2)).square().sum().backward(create_graph=True)
    x = xpnn.ones(1, 2, requires_grad=True)
    (slope,) = xpnn.grad(copies(x).sum(), x, create_graph=True)  # of an input: nothing is shared
    assert bool((slope == layer.weight).all())


def sync_batch_norm() -> None:
    rank = dist.get_rank()
    for momentum in (0.1, None):
        for relu in (False, True):
            ends = [0, 1, *np.linspace(1, 12, dist.get_world_size()).astype(int)[1:]]
            mine = slice(ends[rank], ends[rank + 1])
            norm = nn.SyncBatchNorm(3, momentum=momentum).double()
            whole = nn.BatchNorm2d(3, momentum=momentum).double()
            for p in (*norm.parameters(), *whole.parameters()):
                p.data.copy_(xpnn.tensor([0.5, -1.0, 2.0]))
            x, r = (xpnn.tensor(a[mine], requires_grad=True) for a in (X, X[::-1].copy()))
            full, full_r = (xpnn.tensor(a, requires_grad=True) for a in (X, X[::-1].copy()))
            weights = np.cos(np.arange(X.size)).reshape(X.shape)
            for _ in range(2):
                y = norm(x, residual=r, relu=relu)
                expected = whole(full, residual=full_r, relu=relu)
            np.testing.assert_allclose(y.numpy(force=True), expected.numpy(force=True)[mine], atol=1e-12)
            (y.square() * xpnn.tensor(weights[mine])).sum().backward()
            (expected.square() * xpnn.tensor(weights)).sum().backward()
            for a, b in ((x, full), (r, full_r)):
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy()[mine], atol=1e-10)
            for a, b in zip(norm.buffers(), whole.buffers()):
                np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)
            for a, b in zip(norm.parameters(), whole.parameters()):
                total = a.grad.clone()
                dist.all_reduce(total)
                np.testing.assert_allclose(total.numpy(), b.grad.numpy(), atol=1e-10)
    half = nn.SyncBatchNorm(3)(xpnn.tensor(X[mine]).half())
    assert half.dtype == xpnn.float16
    frozen = nn.SyncBatchNorm(3).double().eval()
    assert bool((frozen(x) - nn.BatchNorm2d(3).double().eval()(x) == 0).all())


def refusals() -> None:
    rank = dist.get_rank()
    with pytest.raises(dist.ProcessError, match="another module"):
        nn.parallel.DistributedDataParallel(nn.Linear(2 + rank, 1))
    with pytest.raises(DTypeError, match="Module"):
        nn.parallel.DistributedDataParallel(lambda x: x)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    copies = nn.parallel.DistributedDataParallel(model, check_every=2)
    for _ in range(2):
        copies(xpnn.ones(1, 2)).sum().backward()
    if rank:
        model[1].bias.data.add_(1)
    with pytest.raises(dist.ProcessError, match=r"'1.bias' in rank 1.* is not rank 0's"):
        copies(xpnn.ones(1, 2))
    dist.destroy_process_group()
    with pytest.raises(dist.ProcessError, match="init"):
        dist.get_rank()


def zero_redundancy() -> None:
    """The same bits as without, the state of a part in each process, and one state dict of all."""
    sharing = dist.optim.ZeroRedundancyOptimizer
    size, rank = dist.get_world_size(), dist.get_rank()
    for kind, options in (
        (optim.Adam, {"lr": 0.1}),
        (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (optim.LAMB, {}),
    ):
        pairs = []
        for make in (kind, partial(sharing, optimizer_class=kind)):
            xpnn.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 7), nn.PReLU(), nn.Linear(7, 3), nn.Linear(3, 2))
            model[3].bfloat16() if xpnn.get_backend().name == "torch" else model[3].half()
            optimizer = make(model.parameters(), **options)
            pairs.append((model, optimizer, optim.lr_scheduler.ExponentialLR(optimizer, 0.9)))
        for step in range(6):
            for model, optimizer, schedule in pairs:
                optimizer.zero_grad()
                x = xpnn.tensor(np.random.default_rng(step).standard_normal((5, 4)), dtype=xpnn.float32)
                loss = model[:3](x).square().mean() + model[3].weight.float().square().sum()
                loss.backward()  # the same in all processes; the last bias has none
                optimizer.step()
                schedule.step()
                if step == 2 and optimizer is pairs[1][1]:  # goes on from a state of both
                    optimizer.consolidate_state_dict(to=size - 1)
                    if rank == size - 1:
                        pairs[0][1].check_state_dict(optimizer.state_dict())
                    state = [optimizer.state_dict() if rank == size - 1 else None]
                    dist.broadcast_object_list(state, size - 1)
                    assert state[0]["state"].keys() == pairs[0][1].state_dict()["state"].keys()
                    optimizer.load_state_dict(state[0])
        (plain, whole, _), (shared, mine, _) = pairs
        for name, parameter in plain.named_parameters():
            assert np.array_equal(
                parameter.float().numpy(force=True), shared.get_parameter(name).float().numpy(force=True)
            ), name
        counts = [0] * size
        dist.all_gather_object(counts, len(mine.state))
        assert sum(counts) == len(whole.state)
        assert max(counts) < len(whole.state) or size == 1
        assert mine.param_groups[0]["lr"] == whole.param_groups[0]["lr"]
        with pytest.raises(dist.ProcessError, match="consolidate_state_dict"):
            mine.state_dict()
        owners = dict(mine.owners())
        late = [xpnn.ones(50, requires_grad=True) for _ in pairs]
        for optimizer, parameter in zip((whole, mine), late):
            optimizer.add_param_group({"params": [parameter], "lr": 0.5})
            parameter.square().sum().backward()
            optimizer.step()
        assert np.array_equal(late[0].numpy(force=True), late[1].numpy(force=True))
        assert owners.items() <= mine.owners().items(), "state stays where it is"
        for name, parameter in plain.named_parameters():
            other = shared.get_parameter(name)
            assert np.array_equal(parameter.float().numpy(force=True), other.float().numpy(force=True)), name
    with pytest.raises(ArgumentError, match="cannot share LBFGS out"):
        sharing([xpnn.ones(2, requires_grad=True)], optim.LBFGS)
    with pytest.raises(ArgumentError, match="lr >= 0"):
        sharing([xpnn.ones(2, requires_grad=True)], optim.Adam, lr=-1)


def join() -> None:
    """Processes with different numbers of batches: as PyTorch, whose results are written down here."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for divides_by_all in (True, False):
        xpnn.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1, affine=False).eval()).double()
        for p in model.parameters():
            p.data.fill_(0.5)
        copies = nn.parallel.DistributedDataParallel(model, check_every=1)
        optimizer = optim.SGD(copies.parameters(), lr=1.0)
        counts = [3 - r if r < 3 else 1 for r in range(size)]
        with copies.join(divide_by_initial_world_size=divides_by_all):
            for _ in range(counts[rank]):
                optimizer.zero_grad()
                copies(xpnn.ones(1, 2, dtype=xpnn.float64)).sum().backward()
                optimizer.step()
        slope = 1 / np.sqrt(1 + 1e-5)
        active = [sum(count > step for count in counts) for step in range(3)]
        total = sum(a / size if divides_by_all else 1.0 for a in active)
        for p in model.parameters():
            np.testing.assert_allclose(p.numpy(force=True), 0.5 - slope * total, atol=1e-12)
    with pytest.raises(dist.ProcessError, match="rank 1 has no more batches"):
        _train_unevenly(copies, 3 - rank)
    with copies.join(enable=False):
        copies(xpnn.ones(1, 2, dtype=xpnn.float64)).sum().backward()


def _train_unevenly(copies: Any, steps: int) -> None:
    with copies.join(throw_on_early_termination=True):
        for _ in range(steps):
            copies(xpnn.ones(1, 2, dtype=xpnn.float64)).sum().backward()


class Lookahead(optim.Optimizer):
    """An optimizer around another one, as one writes it in PyTorch."""

    def __init__(self, base: optim.Optimizer) -> None:
        self.base = base
        super().__init__(base.param_groups, base.defaults)
        base.param_groups = self.param_groups
        self.slow = [p.detach().clone() for group in self.param_groups for p in group["params"]]
        self.steps = 0

    def step(self, closure: Any = None) -> Any:
        loss = self.base.step(closure)
        self.steps += 1
        if self.steps % 3 == 0:
            for slow, fast in zip(self.slow, (p for group in self.param_groups for p in group["params"])):
                slow += 0.5 * (fast.detach() - slow)
                fast.data.copy_(slow)
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"base": self.base.state_dict(), "slow": [s.array for s in self.slow], "steps": self.steps}

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.check_state_dict(state_dict["base"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict(state_dict["base"])
        self.steps = int(state_dict["steps"])
        for slow, saved in zip(self.slow, state_dict["slow"]):
            slow.copy_(xpnn.tensor(saved))


def wrapped() -> None:
    """A Trainer writes a state that is shared out within a wrapper, and goes on as without sharing."""
    found = {}
    shared = partial(dist.optim.ZeroRedundancyOptimizer, optimizer_class=optim.Adam)
    folder = [tempfile.mkdtemp() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(folder)
    file = Path(folder[0]) / "run.safetensors"
    for name, kind, epochs in (("plain", optim.Adam, 4), ("half", shared, 2), ("resumed", shared, 2)):
        xpnn.manual_seed(len(name))  # of another one when all is loaded
        net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
        if name == "plain":
            begin = {key: value.clone() for key, value in net.state_dict().items()}
        elif name == "half":
            net.load_state_dict(begin)
        loader = DataLoader(TensorDataset(X[:, 0, 0, :4], Y % 2), batch_size=4)
        trainer = Trainer(net, Lookahead(kind(net.parameters(), lr=0.1)), "cross_entropy", progress=False)
        if name == "resumed":
            trainer.load(file, loader)
        trainer.fit(loader, epochs=epochs)
        if name == "half":
            trainer.save(file)
        found[name] = [p.numpy(force=True) for p in net.parameters()]
    for expected, value in zip(found["plain"], found["resumed"]):
        np.testing.assert_allclose(value, expected, atol=1e-12)
    dist.barrier()
    if dist.get_rank() == 0:
        shutil.rmtree(folder[0])


class Judged(TrainingModule):
    """Logs a mean, a Metric, a maximum and the last value in validation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.accuracy = Accuracy()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return F.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss = self.training_step(batch, batch_idx)
        self.accuracy.update(self.layer(batch[0]), batch[1])
        self.log("val_loss", loss, batch_size=len(batch[1]))
        self.log("val_most", loss, reduce_fx="max")
        self.log("val_accuracy", self.accuracy)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def validation() -> None:
    """Fewer samples than processes: some have no batch at all, and all have the measures of those that do."""
    x, y = X[:, 0, 0, :4], Y % 2
    for count, batch_size in ((1, 4), (5, 4)):  # no batch for the second; none of the second batch
        xpnn.manual_seed(0)
        module = Judged().double()
        whole = F.cross_entropy(module.layer(xpnn.tensor(x[:count])), xpnn.tensor(y[:count])).item()
        right = float((module.layer(xpnn.tensor(x[:count])).argmax(1).numpy() == y[:count]).mean())
        data = TensorDataset(x[:count], y[:count])
        loader = DataLoader(data, batch_size=batch_size)
        plain = Trainer(
            module.layer,
            optim.SGD(module.layer.parameters(), lr=0.0),
            "cross_entropy",
            metrics={"accuracy": Accuracy(), "auc": ROCAUC()} if count > 1 else {"accuracy": Accuracy()},
            progress=False,
        )
        batches = [(xpnn.tensor(x[i:count][:4]), xpnn.tensor(y[i:count][:4])) for i in range(0, count, 4)]
        for given in (loader, batches):
            measures = plain.evaluate(given)
            assert measures["loss"] == pytest.approx(whole)
            assert measures["accuracy"] == pytest.approx(right)
        train = DataLoader(TensorDataset(x, y), batch_size=4)
        history = plain.fit(train, loader, epochs=1)
        assert history.rows()[-1]["val_loss"] == pytest.approx(whole)
        trainer = Trainer(max_epochs=1, enable_progress_bar=False, logger=False)
        (found,) = trainer.validate(module, loader)
        assert found["val_loss"] == pytest.approx(whole)
        assert found["val_accuracy"] == pytest.approx(right)
        everywhere: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everywhere, found)
        assert everywhere == [found] * len(everywhere)
        trainer.fit(module, train, loader)
        assert trainer.callback_metrics["val_loss"] == pytest.approx(whole)
    with pytest.raises(ArgumentError, match="at least one batch"):
        plain.evaluate([])
    with pytest.raises(ArgumentError, match="too few for"):
        plain.fit(DataLoader(data, batch_sampler=[[0, 1, 2, 3], [4], [0, 1, 2, 3]]), epochs=1)


def straggler() -> None:
    rank = dist.get_rank()
    copies = nn.parallel.DistributedDataParallel(nn.Linear(2, 1), check_every=3)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(4):
            time.sleep(1.5 if rank == 1 else 0.01)  # a busy machine must not even it out
            copies(xpnn.ones(1, 2)).sum().backward()
    assert [("rank 1 computes" in str(w.message)) for w in found] == ([True] if rank == 0 else [])


def messages() -> None:
    """What goes from one process to another, and through groups, on the host and by NCCL's stand-in."""
    rank, size = dist.get_rank(), dist.get_world_size()
    after, before = (rank + 1) % size, (rank - 1) % size
    everyone = range(size)
    for backend in ("numpy", "cupy_like"):
        with xpnn.use_backend(backend):
            for dtype in (xpnn.float32, xpnn.float16, xpnn.int16, xpnn.bool, xpnn.complex64):
                mine = (xpnn.arange(6).reshape(2, 3).T + rank).to(dtype)
                theirs = (xpnn.arange(6).reshape(2, 3).T + before).to(dtype)
                place = xpnn.zeros(3, 2).to(dtype)
                ways = [dist.P2POp(dist.irecv, place, before), dist.P2POp(dist.isend, mine, after)]
                for work in dist.batch_isend_irecv(ways):
                    assert work.wait()
                assert place.dtype == dtype
                assert place.tolist() == theirs.tolist()
            places = [xpnn.zeros(r + 1, rank + 1) for r in everyone]
            dist.all_to_all(places, [xpnn.full((rank + 1, r + 1), 10.0 * rank + r) for r in everyone])
            assert [p.tolist() for p in places] == [
                [[10.0 * r + rank] * (rank + 1)] * (r + 1) for r in everyone
            ]
            whole = xpnn.zeros(2 * size)
            dist.all_to_all_single(whole, xpnn.arange(2.0 * size) + 100 * rank)
            assert whole.tolist() == [100.0 * r + 2 * rank + i for r in everyone for i in range(2)]
            uneven = xpnn.zeros(size * rank, 2)
            dist.all_to_all_single(
                uneven, xpnn.ones(sum(everyone), 2) * rank, [rank] * size, [*everyone], async_op=True
            ).wait()
            assert uneven.tolist() == [[float(r)] * 2 for r in everyone for _ in range(rank)]
            base = xpnn.zeros(size, 2)
            dist.all_gather([*base.unbind()], xpnn.ones(2) * rank)
            assert base[:, 1].tolist() == [float(r) for r in everyone], "places may be views"
            dist.all_reduce(base[0])
            assert base[0].tolist() == [0.0, 0.0]
            scattered = xpnn.zeros(2)
            dist.reduce_scatter(scattered, [xpnn.ones(2) * (r + rank) for r in everyone])
            assert scattered.tolist() == [float(sum(everyone) + size * rank)] * 2
            dist.reduce_scatter_tensor(scattered, xpnn.arange(2.0 * size), dist.ReduceOp.AVG)
            assert scattered.tolist() == [2.0 * rank, 2.0 * rank + 1]
            bits = xpnn.tensor([1 << rank, 3])
            for op, expected in (("BOR", [2**size - 1, 3]), ("BAND", [1 >> (size - 1), 3]), ("BXOR", None)):
                found = bits.clone()
                dist.all_reduce(found, getattr(dist.ReduceOp, op))
                assert found.tolist() == (expected or [2**size - 1, 3 * (size % 2)])
            if size > 1:
                if rank == 0:
                    assert dist.recv(place, 1) == 1
                    dist.send(place, 1)
                elif rank == 1:
                    dist.send(place * 0, 0)
                    assert dist.recv(place, src=0) == 0
                if rank < 2:
                    assert not place.any()
                pair = dist.new_group([1, 0])
                assert (pair is dist.GroupMember.NON_GROUP_MEMBER) == (rank > 1)
                if rank < 2:
                    last = xpnn.tensor([float(rank)])
                    dist.broadcast(last, 1, pair)
                    assert last.tolist() == [1.0]
                    assert dist.get_process_group_ranks(pair) == [0, 1]
                else:
                    with pytest.warns(RuntimeWarning, match="not in the group"):
                        dist.all_reduce(xpnn.ones(1), group=pair)
                    assert (dist.get_rank(pair), dist.get_world_size(pair)) == (-1, -1)
                tail = dist.new_group([*everyone][1:])
                if rank:
                    last = xpnn.tensor([float(rank)])
                    dist.broadcast(last, src=size - 1, group=tail)
                    assert last.tolist() == [size - 1.0], "ranks are those in the job"
                    dist.broadcast(xpnn.ones(1), group_src=0, group=tail)
                    assert dist.get_global_rank(tail, 0) == 1
                    assert dist.get_group_rank(tail, 1) == 0
    anyone = xpnn.zeros(2)
    if rank == 0:
        came = sorted((dist.recv(anyone, tag=3), anyone.tolist()) for _ in range(1, size))
        assert came == [(r, [float(r)] * 2) for r in range(1, size)]
    else:
        dist.isend(xpnn.ones(2) * rank, 0, tag=3).wait()
    gathered: list[Any] = [None] * size
    dist.gather_object({rank}, gathered if rank == 0 else None)
    assert rank or gathered == [{r} for r in everyone]
    got = [None]
    dist.scatter_object_list(got, [{r} for r in everyone] if rank == size - 1 else None, src=size - 1)
    assert got == [{rank}]
    if size > 1 and rank < 2:
        said = ["a", 1] if rank == 0 else [None, None]
        if rank == 0:
            dist.send_object_list(said, 1)
        else:
            assert dist.recv_object_list(said) == 0
        assert said == ["a", 1]
    own, all_groups = dist.new_subgroups(1)
    assert (own.ranks, len(all_groups)) == ([rank], size)
    dist.monitored_barrier()
    assert dist.get_node_local_rank() == rank
    for call, problem in (
        (lambda: dist.send(anyone, size), "rank"),
        (lambda: dist.send(anyone), "expects dst"),
        (lambda: dist.send(anyone, rank), "another process"),
        (lambda: dist.new_group([0, 0]), "different ranks"),
        (lambda: dist.broadcast(anyone, 0, group_src=0), "both"),
        (lambda: dist.all_to_all_single(anyone, anyone, [1] * size, [1] * (size + 1)), "sizes"),
        (lambda: dist.gather(anyone, None, dst=rank), "gather_list"),
        (lambda: dist.all_reduce(bits, "mean"), "no mean"),
        (lambda: dist.all_gather([xpnn.zeros(3)] * size, anyone), "shape"),
        (lambda: dist.reduce_scatter_tensor(anyone, xpnn.zeros(2 * size + 1)), "times the shape"),
    ):
        with pytest.raises(xpnn.backend.XpnnError, match=problem):
            call()
    dist.barrier()


def nccl() -> None:
    """Arrays of GPUs go by NCCL, here by a stand-in that holds each call against the array and the others."""
    rank, size = dist.get_rank(), dist.get_world_size()
    everyone = range(size)
    with xpnn.use_backend("cupy_like"):
        for dtype in _OF_NCCL:
            x = xpnn.tensor([[1, 2, 3], [4, 5, 6]], dtype=dtype).T * (rank + 1)  # not contiguous
            ones = x / (rank + 1) if dtype.is_floating_point or dtype.is_complex else x // (rank + 1)
            for op, factor in (("SUM", sum(everyone) + size), ("MAX", size), ("MIN", 1), ("PRODUCT", 0)):
                if dtype.is_complex and op in ("MAX", "MIN"):
                    continue
                total = x.clone()
                dist.all_reduce(total, getattr(dist.ReduceOp, op))
                assert total.dtype == dtype
                expected = ones * factor if factor else ones**size * int(np.prod(range(1, size + 1)))
                assert total.tolist() == expected.to(dtype).tolist(), (dtype, op)
            copy = x.clone()
            dist.broadcast(copy, size - 1)
            assert copy.tolist() == (ones * size).to(dtype).tolist()
            places = [xpnn.zeros_like(x) for _ in everyone]
            dist.all_gather(places, x)
            assert [p.tolist() for p in places] == [(ones * (r + 1)).to(dtype).tolist() for r in everyone]
        flags = xpnn.tensor([rank == 0, True])
        dist.broadcast(flags, 0)
        assert flags.tolist() == [True, True]
        number, nothing = xpnn.tensor(2.0), xpnn.zeros(0, 3)
        for tensor in (number, nothing):
            dist.all_reduce(tensor)
        assert number.tolist() == 2.0 * size
        assert nothing.shape == (0, 3)
        mean = xpnn.tensor([float(rank), 1.0])
        dist.all_reduce(mean, dist.ReduceOp.AVG)
        assert mean.tolist() == [(size - 1) / 2, 1.0]
        assert dist.get_backend() == "nccl"
        looks, begun = cupy_like.syncs, len(cupy_like_nccl.calls)
        cupy_like.stream.ptr = 7  # work is queued on another stream from now on
        dist.all_reduce(xpnn.ones(3))
        assert cupy_like_nccl.calls[begun:] == ["allReduce"]
        assert cupy_like.syncs == looks, "the host does not wait"
        cupy_like_nccl.fails = 5
        with pytest.raises(dist.ProcessError, match=r"all_reduce: NCCL failed: NCCL_ERROR_5\..*NCCL_DEBUG"):
            dist.all_reduce(xpnn.ones(3))
        _nccl_gradients(rank, size)
    assert set(cupy_like_nccl.calls) >= {"allReduce", "broadcast", "allGather"}
    dist.barrier()


def _nccl_gradients(rank: int, size: int) -> None:
    """Gradients stay on the device, in few messages; the losses are those of one process."""
    xpnn.manual_seed(0)
    alone, model = (
        nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 300), nn.Linear(300, 2)).double()
        for _ in range(2)
    )
    alone.load_state_dict(model.state_dict())
    copies = nn.parallel.DistributedDataParallel(model)
    x = np.random.default_rng(0).standard_normal((4 * size, 4))
    for _ in range(3):
        for net in (alone, model):
            net.zero_grad()
        whole, mine = (xpnn.tensor(x[rows]) for rows in (slice(None), slice(rank * 4, rank * 4 + 4)))
        alone(whole).square().mean().backward()
        begun, looks = len(cupy_like_nccl.calls), cupy_like.syncs
        copies(mine).square().mean().backward()
        assert cupy_like_nccl.calls[begun:] == ["allReduce"] * 2, "the large one alone, the others together"
        assert cupy_like.syncs == looks
        for a, b in zip(alone.parameters(), model.parameters()):
            np.testing.assert_allclose(b.grad.numpy(force=True), a.grad.numpy(force=True), atol=1e-12)
        optimizers = [optim.SGD(net.parameters(), lr=0.1) for net in (alone, model)]
        for optimizer in optimizers:
            optimizer.step()
    copies.check_replicas()


def without_nccl() -> None:
    """Two processes on one GPU, or a library without NCCL in one of them: all go through host memory."""
    rank, size = dist.get_rank(), dist.get_world_size()
    pci = cupy_like.cuda.runtime.deviceGetPCIBusId
    for broken, problem in ((False, "same GPU"), (True, "without NCCL")):
        cupy_like.cuda.runtime.deviceGetPCIBusId = pci if broken else lambda id: "0000:00:00.0"
        cupy_like_nccl.available = not broken or rank != size - 1
        dist.destroy_process_group()
        dist.init()
        with xpnn.use_backend("cupy_like"), warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            x = xpnn.ones(2)
            dist.all_reduce(x)
            dist.all_reduce(x)
        assert x.tolist() == [size**2] * 2
        assert [problem in str(w.message) for w in found] == ([True] if rank == 0 else [])
        assert dist.get_backend() == "mpi"
    cupy_like_nccl.available = True
    cupy_like_nccl.calls.clear()
    dist.destroy_process_group()
    dist.init_process_group("mpi")
    with xpnn.use_backend("cupy_like"):
        x = xpnn.ones(2)
        dist.all_reduce(x)
    assert x.tolist() == [size] * 2
    assert cupy_like_nccl.calls == []


def raises() -> None:
    if dist.get_rank() == 1:
        raise RuntimeError("out of luck")
    dist.barrier()


def exits() -> None:
    if dist.get_rank() == 1:
        sys.exit(3)
    dist.barrier()


def killed() -> None:
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def threads() -> None:
    counts = [0] * dist.get_world_size()
    dist.all_gather_object(counts, xpnn.get_num_threads())
    assert counts == [max(len(os.sched_getaffinity(0)) // len(counts), 1)] * len(counts)


if __name__ == "__main__":
    dist.init()
    globals()[sys.argv[1]]()
    print("done", flush=True)
