"""Learning-rate schedules: PyTorch's numbers, as closed forms that take integers and arrays, resumable."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import optim
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, CheckpointError

STEPS = 50


def optimizer_of(library, kind="SGD"):
    make = (lambda: Tensor(np.ones(1), requires_grad=True)) if library is optim else library.make
    groups = [{"params": [make()]}, {"params": [make()], "lr": 0.2}]
    return getattr(library, kind)(groups, lr=0.5, **({"momentum": 0.9} if kind == "SGD" else {}))


class TorchOptim:
    """torch.optim, under the names that xpnn.optim has."""

    def __init__(self, torch):
        self.make = lambda: torch.ones(1, requires_grad=True)
        self.optim = torch.optim

    def __getattr__(self, name):
        return getattr(self.optim, name, None) or getattr(self.optim.lr_scheduler, name)


def sequence(o, optimizer):
    parts = [
        o.LinearLR(optimizer, 0.1, total_iters=4),
        o.ExponentialLR(optimizer, 0.9),
        o.StepLR(optimizer, 5),
    ]
    return o.SequentialLR(optimizer, parts, milestones=[6, 20])


SCHEDULES = {
    "lambda": lambda o, opt: o.LambdaLR(opt, [lambda t: 0.9**t, lambda t: 1 / (1 + t)]),
    "step": lambda o, opt: o.StepLR(opt, 7, gamma=0.5),
    "multi step": lambda o, opt: o.MultiStepLR(opt, [3, 9, 9, 30], gamma=0.5),
    "exponential": lambda o, opt: o.ExponentialLR(opt, 0.9),
    "linear": lambda o, opt: o.LinearLR(opt, 0.1, 0.8, total_iters=10),
    "cosine": lambda o, opt: o.CosineAnnealingLR(opt, T_max=50, eta_min=0.01),
    "cosine, up again": lambda o, opt: o.CosineAnnealingLR(opt, T_max=20),
    "one cycle": lambda o, opt: o.OneCycleLR(opt, [1.0, 0.5], total_steps=51),
    "one cycle, linear": lambda o, opt: o.OneCycleLR(
        opt, 1.0, epochs=3, steps_per_epoch=17, pct_start=0.4, anneal_strategy="linear", div_factor=10
    ),
    "one cycle, three phases": lambda o, opt: o.OneCycleLR(
        opt, 1.0, total_steps=60, three_phase=True, base_momentum=0.7, max_momentum=0.9, final_div_factor=100
    ),
    "one cycle, no momentum": lambda o, opt: o.OneCycleLR(opt, 1.0, total_steps=60, cycle_momentum=False),
    "sequence": sequence,
}


def course(optimizer, schedule, steps=STEPS):
    rows = []
    for _ in range(steps):
        rows.append(
            [[float(np.asarray(v).ravel()[0]) for v in watched(group)] for group in optimizer.param_groups]
        )
        schedule.step()
    return np.array(rows)


def watched(group):
    return group["lr"], group["betas"][0] if "betas" in group else group["momentum"]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_equal_to_pytorch(make, kind):
    torch = TorchOptim(pytest.importorskip("torch"))
    mine, theirs = optimizer_of(optim, kind), optimizer_of(torch, kind)
    found = course(mine, make(optim, mine))
    np.testing.assert_allclose(found, course(theirs, make(torch, theirs)), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_the_count_may_be_an_array(make):
    whole, traced = optimizer_of(optim), optimizer_of(optim)
    expected = course(whole, make(optim, whole))
    schedule = make(optim, traced)
    schedule.last_epoch = np.asarray(schedule.last_epoch, np.int32)
    np.testing.assert_allclose(course(traced, schedule), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_resumed_from_its_state(make):
    whole, first, second = (optimizer_of(optim) for _ in range(3))
    expected = course(whole, make(optim, whole))
    schedule = make(optim, first)
    course(first, schedule, 23)
    resumed = make(optim, second)
    resumed.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    assert np.array_equal(course(second, resumed, STEPS - 23), expected[23:])


def test_going_on_from_last_epoch():
    optimizer = optimizer_of(optim)
    schedule = optim.StepLR(optimizer, 2, gamma=0.5)
    schedule.step()
    again = optim.StepLR(optimizer, 2, gamma=0.5, last_epoch=schedule.last_epoch)
    assert again.get_last_lr() == [0.25, 0.1]


def test_warm_up():
    optimizer = optimizer_of(optim)
    schedule = optim.Warmup(optim.CosineAnnealingLR(optimizer, 4), steps=4, start_factor=0.2)
    rates = course(optimizer, schedule, 9)[:, 0, 0]
    np.testing.assert_allclose(rates[:5], [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(rates[4:], [0.25 * (1 + np.cos(np.pi * t / 4)) for t in range(5)], atol=1e-15)
    other = optimizer_of(optim)
    resumed = optim.Warmup(optim.CosineAnnealingLR(other, 4), steps=4)
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.last_epoch == 9


@pytest.mark.parametrize(
    "options",
    [
        {"factor": 0.5, "patience": 2},
        {"factor": 0.5, "patience": 1, "cooldown": 2, "min_lr": 0.01},
        {"mode": "max", "patience": 3, "threshold": 0.1, "threshold_mode": "abs"},
        {"mode": "max", "factor": 0.3, "patience": 0, "threshold": 0.05},
    ],
)
def test_plateau_equal_to_pytorch(options):
    torch = TorchOptim(pytest.importorskip("torch"))
    metrics = np.cumsum(np.random.default_rng(0).standard_normal(STEPS))
    courses = []
    for library in (optim, torch):
        optimizer = optimizer_of(library)
        schedule = library.ReduceLROnPlateau(optimizer, **options)
        courses.append([])
        for metric in metrics:
            schedule.step(float(metric))
            courses[-1].append([group["lr"] for group in optimizer.param_groups])
    np.testing.assert_allclose(*courses, rtol=1e-12)


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("step_size >= 1", lambda o: optim.StepLR(o, 0)),
        ("T_max >= 1", lambda o: optim.CosineAnnealingLR(o, 0)),
        (r"start_factor in \(0, 1\]", lambda o: optim.LinearLR(o, 0.0)),
        ("no 'initial_lr'", lambda o: optim.StepLR(o, 1, last_epoch=3)),
        ("expects an Optimizer", lambda o: optim.StepLR([1.0], 1)),
        ("for each of 2 groups, got 1", lambda o: optim.LambdaLR(o, [lambda t: 1.0])),
        ("max_lr for each of 2 groups", lambda o: optim.OneCycleLR(o, [1.0], 10)),
        ("total_steps, or both", lambda o: optim.OneCycleLR(o, 1.0, epochs=3)),
        ("anneal_strategy='cos'", lambda o: optim.OneCycleLR(o, 1.0, 10, anneal_strategy="exp")),
        ("cycle of 1 steps, and step 2", lambda o: optim.OneCycleLR(o, 1.0, 1).step(2)),
        ("one milestone fewer", lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1)], [3])),
        ("is of another", lambda o: optim.SequentialLR(o, [optim.StepLR(optimizer_of(optim), 1)], [])),
        ("cycle_momentum=False", lambda o: optim.Warmup(optim.OneCycleLR(o, 1.0, 10), 3)),
        ("know their course", lambda o: optim.Warmup(optim.ReduceLROnPlateau(o), 3)),
        ("factor < 1", lambda o: optim.ReduceLROnPlateau(o, factor=2.0)),
    ],
)
def test_bad_arguments(message, make):
    with pytest.raises(ArgumentError, match=message):
        make(optimizer_of(optim))


def test_state_of_another_schedule():
    optimizer = optimizer_of(optim)
    schedule = optim.StepLR(optimizer, 2)
    with pytest.raises(CheckpointError, match="StepLR cannot take the state of a ExponentialLR"):
        schedule.load_state_dict(optim.ExponentialLR(optimizer, 0.5).state_dict())
    state = schedule.state_dict() | {"base_lrs": [1.0]}
    with pytest.raises(CheckpointError, match="1 parameter groups, its optimizer has 2"):
        schedule.load_state_dict(state)
