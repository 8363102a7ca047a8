"""Random calls of Tensor's methods and operators, of the namespace, of classes, and of packages of functions.

Whatever they are given, they work, or they raise an error that says what was wrong. Parts of training runs
are put into one.
"""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks.odd import HUGE, ODD, is_clear

import xpnn
from xpnn import amp, data, distributions, func, io, metrics, nn, ops, optim, search, train
from xpnn.autograd import Tensor
from xpnn.data import transforms

FEW, MANY = 12, 100  # calls of each: in the default run, and with --slow

OPERATORS = [
    f"__{name}__"
    for name in (
        *("add", "and", "contains", "eq", "floordiv", "getitem", "iadd", "invert", "lshift", "lt", "matmul"),
        *("mod", "neg", "pow", "rsub", "setitem", "truediv"),
    )
]
METHODS = [name for name in dir(Tensor) if not name.startswith("_") and callable(getattr(Tensor, name))]
NAMESPACE = [name for name in dir(xpnn.xp) if name in dir(pytest.importorskip("array_api_strict"))]
NAMESPACE = [
    name for name in NAMESPACE if not name.startswith("_") and inspect.isroutine(getattr(xpnn.xp, name))
]
BASES = (nn.Module, optim.Optimizer, optim.lr_scheduler.LRScheduler)
MODULES, OPTIMIZERS, SCHEDULES = (
    [
        name
        for name, value in vars(package).items()
        if inspect.isclass(value) and value not in BASES and not issubclass(value, Enum)
    ]
    for package in (nn, optim, optim.lr_scheduler)
)

PACKAGES = {
    "functional": nn.functional,
    "init": nn.init,
    "utils": nn.utils,
    "fft": xpnn.fft,
    "linalg": xpnn.linalg,
    "special": xpnn.special,
    "windows": xpnn.signal.windows,
    "func": func,
    "metrics": metrics,
    "distributions": distributions,
    "transforms": transforms,
    "data": data,
    "io": io,
    "ops": ops,
    "amp": amp,
    "parallel": nn.parallel,
    "search": search,
    "averages": optim.swa_utils,
}
# What is abstract, an Enum or error, without a rule for other classes, what only other functions call, and
# what may fetch data from elsewhere.
NOT_CALLED = (
    *(metrics.Metric, distributions.Distribution, transforms.Transform, transforms.InterpolationMode),
    *(distributions.kl_divergence, transforms.transform_batch, nn.functional.running_statistics),
    *(search.Pruned, data.MNIST, data.FashionMNIST, data.CIFAR10, data.CIFAR100),
)
PUBLIC = [
    f"{package}.{name}"
    for package, names in PACKAGES.items()
    for name, value in vars(names).items()
    if callable(value)
    and not name.startswith("_")
    and getattr(value, "__module__", "").startswith("xpnn.")
    and not value.__module__.startswith(("xpnn.backend", "xpnn.autograd.tape"))  # which helps
    and value not in NOT_CALLED
]

PARTS = [
    name
    for name, value in vars(train).items()
    if inspect.isclass(value) and value.__module__.startswith("xpnn.") and value is not train.HyperParameters
]

SHAPES = ((), (1,), (3,), (0,), (2, 3), (3, 0), (2, 1, 3), (2, 3, 4, 4), (3, 3))
TYPES = ("float64", "float32", "float16", "int64", "uint8", "bool", "complex128")


def a_tensor(rng: random.Random) -> Tensor:
    values = np.random.default_rng(rng.randrange(9)).standard_normal(rng.choice(SHAPES)) * 3
    kind = rng.choice(TYPES)
    return Tensor(values.astype(kind), requires_grad=kind.startswith("float") and rng.random() < 0.4)


def an_argument(rng: random.Random) -> Any:
    return rng.choice([a_tensor(rng), rng.choice([0, 1, 2, -1, (0, 1), None]), rng.choice(ODD)])


def a_size(rng: random.Random) -> Any:
    return rng.choice([1, 2, 3, 4, an_argument(rng)])


def call_of(function: Callable[..., Any], first: list[Any], rng: random.Random, argument: Any) -> Any:
    """Call it with `first`, and arguments for what else its signature names, some of them left out."""
    parameters = list(inspect.signature(function).parameters.values())
    args, options = list(first), {}
    for parameter in parameters[len(first) :]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += [argument(rng) for _ in range(rng.randrange(3))]
            continue
        value = argument(rng)
        if parameter.name.startswith("num_") and any(value is huge for huge in HUGE):
            value = 2  # so many layers would be made, one by one
        if parameter.kind is parameter.VAR_KEYWORD or parameter.name.startswith("_"):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY or parameter.default is parameter.empty:
            args.append(value)
        elif rng.random() < 0.4:
            options[parameter.name] = value
    return function(*args, **options)


