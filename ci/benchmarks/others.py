"""Training steps of other libraries, each by its own optimizer and loss, where its API has them.

Each function returns a `Step`, or raises `UnavailableError` for a workload that the library does not state.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from unittest import mock

from benchmarks.frameworks import Step, UnavailableError, need
from benchmarks.workloads import BATCHES, Workload, data, initial_values

SIZES = {"mlp": (784, 512, 512, 10), "mlp8": (784, 128, 10)}


def linear_values(name: str) -> list[tuple[Any, Any]]:
    """Weights (out, in) and bias of each layer of an MLP, named as in `workloads.mlp`."""
    sizes = SIZES[name]
    return [
        (initial_values(f"{2 * i}.weight", (outside, inside)), initial_values("bias", (outside,)))
        for i, (inside, outside) in enumerate(pairwise(sizes))
    ]


def scikit_learn_step(name: str, workload: Workload) -> Step:
    """`partial_fit` of MLPClassifier on one batch."""
    need("sklearn", "scikit-learn")
    if name not in SIZES:
        raise UnavailableError("MLPs only")
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    inputs, labels = data(workload)
    kind, options = workload.optimizer
    solver = {"solver": "adam"} if kind == "Adam" else {"solver": "sgd", "momentum": 0.0}
    model = MLPClassifier(
        SIZES[name][1:-1], alpha=0.0, batch_size=workload.batch, learning_rate_init=options["lr"],
        shuffle=False, **solver,
    )  # fmt: skip
    model.partial_fit(inputs[0], labels[0], classes=np.arange(10))  # makes the weights
    for coefficients, intercepts, (w, b) in zip(
        model.coefs_, model.intercepts_, linear_values(name), strict=True
    ):
        coefficients[...], intercepts[...] = w.T, b
    del model._optimizer  # has seen a step from other weights

    def step(i: int) -> float:
        model.partial_fit(inputs[i % BATCHES], labels[i % BATCHES])
        return float(model.loss_)

    return step


def thinc_step(name: str, workload: Workload) -> Step:
    """Thinc's chain of layers."""
    need("thinc", "Thinc")
    if name not in SIZES:
        raise UnavailableError("MLPs only; it has no convolution of its own")
    import numpy as np

    with without_torch():
        from thinc.api import SGD, Adam, CategoricalCrossentropy, Relu, Softmax, chain

    inputs, labels = data(workload)
    sizes = SIZES[name]
    layers = [Relu(outside, inside) for inside, outside in pairwise(sizes[:-1])]
    layers.append(Softmax(sizes[-1], sizes[-2]))
    model = chain(*layers).initialize()
    for layer, (w, b) in zip(layers, linear_values(name), strict=True):
        layer.set_param("W", w)
        layer.set_param("b", b)
    kind, options = workload.optimizer
    make = {"Adam": Adam, "SGD": SGD}[kind]
    optimizer = make(options["lr"], L2=0.0, grad_clip=0.0, use_averages=False)
    loss = CategoricalCrossentropy()

    def step(i: int) -> float:
        x, y = inputs[i % BATCHES], labels[i % BATCHES]
        guesses, back = model.begin_update(x)
        back(loss.get_grad(guesses, y))
        model.finish_update(optimizer)
        return float(-np.log(guesses[np.arange(len(y)), y]).mean())

    return step


@contextmanager
def without_torch() -> Iterator[None]:
    """Thinc loads PyTorch where it finds it, which would count as its memory."""
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["torch"]


