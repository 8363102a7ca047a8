"""Memory runs out at each allocation of a training step: the next step is as if nothing had been.

NumPy lets a program bring its own allocator. This one refuses the n-th request, for every n.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

Tally = Callable[[str, int, int], None]

PROGRAM = """
import ctypes, json, os, sys
import numpy as np
import xpnn
from xpnn import functional as F, nn, optim

# NumPy's C interface: struct PyDataMem_Handler, and two functions by their places in the table.
SIZE, POINTER = ctypes.c_size_t, ctypes.c_void_p
MALLOC = ctypes.CFUNCTYPE(POINTER, POINTER, SIZE)
CALLOC = ctypes.CFUNCTYPE(POINTER, POINTER, SIZE, SIZE)
REALLOC = ctypes.CFUNCTYPE(POINTER, POINTER, POINTER, SIZE)
SET_HANDLER, GET_HANDLER = 304, 305


class Handler(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("ctx", POINTER),
        ("malloc", MALLOC), ("calloc", CALLOC), ("realloc", REALLOC), ("free", POINTER),
    ]


requests, refused = 0, 0


def counted(kind, name):
    # The usual function, called while Python's lock is held, as NumPy does.
    function = ctypes.PYFUNCTYPE(POINTER, *kind._argtypes_)(ctypes.cast(getattr(usual, name), POINTER).value)

    def call(*arguments):
        global requests
        requests += 1
        return None if requests == refused else function(*arguments)

    return kind(call)


api = ctypes.pythonapi
api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = ctypes.py_object, [POINTER, ctypes.c_char_p, POINTER]
api.PyCapsule_GetPointer.restype = POINTER
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
table = api.PyCapsule_GetPointer(np._core._multiarray_umath._ARRAY_API, None)
functions = ctypes.cast(table, ctypes.POINTER(POINTER))
get_handler = ctypes.PYFUNCTYPE(ctypes.py_object)(functions[GET_HANDLER])
set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[SET_HANDLER])
name = b"mem_handler"
usual = Handler.from_address(api.PyCapsule_GetPointer(get_handler(), name))
handler = Handler(
    b"refuses", 1, usual.ctx, counted(MALLOC, "malloc"), counted(CALLOC, "calloc"),
    counted(REALLOC, "realloc"), usual.free,  # the last not through Python: it runs while errors are raised
)
set_handler(api.PyCapsule_New(ctypes.addressof(handler), name, None))

xpnn.set_num_threads(2)
stride, kind, options = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8, 4, 12, 12), dtype=np.float32), rng.integers(0, 10, 8)
rows = rng.standard_normal((32, 300), dtype=np.float32)
net = nn.Sequential(
    nn.Conv2d(4, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(12 * 36, 10), nn.LayerNorm(10),
)
wide, recurrent = nn.Linear(300, 700), nn.GRU(12, 16)
modules = nn.ModuleList([net, wide, recurrent])
optimizer = getattr(optim, kind)(modules.named_parameters(), **options)


def gradients():
    optimizer.zero_grad()
    images = xpnn.tensor(x)
    steps = images.mean(3).permute(2, 0, 1)
    loss = F.cross_entropy(net(images), y) + (wide(xpnn.tensor(rows)) ** 2).mean()
    (loss + recurrent(steps.repeat(1, 1, 3))[0].sum()).backward()


def bits():
    found = {name: p.array.tobytes() for name, p in modules.named_parameters()}
    for name, slots in optimizer.state.items():
        found.update({f"{name}.{slot}": np.asarray(array).tobytes() for slot, array in slots.items()})
    return found


def restore():
    modules.load_state_dict(weights)
    optimizer.load_state_dict(state)


gradients()
optimizer.step()
weights = {name: xpnn.Tensor(t.array.copy()) for name, t in modules.state_dict().items()}
state = optimizer.state_dict()
restore()
old = bits()
for _ in range(2):
    restore()
    requests = 0
    gradients()
    before_step = requests
    optimizer.step()
    new, total = bits(), requests
tried, wrong, touched = 0, [], []
for number in range(1, total + 1, stride):
    restore()
    requests, refused = 0, number
    try:
        gradients()
        optimizer.step()
    except MemoryError:
        pass
    refused, tried = 0, tried + 1
    if number <= before_step and bits() not in (old, new):
        touched.append(number)
    restore()
    gradients()
    optimizer.step()
    if bits() != new:
        wrong.append(number)
print(json.dumps({"tried": tried, "total": total, "wrong": wrong, "touched": touched}), flush=True)
os._exit(0)  # what was allocated here must not be freed after Python has gone
"""

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    "adam": ("Adam", {"lr": 0.01, "weight_decay": 0.01, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.01}),
}


@pytest.mark.skipif(sys.platform == "win32", reason="the C library has another name there")
@pytest.mark.parametrize("stride", [40, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_memory_runs_out_at_each_allocation(name: str, stride: int, tally: Tally) -> None:
    kind, options = OPTIMIZERS[name]
    command = [sys.executable, "-c", PROGRAM, str(stride), kind, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["total"] > 100
    assert found["wrong"] == []
    assert found["touched"] == []  # before the optimizer writes, nothing has changed
    tally("MemoryError at each allocation of a training step", found["tried"], found["tried"])
