"""The GPU against the CPU: every kernel, and the gradients of the bench's networks, by NumPy's float64."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.frameworks import model_of
from benchmarks.workloads import data

import xpnn
from on_gpu.setting import Row, Setting, beyond, distance
from xpnn.backend import reference_only

# How far from float64's results each type may be: its rounding, summed up over a kernel. In half precision
# numbers next to 0 change their sign before a ReLU.
LIMITS = {"float64": 1e-11, "float32": 2e-5, "float16": 0.1}
NETWORK_LIMIT = 1e-9  # in float64, through all layers
NETWORKS = ("mlp", "lenet", "resnet20", "transformer", "lstm")


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each kernel and type, and one for each network."""
    from cuda_on_cpu.exercises import EXERCISES, results_of

    for name in setting.pick(list(EXERCISES), ["gelu", "linear"]):
        with xpnn.use_backend("numpy"), reference_only():
            expected = results_of(name, "float64")
        for dtype in setting.pick(list(LIMITS), ["float32"]):
            with xpnn.use_backend(setting.backend):
                found = results_of(name, dtype)
            worst = max(distance(y, reference) for y, reference in zip(found, expected, strict=True))
            yield {"name": f"{name} {dtype}", "error": worst, **beyond(worst, LIMITS[dtype])}
    for name in setting.pick(NETWORKS, NETWORKS[:1]):
        worst, where = _furthest(setting, name)
        yield {"name": f"{name} gradients", "error": worst, "at": where, **beyond(worst, NETWORK_LIMIT)}


def _furthest(setting: Setting, name: str) -> tuple[float, str]:
    """The gradient that differs most in float64, of a network's parameters."""
    workload = setting.workload(name, batch=8)
    inputs, labels = data(workload)
    found = []
    for backend in ("numpy", setting.backend):
        with xpnn.use_backend(backend):
            model = model_of(workload, xpnn, xpnn.functional, xpnn.asarray).double()
            x = xpnn.tensor(inputs[0]).double()
            xpnn.functional.cross_entropy(model(x), xpnn.tensor(labels[0])).backward()
            found.append({key: parameter.grad.numpy() for key, parameter in model.named_parameters()})
    expected, ours = found
    scale = max(abs(gradient).max() for gradient in expected.values())
    errors = {key: float(abs(ours[key] - gradient).max() / scale) for key, gradient in expected.items()}
    where = max(errors, key=lambda key: errors[key] if errors[key] == errors[key] else float("inf"))
    return errors[where], where
