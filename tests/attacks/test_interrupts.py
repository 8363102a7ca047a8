"""Ctrl-C comes at random moments inside of kernels: the next call gives the same bits, no thread is lost.

The alarm of a timer takes the place of Ctrl-C: Python handles both alike, and it comes at a chosen moment.
"""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.backend import threads

Tally = Callable[[str, int, int], None]
Operation = Callable[[], list[Any]]

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer here")

# A further Ctrl-C every so many seconds, where somebody keeps the key pressed.
HELD_DOWN = 1e-4


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def of(function: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Operation:
    """A function of arrays and its gradients."""
    arrays = [normal(*shape) for shape in shapes]

    def call() -> list[Any]:
        inputs = [xpnn.tensor(array, requires_grad=True) for array in arrays]
        y = function(*inputs, **options)
        y = y[0] if isinstance(y, tuple) else y
        return [y.array, *(g.array for g in xpnn.grad((y * y).sum(), inputs))]

    return call


def recurrence(kind: type[nn.Module]) -> Operation:
    layer = kind(48, 64)
    x = normal(24, 32, 48)

    def call() -> list[Any]:
        y, _ = layer(xpnn.tensor(x))
        return [y.array, *(g.array for g in xpnn.grad((y * y).sum(), [*layer.parameters()]))]

    return call


def optimizer(kind: type[optim.Optimizer], **options: Any) -> Operation:
    """A step from the same parameters and state; one that is cut may leave them between old and new."""
    params = [xpnn.tensor(normal(*shape), requires_grad=True) for shape in [(900, 700), (64, 33), (64,)]]
    values = [param.array.copy() for param in params]
    stepping = kind(params, **options)
    grads = [xpnn.Tensor(value / 2) for value in values]

    def step() -> None:
        for param, grad in zip(params, grads):
            param.grad = grad
        stepping.step()

    step()
    state = stepping.state_dict()

    def call() -> list[Any]:
        stepping.load_state_dict(state)
        for param, value in zip(params, values):
            param.data = xpnn.Tensor(value.copy())
        step()
        return [param.array for param in params]

    return call


OPERATIONS: dict[str, Callable[[], Operation]] = {
    "conv 3x3": lambda: of(F.conv2d, (8, 16, 24, 24), (32, 16, 3, 3), padding=1),
    "conv strided": lambda: of(F.conv2d, (8, 8, 25, 25), (24, 8, 5, 5), stride=2),
    "conv depthwise": lambda: of(F.conv2d, (8, 32, 20, 20), (32, 1, 3, 3), groups=32),
    "linear": lambda: of(F.linear, (300, 200), (150, 200), (150,)),
    "matmul": lambda: of(xpnn.xp.matmul, (8, 60, 70), (8, 70, 50)),
    "lstm": lambda: recurrence(nn.LSTM),
    "gru": lambda: recurrence(nn.GRU),
    "attention": lambda: of(F.scaled_dot_product_attention, *[(4, 4, 100, 32)] * 3),
    "batch norm": lambda: of(lambda x: F.batch_norm(x, None, None, training=True), (16, 32, 24, 24)),
    "layer norm": lambda: of(F.layer_norm, (600, 700), normalized_shape=(700,)),
    "softmax": lambda: of(F.softmax, (600, 700), dim=1),
    "gelu": lambda: of(F.gelu, (600, 700)),
    "max pool": lambda: of(F.max_pool2d, (8, 32, 32, 32), kernel_size=2),
    "sgd": lambda: optimizer(optim.SGD, lr=0.1, momentum=0.9),
    "adamw": lambda: optimizer(optim.AdamW, lr=0.1),
}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = xpnn.get_num_threads()
    xpnn.set_num_threads(2)
    yield
    xpnn.set_num_threads(before)


@pytest.fixture
def pressing() -> Iterator[Callable[..., bool]]:
    """`pressing(call, seconds, again)` makes a call that is interrupted after so long; whether it was."""
    armed = False

    def ctrl_c(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    def press(call: Operation, seconds: float, again: float = 0.0) -> bool:
        nonlocal armed
        armed = True
        gc.disable()  # at a collection JAX is called, where other tests have brought it, and not xpnn
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, again)
            call()
        except KeyboardInterrupt:
            armed = False
            return True
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            gc.enable()
        return False

    before = signal.signal(signal.SIGALRM, ctrl_c)
    yield press
    signal.signal(signal.SIGALRM, before)


def attack(operation: Operation, pressing: Callable[..., bool], count: int, again: float = 0.0) -> int:
    """How many of `count` moments met the operation; after each, it gives the bits that it gave before."""
    rng = np.random.default_rng(0)
    operation()
    begin = time.perf_counter()
    expected = [array.tobytes() for array in operation()]
    seconds = time.perf_counter() - begin
    blas, running = threads._blas(), crew()
    before = blas and blas[0]()
    met = 0
    for _ in range(count):
        met += pressing(operation, rng.uniform(1e-6, seconds), again)
        assert (blas and blas[0]()) == before
        assert [array.tobytes() for array in operation()] == expected
    assert crew() <= running + 1
    return met


def crew() -> int:
    """How many threads compute for xpnn; others of the process begin and end as they like."""
    return sum(thread.name == "xpnn-worker" for thread in threading.enumerate())


@pytest.mark.parametrize("name", OPERATIONS)
def test_ctrl_c_inside_a_kernel(name: str, pressing: Callable[..., bool], tally: Tally) -> None:
    attack(OPERATIONS[name](), pressing, 14)
    tally("Ctrl-C inside kernels", 14, 14)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_ctrl_c_is_held_down(name: str, pressing: Callable[..., bool], tally: Tally) -> None:
    attack(OPERATIONS[name](), pressing, 20, HELD_DOWN)
    tally("Ctrl-C held down inside kernels", 20, 20)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")
@pytest.mark.usefixtures("compiled_kernels")
@pytest.mark.parametrize("name", OPERATIONS)
def test_ctrl_c_inside_a_compiled_kernel(name: str, pressing: Callable[..., bool], tally: Tally) -> None:
    attack(OPERATIONS[name](), pressing, 14)
    tally("Ctrl-C inside kernels compiled by Numba", 14, 14)


@pytest.mark.slow
def test_ctrl_c_between_the_smallest_steps(pressing: Callable[..., bool], tally: Tally) -> None:
    """Of what takes a few microseconds, every instruction is met."""
    a = normal(8, 8)
    big = normal(100, 100)
    tried = 0
    for operation in (
        lambda: [threads.single_threaded_blas(np.matmul, a, a)],
        of(xpnn.xp.matmul, (4, 8, 8), (4, 8, 8)),
        lambda: [xpnn.kernels.numpy.parallel.parallel(lambda part: big[part] * 2, 100, 1e6)[0]],
    ):
        attack(operation, pressing, 3000)
        tried += 3000
    tally("Ctrl-C between the smallest steps", tried, tried)