def a_model(rng: random.Random) -> list[Any]:
    return [[nn.Parameter(np.ones((2, 2), dtype="f4"))]]


def an_optimizer(rng: random.Random) -> list[Any]:
    return [optim.SGD(*a_model(rng), lr=0.1)]


def method(name: str, rng: random.Random) -> None:
    call_of(getattr(Tensor, name), [a_tensor(rng)], rng, an_argument)


def function(name: str, rng: random.Random) -> None:
    call_of(getattr(xpnn.xp, name), [], rng, an_argument)


def module(name: str, rng: random.Random) -> None:
    made = call_of(getattr(nn, name), [], rng, a_size)
    if isinstance(made, nn.Module) and type(made).forward is not nn.Module.forward:
        made(a_tensor(rng))


def optimizer(name: str, rng: random.Random) -> None:
    call_of(getattr(optim, name), a_model(rng), rng, an_argument)


def schedule(name: str, rng: random.Random) -> None:
    call_of(getattr(optim.lr_scheduler, name), an_optimizer(rng), rng, an_argument)


def package(name: str, rng: random.Random) -> None:
    """A function of a package; or a class of one, and what its objects are for."""
    package, _, name = name.partition(".")
    made = call_of(getattr(PACKAGES[package], name), [], rng, rng.choice([a_size, an_argument]))
    if isinstance(made, metrics.Metric):
        made.update(a_tensor(rng), a_tensor(rng))
        made.compute()
    elif isinstance(made, distributions.Distribution):
        with suppress(NotImplementedError):
            made.sample()
            made.log_prob(a_tensor(rng))
            made.entropy()


def a_loader() -> data.DataLoader:
    return data.DataLoader(data.TensorDataset(np.ones((4, 2), "f4"), np.array([0, 1, 0, 1])), batch_size=2)


def a_part(rng: random.Random) -> Any:
    parts = ["loss", nn.BatchNorm1d(2), a_loader(), ["a"], {"a": 1}, {"a": [2.0]}]
    return rng.choice([an_argument(rng), *parts])


def training(name: str, rng: random.Random) -> None:
    """A class of xpnn.train, and what its objects are for; they write into the folder of the test."""
    made = call_of(getattr(train, name), [], rng, a_part)
    if isinstance(made, train.Callback):
        model = nn.Linear(2, 2)
        options = {"callbacks": [made], "logger": rng.random() < 0.3, "out": rng.choice([None, "run"])}
        trainer = train.Trainer(model, optim.SGD(model.parameters(), lr=0.1), progress=False, **options)
        trainer.fit(a_loader(), rng.choice([None, a_loader()]), epochs=2)
        made.check_state_dict(a_part(rng))
    elif isinstance(made, train.Logger):
        made.log_metrics(rng.choice([{"a": 1}, a_part(rng)]), rng.choice([1, a_part(rng)]))
        made.log_hyperparams(rng.choice([{"a": 1}, a_part(rng)]))
        made.save()
        made.resume(rng.choice([1, a_part(rng)]))
        made.finalize("success")
    elif isinstance(made, train.History):
        made.add(rng.choice([{"a": 1}, a_part(rng)]))
        made.write(rng.choice(["history.jsonl", a_part(rng)]))
        train.History.read(rng.choice(["history.jsonl", a_part(rng)]))
    elif isinstance(made, train.Trainer):
        made.fit(a_part(rng))


KINDS: list[tuple[Callable[[str, random.Random], None], list[str]]] = [
    (method, METHODS + OPERATORS),
    (function, NAMESPACE),
    (module, MODULES),
    (optimizer, OPTIMIZERS),
    (schedule, SCHEDULES),
    (package, PUBLIC),
    (training, PARTS),
]


@pytest.mark.parametrize("calls", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("call", "name"),
    [pytest.param(call, name, id=f"{call.__name__}-{name}") for call, names in KINDS for name in names],
)
def test_random_calls(
    call: Callable[[str, random.Random], None],
    name: str,
    calls: int,
    tally: Callable[[str, int, int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    faults = []
    for seed in range(calls):
        try:
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                call(name, random.Random(f"{name} {seed}"))
        except Exception as error:
            if not is_clear(error, ()):
                faults.append(f"seed {seed}: {type(error).__name__}: {error}")
    tally(f"random calls: {call.__name__}s", calls, calls - len(faults))
    assert not faults, f"{name}, {len(faults)} of {calls}:\n" + "\n".join(faults[:5])