def mygrad_step(name: str, workload: Workload) -> Step:
    """MyGrad's tensors; it leaves the optimizer to its user."""
    need("mygrad", "MyGrad")
    import mygrad
    import numpy as np
    from mygrad.nnet import conv_nd, max_pool, relu, softmax_crossentropy

    names = parameters(name)
    w = {key: mygrad.tensor(initial_values(key, shape)) for key, shape in names.items()}
    inputs, labels = data(workload)

    def linear(x: Any, key: str) -> Any:
        return mygrad.matmul(x, w[f"{key}.weight"].T) + w[f"{key}.bias"]

    def conv(x: Any, key: str, padding: int) -> Any:
        bias = w[f"{key}.bias"].reshape(1, -1, 1, 1)
        return conv_nd(x, w[f"{key}.weight"], stride=1, padding=padding) + bias

    def network(x: Any) -> Any:
        if name == "lenet":
            x = max_pool(relu(conv(x, "0", 2)), (2, 2), 2)
            x = max_pool(relu(conv(x, "3", 0)), (2, 2), 2).reshape(len(x), -1)
        *hidden, last = [key[:-7] for key, shape in names.items() if len(shape) == 2]
        for key in hidden:
            x = relu(linear(x, key))
        return linear(x, last)

    moments = {
        key: [np.zeros(shape, np.float32), np.zeros(shape, np.float32)] for key, shape in names.items()
    }
    kind, options = workload.optimizer
    lr, steps = options["lr"], 0

    def step(i: int) -> float:
        nonlocal steps
        loss = softmax_crossentropy(network(inputs[i % BATCHES]), labels[i % BATCHES])
        loss.backward()
        steps += 1
        for key, weight in w.items():
            gradient = weight.grad
            if kind == "Adam":
                gradient = adam_direction(np, gradient, moments[key], steps)
            weight.data -= lr * gradient
            weight.null_grad()
        return float(loss.item())

    return step


def adam_direction(np: Any, gradient: Any, moments: list[Any], steps: int) -> Any:
    """Adam's step for a learning rate of one, as its paper states it."""
    m, v = moments
    m += 0.1 * (gradient - m)
    v += 0.001 * (gradient * gradient - v)
    return m / (1 - 0.9**steps) / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8)


def dezero_step(name: str, workload: Workload) -> Step:
    """DeZero's layers."""
    need("dezero", "DeZero")
    import numpy as np

    with mock.patch.object(np, "int", int, create=True):  # a name that NumPy 2 has no more
        import dezero.functions as F
        import dezero.layers as L
        from dezero import Model, optimizers

    values = {key: initial_values(key, shape) for key, shape in parameters(name).items()}
    inputs, labels = data(workload)
    labels = labels.astype(np.int8)  # wider integers make its gradients, and then all, float64

    class Network(Model):
        def __init__(self) -> None:
            super().__init__()
            for key, value in values.items():
                layer, _, kind = key.partition(".")
                if kind == "weight":
                    out = len(value)
                    made = (
                        L.Linear(out) if value.ndim == 2 else L.Conv2d(out, value.shape[2], pad=pads[layer])
                    )
                    made.W.data = np.ascontiguousarray(value.T) if value.ndim == 2 else value
                    setattr(self, f"l{layer}", made)

        def forward(self, x: Any) -> Any:
            layers = list(dict.fromkeys(key.partition(".")[0] for key in values))
            for layer in layers[:-1]:
                before = getattr(self, f"l{layer}")
                if isinstance(before, L.Linear) and x.ndim == 4:
                    x = F.reshape(x, (x.shape[0], -1))
                x = F.relu(before(x))
                if isinstance(before, L.Conv2d):
                    x = F.pooling(x, 2, 2)
            return getattr(self, f"l{layers[-1]}")(x)

    pads = {"0": 2, "3": 0}
    model = Network()
    kind, options = workload.optimizer
    make = {"Adam": optimizers.Adam, "SGD": optimizers.SGD}[kind]
    optimizer = make(options["lr"]).setup(model)

    def step(i: int) -> float:
        loss = F.softmax_cross_entropy(model(inputs[i % BATCHES]), labels[i % BATCHES])
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return float(loss.data)

    return step


def parameters(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters of an MLP or of LeNet, as in `workloads.py`."""
    if name in SIZES:
        sizes = SIZES[name]
        weights = {str(2 * i): (sizes[i + 1], sizes[i]) for i in range(len(sizes) - 1)}
    elif name == "lenet":
        weights = {"0": (6, 1, 5, 5), "3": (16, 6, 5, 5), "7": (120, 400), "9": (84, 120), "11": (10, 84)}
    else:
        raise UnavailableError("MLPs and LeNet only")
    named = ((f"{key}.weight", shape) for key, shape in weights.items())
    return {
        key: size for name, shape in named for key, size in ((name, shape), (name[:-6] + "bias", shape[:1]))
    }


STEPS = {
    "scikit-learn": scikit_learn_step,
    "thinc": thinc_step,
    "mygrad": mygrad_step,
    "dezero": dezero_step,
}
