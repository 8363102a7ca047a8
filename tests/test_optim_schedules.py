"""Learning-rate schedules: PyTorch's numbers, alone and several at once; arrays as counts; resuming."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, CheckpointError
from xpnn.io import load_checkpoint, save_checkpoint

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
    "constant": lambda o, opt: o.ConstantLR(opt, 0.3, total_iters=8),
    "polynomial": lambda o, opt: o.PolynomialLR(opt, total_iters=70, power=1.7),
    "polynomial, to the end": lambda o, opt: o.PolynomialLR(opt, total_iters=20),
    "multiplicative": lambda o, opt: o.MultiplicativeLR(opt, lambda t: 0.97 + 0.02 * (t % 3)),
    "warm restarts": lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 7, eta_min=0.01),
    "warm restarts, longer each": lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 3, T_mult=2),
    "cyclic": lambda o, opt: o.CyclicLR(opt, [0.1, 0.05], 0.4, step_size_up=5, step_size_down=8),
    "cyclic, triangular2": lambda o, opt: o.CyclicLR(opt, 0.1, 0.4, step_size_up=4, mode="triangular2"),
    "cyclic, exp_range": lambda o, opt: o.CyclicLR(
        opt, 0.1, 0.4, step_size_up=6, mode="exp_range", gamma=0.99, cycle_momentum=False
    ),
    "cyclic, of one's own": lambda o, opt: o.CyclicLR(
        opt, 0.1, 0.4, step_size_up=6, scale_fn=lambda t: 1 / (1 + t), scale_mode="iterations"
    ),
    "sequence": sequence,
    "sequence, built backwards": lambda o, opt: o.SequentialLR(
        opt, [o.ConstantLR(opt, 0.5, 4), o.LinearLR(opt, 0.2, total_iters=9)][::-1], milestones=[10]
    ),
    "chain": lambda o, opt: o.ChainedScheduler([o.ConstantLR(opt, 0.3, 8), o.ExponentialLR(opt, 0.9)]),
}

# Those with which PyTorch multiplies up whatever the others do.
CHAINABLE = [
    "step",
    "multi step",
    "exponential",
    "linear",
    "cosine",
    "constant",
    "polynomial",
    "polynomial, to the end",
    "multiplicative",
    "chain",
]
WITHOUT_END = [name for name in CHAINABLE if name != "polynomial, to the end"]
# All pairs but of what ends at 0 with what has a lower bound, for which the order decides.
PAIRS = [
    pair for pair in itertools.product(CHAINABLE, repeat=2) if {*pair} != {"cosine", "polynomial, to the end"}
]
# Those that set PyTorch's rate, whatever it was, here multiply up too.
SETTING = ["lambda", "one cycle", "cyclic", "warm restarts", "sequence"]
WITH_FUNCTIONS = {"lambda", "multiplicative", "cyclic, of one's own"}  # which cannot be pickled
ONE_GROUP = {
    "lambda": lambda o, opt: o.LambdaLR(opt, lambda t: 0.9**t),
    "one cycle": lambda o, opt: o.OneCycleLR(opt, 1.0, total_steps=60),
    "cyclic": lambda o, opt: o.CyclicLR(opt, 0.1, 0.4, step_size_up=5),
}

each_schedule = pytest.mark.parametrize("name", SCHEDULES)
pytestmark = pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step", "ignore:The epoch parameter in `scheduler.step"
)


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
    for member in schedule.members():
        member.last_epoch = np.asarray(member.last_epoch, np.int32)
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


# --- several at once


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_multiply_up_as_in_pytorch(one, other):
    torch = TorchOptim(pytest.importorskip("torch"))
    courses = []
    for library in (optim, torch):
        optimizer = optimizer_of(library)
        schedules = [SCHEDULES[name](library, optimizer) for name in (one, other)]
        courses.append([])
        for _ in range(STEPS):
            for schedule in schedules:
                courses[-1].append([group["lr"] for group in optimizer.param_groups])
                schedule.step()
    np.testing.assert_allclose(*courses, rtol=1e-9, atol=1e-14)


def factors(name):
    """The course of a schedule that is alone, over the initial rates."""
    optimizer = optimizer_of(optim)
    return course(optimizer, SCHEDULES[name](optim, optimizer))[:, :, 0] / [0.5, 0.2]


@pytest.mark.parametrize("one", SETTING)
@pytest.mark.parametrize("other", ["exponential", "linear", *SETTING])
def test_those_that_set_the_rate_multiply_up_too(one, other):
    for names in ((one, other), (other, one)):
        optimizer = optimizer_of(optim)
        schedules = [SCHEDULES[name](optim, optimizer) for name in names]
        rates = []
        for _ in range(STEPS):
            rates.append([group["lr"] for group in optimizer.param_groups])
            for schedule in schedules:
                schedule.step()
        if all(schedule.lowest == 0 for schedule in schedules):  # a lower bound is not multiplied
            expected = factors(one) * factors(other) * [0.5, 0.2]
            np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(WITHOUT_END), min_size=1, max_size=4),
    calls=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1.0, 2.0, 0.5])), max_size=STEPS),
    patience=st.integers(0, 3),
    save_at=st.integers(0, STEPS),
)
def test_any_order_of_steps_is_as_in_pytorch(names, calls, patience, save_at):
    """Several schedules, one of which watches a loss, that step in any order, saved and loaded on the way."""
    torch = TorchOptim(pytest.importorskip("torch"))
    courses = []
    for library in (optim, torch):
        optimizer = optimizer_of(library)
        schedules = [SCHEDULES[name](library, optimizer) for name in names]
        schedules.append(library.ReduceLROnPlateau(optimizer, factor=0.7, patience=patience, eps=0))
        courses.append([])
        for index, (number, loss) in enumerate(calls):
            schedule = schedules[number % len(schedules)]
            schedule.step(loss) if schedule is schedules[-1] else schedule.step()
            courses[-1].append([group["lr"] for group in optimizer.param_groups])
            if library is optim and index == save_at:
                states = json.loads(json.dumps([part.state_dict() for part in schedules]))
                optimizer = optimizer_of(optim)
                schedules = [SCHEDULES[name](library, optimizer) for name in names]
                schedules.append(optim.ReduceLROnPlateau(optimizer, factor=0.7, patience=patience, eps=0))
                for part, state in zip(schedules, states):
                    part.load_state_dict(state)
    np.testing.assert_allclose(*courses, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"cosine, up again"}))  # 0 is not reduced
def test_a_reduction_on_a_plateau_stays(name):
    alone, both = optimizer_of(optim), optimizer_of(optim)
    expected = course(alone, SCHEDULES[name](optim, alone))[:, 0, 0]
    schedule = SCHEDULES[name](optim, both)
    plateau = optim.ReduceLROnPlateau(both, patience=0, eps=0)
    for step in range(1, STEPS):
        schedule.step()
        plateau.step(1.0 if step != 5 else 2.0)  # step 1 is the first one, and the best
    found = both.param_groups[0]["lr"]
    if schedule.lowest == 0:
        np.testing.assert_allclose(found, expected[-1] * 10.0 ** -(STEPS - 2), rtol=1e-6, atol=1e-60)
    else:
        assert found < expected[-1]


def test_a_step_and_a_plateau():
    optimizer = optim.SGD([Tensor(np.ones(1), requires_grad=True)], lr=1.0)
    step, plateau = optim.StepLR(optimizer, 10, 0.9), optim.ReduceLROnPlateau(optimizer, patience=0)
    rates = []
    for _ in range(4):
        step.step()
        plateau.step(1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [1, 0.1, 0.01, 0.001])


@each_schedule
def test_a_change_by_hand_is_taken_as_in_pytorch(name):
    """What multiplies goes on from it; what sets the rate does away with it."""
    torch = TorchOptim(pytest.importorskip("torch"))
    courses = []
    for library in (optim, torch):
        optimizer = optimizer_of(library)
        schedule = SCHEDULES[name](library, optimizer)
        courses.append([])
        for step in range(20):
            if step in (3, 11):
                optimizer.param_groups[0]["lr"] = 0.123
            schedule.step()
            assert list(schedule._last_lr) == list(schedule.get_last_lr())
            courses[-1].append([group["lr"] for group in optimizer.param_groups])
    np.testing.assert_allclose(*courses, rtol=1e-9, atol=1e-14)


@each_schedule
@pytest.mark.parametrize("resumed_at", [(), (1, 2), (3,), (4, 7), (6,), (11, 12)])
def test_a_change_by_hand_outlives_its_states(name, resumed_at):
    """To ask for the state changes nothing, and who goes on from it has the same rates."""
    courses = []
    for asks in (False, True):
        optimizer = optimizer_of(optim)
        schedule = SCHEDULES[name](optim, optimizer)
        courses.append([])
        for step in range(20):
            if step in (1, 3, 6, 11):
                optimizer.param_groups[0]["lr"] = 0.123
            if asks:
                states = json.loads(json.dumps([schedule.state_dict(), schedule.state_dict()]))
                assert states[0] == states[1]
                if step in resumed_at:
                    optimizer = optimizer_of(optim)
                    schedule = SCHEDULES[name](optim, optimizer)
                    schedule.load_state_dict(states[0])
            schedule.step()
            courses[-1].append([group["lr"] for group in optimizer.param_groups])
    np.testing.assert_allclose(*courses, rtol=1e-9, atol=1e-14)


@each_schedule
@pytest.mark.parametrize("after", [0, 5])
def test_a_group_that_is_added_later(name, after):
    """It goes on from its own rate, and changes as the others do."""
    optimizer = optim.SGD([Tensor(np.ones(1), requires_grad=True)], lr=0.5, momentum=0.9)
    schedule = ONE_GROUP.get(name, SCHEDULES[name])(optim, optimizer)
    lowest = schedule.lowest
    for _ in range(after):
        schedule.step()
    optimizer.add_param_group({"params": [Tensor(np.ones(1), requires_grad=True)], "lr": 0.3})
    share = (0.3 - lowest) / (optimizer.param_groups[0]["lr"] - lowest)
    for _ in range(after, 12):
        schedule.step()
        first, second = (group["lr"] - lowest for group in optimizer.param_groups)
        np.testing.assert_allclose(second, first * share, rtol=1e-9, atol=1e-14)


def test_a_group_without_a_function_of_its_own():
    optimizer = optimizer_of(optim)
    schedule = optim.LambdaLR(optimizer, [lambda t: 0.5, lambda t: 0.5])
    optimizer.add_param_group({"params": [Tensor(np.ones(1), requires_grad=True)]})
    with pytest.raises(ArgumentError, match="no function for parameter group 2, which was added later"):
        schedule.step()


def test_a_new_schedule_in_the_middle_of_a_run():
    """As in PyTorch: what sets the rate starts at its own, what multiplies goes on from what there is."""
    optimizer = optimizer_of(optim)
    old = optim.PolynomialLR(optimizer, 3)
    for _ in range(3):
        old.step()
    assert optimizer.param_groups[0]["lr"] == 0
    optim.OneCycleLR(optimizer, 1.0, total_steps=10, div_factor=4)
    assert optimizer.param_groups[0]["lr"] == 0.25
    optim.LambdaLR(optimizer, lambda t: 1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.2]
    optimizer.param_groups[0]["lr"] = 0.1
    optim.ExponentialLR(optimizer, 0.5).step()
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_parts_of_an_epoch_between_warm_restarts():
    torch = TorchOptim(pytest.importorskip("torch"))
    courses = []
    for library in (optim, torch):
        optimizer = optimizer_of(library)
        schedule = library.CosineAnnealingWarmRestarts(optimizer, 2, T_mult=3, eta_min=0.1)
        courses.append([])
        for step in range(80):
            schedule.step(step / 8)
            courses[-1].append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(*courses, rtol=1e-12)


@pytest.mark.parametrize("names", [["exponential", "linear"], ["cosine", "step"], ["one cycle", "step"]])
def test_several_in_a_compiled_step(names):
    pytest.importorskip("jax")
    courses = []
    for compiled in (False, True):
        with xpnn.use_backend("jax"):
            model = nn.Linear(2, 1)
            optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
            parts = [ONE_GROUP.get(name, SCHEDULES[name])(optim, optimizer) for name in names]
            chain = optim.ChainedScheduler(parts)

            def step(x, model=model, optimizer=optimizer, chain=chain):
                model(x).sum().backward()
                optimizer.step()
                chain.step()

            run = xpnn.compile(step, model, optimizer, chain) if compiled else step
            courses.append([])
            for _ in range(30):
                run(Tensor([[1.0, 1.0]]))
                courses[-1].append(chain.get_last_lr()[0])
    np.testing.assert_allclose(*courses, rtol=1e-4, atol=1e-7)


# --- saved, loaded, copied


@each_schedule
def test_the_loaded_rate_is_there_at_once(name):
    first = optimizer_of(optim)
    schedule = SCHEDULES[name](optim, first)
    for _ in range(17):
        schedule.step()
    states = json.loads(json.dumps([first.state_dict(), schedule.state_dict()]))
    for schedule_first in (False, True):
        second = optimizer_of(optim)
        resumed = SCHEDULES[name](optim, second) if schedule_first else None
        second.load_state_dict(states[0])
        resumed = resumed or SCHEDULES[name](optim, second)  # which sets the rate of a new run
        resumed.load_state_dict(states[1])
        for group, expected in zip(second.param_groups, first.param_groups):
            assert watched(group) == watched(expected)
        copied, going_on = copy.deepcopy((second, resumed)), copy.deepcopy((first, schedule))
        assert np.array_equal(course(*copied, 20), course(*going_on, 20))


def test_the_state_of_several_goes_through_a_checkpoint(tmp_path):
    def make():
        optimizer = optimizer_of(optim)
        warmup = optim.LinearLR(optimizer, 0.1, total_iters=9)
        return optimizer, optim.ChainedScheduler([warmup, optim.ReduceLROnPlateau(optimizer, patience=1)])

    optimizer, schedule = make()
    for loss in (3.0, 2.0, 2.0, 2.0, 1.0):
        schedule.step(loss)
    save_checkpoint(tmp_path / "a", optimizer=optimizer, schedule=schedule)
    other, resumed = make()
    load_checkpoint(tmp_path / "a", schedule=resumed, optimizer=other)
    for loss in (1.0, 1.0, 1.0, 1.0):
        assert [group["lr"] for group in other.param_groups] == [g["lr"] for g in optimizer.param_groups]
        schedule.step(loss)
        resumed.step(loss)


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - WITH_FUNCTIONS))
def test_copies_are_apart(name):
    schedule = SCHEDULES[name](optim, optimizer_of(optim))
    schedule.step()
    for copied in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        before = schedule.get_last_lr()
        assert copied.get_last_lr() == before
        fresh = SCHEDULES[name](optim, optimizer_of(optim))
        fresh.step()
        for _ in range(3):
            copied.step()
            fresh.step()
        assert schedule.get_last_lr() == before
        assert copied.get_last_lr() == fresh.get_last_lr()


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
        ("know their course", lambda o: optim.SequentialLR(o, [optim.ReduceLROnPlateau(o)], [])),
        (r"factor in \[0, 1\]", lambda o: optim.ConstantLR(o, 1.5)),
        ("total_iters >= 1", lambda o: optim.PolynomialLR(o, 0)),
        ("T_mult as an integer >= 1", lambda o: optim.CosineAnnealingWarmRestarts(o, 3, T_mult=0)),
        ("mode='triangular'", lambda o: optim.CyclicLR(o, 0.1, 1.0, mode="square")),
        ("step_size_up > 0", lambda o: optim.CyclicLR(o, 0.1, 1.0, 0)),
        ("at least one schedule", lambda o: optim.ChainedScheduler([])),
        ("expects schedules, got int", lambda o: optim.ChainedScheduler([1])),
        ("step number >= 0, got -1", lambda o: optim.StepLR(o, 1).step(-1)),
        ("expects a metric", lambda o: optim.ChainedScheduler([optim.ReduceLROnPlateau(o)]).step()),
        ("min_lr for each of 2 groups", lambda o: optim.ReduceLROnPlateau(o, min_lr=[0.1])),
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


NONSENSE = [None, "x", math.nan, math.inf, -1.0, True, [], {}, [None], ["x", "x"], [math.nan, 1.0]]
NONSENSE += [[-1.0, 1.0], [1.0], [1.0, 1.0, 1.0]]


@pytest.mark.parametrize("name", [*SCHEDULES, "plateau"])
def test_states_that_no_schedule_has(name):
    """Each value of a state in turn is nonsense: refused, with all as it was."""
    optimizer = optimizer_of(optim)
    make = SCHEDULES.get(name, lambda o, opt: o.ReduceLROnPlateau(opt))
    schedule = make(optim, optimizer)
    schedule.step(*[1.0] * schedule.watches)
    schedule.step(*[1.0] * schedule.watches)
    state = schedule.state_dict()
    before = copy.deepcopy([state, optimizer.state_dict()])
    for key, value in itertools.product(state, NONSENSE):
        if (key == "others" and value == [-1.0, 1.0]) or (key == "best" and value in (math.inf, -1.0)):
            continue  # as a rate that went below its lower bound, or a metric, has it
        with pytest.raises(CheckpointError):
            schedule.load_state_dict(state | {key: value})
        with pytest.raises(CheckpointError):
            schedule.load_state_dict({key: value})
        assert [schedule.state_dict(), optimizer.state_dict()] == before
    for value in NONSENSE:
        with pytest.raises(CheckpointError):
            schedule.check_state_dict(value)


@pytest.mark.parametrize("name", [*SCHEDULES, "plateau"])
def test_states_of_pytorch_are_taken(name):
    torch = TorchOptim(pytest.importorskip("torch"))
    make = SCHEDULES.get(name, lambda o, opt: o.ReduceLROnPlateau(opt, patience=1))
    theirs = optimizer_of(torch)
    their_schedule = make(torch, theirs)
    for _ in range(13):
        their_schedule.step(*[1.0] * (name == "plateau"))
    mine = optimizer_of(optim)
    schedule = make(optim, mine)
    schedule.load_state_dict(their_schedule.state_dict())
    for _ in range(20):
        np.testing.assert_allclose(
            [watched(group) for group in mine.param_groups],
            [watched(group) for group in theirs.param_groups],
            rtol=1e-9,
        )
        schedule.step(*[1.0] * (name == "plateau"))
        their_schedule.step(*[1.0] * (name == "plateau"))


def test_a_state_of_pytorch_with_other_arguments():
    torch = TorchOptim(pytest.importorskip("torch"))
    state = torch.StepLR(optimizer_of(torch), 3, gamma=0.5).state_dict()
    with pytest.raises(CheckpointError, match="a schedule with step_size=3, it has step_size=2"):
        optim.StepLR(optimizer_of(optim), 2, gamma=0.5).load_state_dict(state)


def test_reprs_say_what_schedules_hold():
    x = Tensor(np.ones(1), requires_grad=True)
    optimizer = optim.SGD([{"params": [x]}, {"params": [x.detach()], "lr": 0.5}], lr=1.0)
    stairs = optim.StepLR(optimizer, step_size=2, gamma=0.5)
    assert repr(stairs) == "StepLR(step_size=2, gamma=0.5, last_epoch=0, lr=[1, 0.5])"
    for _ in range(2):
        stairs.step()
    assert repr(stairs) == "StepLR(step_size=2, gamma=0.5, last_epoch=2, lr=[0.5, 0.25])"
    chain = optim.ChainedScheduler([stairs])
    assert repr(chain) == f"ChainedScheduler(schedulers=[{stairs!r}], last_epoch=2, lr=[0.5, 0.25])"
    plateau = optim.ReduceLROnPlateau(optimizer, patience=3)
    assert "mode='min'" in repr(plateau)
    assert "patience=3" in repr(plateau)
