"""Training steps of xpnn on its backends and of PyTorch: one text for both, which is what a user writes."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any

from benchmarks.workloads import BATCHES, Workload, data, initial_values

THREADS = 2
PERTURBATION = 1e-5  # relative: the rounding of Winograd's algorithm, which PyTorch has too; see `disturbed`

Step = Callable[[int], float]  # works on batch i and returns the loss
Change = Callable[[Any], Any]


class UnavailableError(Exception):
    """Why a competitor is left out."""


def need(package: str, name: str) -> None:
    """Raise UnavailableError if a package that a competitor needs is missing."""
    if importlib.util.find_spec(package) is None:
        raise UnavailableError(f"{name} is not installed")


def xpnn_step(workload: Workload, backend: str) -> Step:
    """xpnn on a backend; where the library is a compiler (JAX), the step is compiled as one program."""
    if backend == "numba":
        need("numba", "Numba")
        need("xpnn.kernels.numba", "a version of xpnn with kernels for Numba")
        backend = "numpy"
    else:
        need(backend, backend)
    import xpnn

    xpnn.set_backend(backend)
    finish = {"finish": xpnn.compile} if backend == "jax" else {}
    return training_step(workload, xpnn, xpnn.functional, xpnn.asarray, **finish)


def torch_step(workload: Workload, variant: str = "", device: str = "cpu", **how: Any) -> Step:
    """PyTorch: eager, with channels last, or compiled."""
    need("torch", "PyTorch")
    if variant == "channels-last" and not workload.images:
        raise UnavailableError("its inputs are no images")
    compiler = os.environ.get("CXX", "c++")
    if variant == "compiled" and not shutil.which(compiler) and not shutil.which("g++"):
        raise UnavailableError("torch.compile needs a C++ compiler")
    import torch

    torch.set_num_threads(THREADS)
    torch.set_default_device(device)
    change = {
        "": lambda x: x,
        "channels-last": lambda x: x.to(memory_format=torch.channels_last),
        "compiled": lambda x: torch.compile(x) if isinstance(x, torch.nn.Module) else x,
        "disturbed": disturbed,
    }[variant]
    return training_step(workload, torch, torch.nn.functional, torch.tensor, change=change, **how)


def disturbed(x: Any) -> Any:
    """The model with its weights changed by about what rounding changes in a product of matrices.

    How far its losses drift from those of the undisturbed one is what float32 allows.
    """
    import torch

    if isinstance(x, torch.nn.Module):
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in x.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.mul_(1 + PERTURBATION * noise)
    return x


def training_step(
    workload: Workload,
    library: Any,
    F: Any,
    array: Callable,
    change: Change = lambda x: x,
    finish: Callable = lambda step, *objects: step,
    read: Callable[[Any], Any] = lambda loss: float(loss.item()),
) -> Step:
    """What a user writes, in either library: a function that takes batch i and returns the loss.

    Args:
        library: `xpnn` or `torch`.
        array: makes an array of the library of one of NumPy's.
        change: what is done to the model and to each batch of inputs before training.
        finish: `finish(step, model, optimizer)` compiles the step.
        read: makes of the loss what the step returns; on a GPU, the number has the host wait for it.
    """
    inputs, labels = data(workload)
    batches = [(change(array(x)), array(y)) for x, y in zip(inputs, labels, strict=True)]

    model = change(model_of(workload, library, F, array))

    if workload.optimizer is None:
        model.eval()

        def infer(x: Any, y: Any) -> Any:
            with library.no_grad():
                return F.cross_entropy(model(x), y)

        run = finish(infer, model)
        return lambda i: read(run(*batches[i % BATCHES]))

    kind, options = workload.optimizer
    optimizer = getattr(library.optim, kind)(model.parameters(), **options)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = finish(step, model, optimizer)
    return lambda i: read(run(*batches[i % BATCHES]))


def model_of(workload: Workload, library: Any, F: Any, array: Callable) -> Any:
    """The network of a workload, with the weights that all competitors begin with."""
    model = workload.model(library.nn, F)
    for name, parameter in model.named_parameters():
        parameter.data = array(initial_values(name, tuple(parameter.shape)))
    return model
