"""The workloads in plain JAX: functions of a dictionary of weights, `jax.grad`, one jitted step.

The weights have the names of the modules in `workloads.py` and start from the same numbers. Images lie with
their channels last, which JAX prefers on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.frameworks import Step, UnavailableError, need
from benchmarks.workloads import BATCHES, Workload, data, initial_values

EPS = 1e-5  # of both norms
MOMENTUM = 0.1  # of the running statistics

Arrays = dict[str, Any]
Network = Callable[[Arrays, Arrays, Any, bool], tuple[Any, Arrays]]


def plain_jax_step(name: str, workload: Workload) -> Step:
    """A jitted training or inference step without xpnn; the module tells only the names and shapes."""
    need("jax", "JAX")
    if name not in NETWORKS:
        raise UnavailableError("not written for it")
    import jax
    import jax.numpy as jnp
    from jax import nn

    import xpnn

    inputs, labels = data(workload)
    if workload.images:
        inputs = inputs.transpose(0, 1, 3, 4, 2)
    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in zip(inputs, labels, strict=True)]
    model = workload.model(xpnn.nn, xpnn.functional)
    shapes = {key: tuple(value.shape) for key, value in model.named_parameters()}
    weights = {key: jnp.asarray(laid_out(initial_values(key, shape))) for key, shape in shapes.items()}
    statistics = {
        key: jnp.asarray(buffer.numpy())
        for key, buffer in model.named_buffers()
        if not key.endswith("num_batches_tracked")
    }
    network = NETWORKS[name]

    def loss_of(weights: Arrays, statistics: Arrays, x: Any, y: Any, training: bool) -> Any:
        scores, statistics = network(weights, statistics, x, training)
        return -jnp.mean(jnp.take_along_axis(nn.log_softmax(scores), y[:, None], 1)), statistics

    if workload.optimizer is None:
        infer = jax.jit(lambda weights, x, y: loss_of(weights, statistics, x, y, False)[0])
        return lambda i: float(infer(weights, *batches[i % BATCHES]))

    kind, options = workload.optimizer
    start, update = (adam, adam_update) if kind == "Adam" else (sgd, sgd_update)

    def step(weights: Arrays, statistics: Arrays, state: Any, x: Any, y: Any) -> tuple[Any, ...]:
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = gradient(weights, statistics, x, y, True)
        weights, state = update(weights, gradients, state, **options)
        return loss, weights, statistics, state

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    state = [weights, statistics, start(weights)]

    def run(i: int) -> float:
        loss, *state[:] = compiled(*state, *batches[i % BATCHES])
        return float(loss)

    return run


def laid_out(w: Any) -> Any:
    """A convolution's weights as (height, width, channels in, channels out)."""
    return w.transpose(2, 3, 1, 0) if w.ndim == 4 else w


# Layers


def linear(w: Arrays, name: str, x: Any) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def conv(w: Arrays, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
    from jax import lax

    y = lax.conv_general_dilated(
        x, w[f"{name}.weight"], (stride, stride), [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def max_pool(x: Any, size: int, stride: int, padding: int = 0) -> Any:
    from jax import lax

    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return lax.reduce_window(x, -float("inf"), lax.max, (1, size, size, 1), (1, stride, stride, 1), pads)


def batch_norm(w: Arrays, statistics: Arrays, name: str, x: Any, training: bool) -> tuple[Any, Arrays]:
    from jax import lax

    keys = f"{name}.running_mean", f"{name}.running_var"
    if training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        count = x.size // x.shape[-1]
        seen = mean, variance * (count / (count - 1))
        new = {key: (1 - MOMENTUM) * statistics[key] + MOMENTUM * value for key, value in zip(keys, seen)}
        statistics = statistics | new
    else:
        mean, variance = (statistics[key] for key in keys)
    scale = w[f"{name}.weight"] * lax.rsqrt(variance + EPS)
    return (x - mean) * scale + w[f"{name}.bias"], statistics


def layer_norm(w: Arrays, name: str, x: Any) -> Any:
    from jax import lax

    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + EPS) * w[f"{name}.weight"] + w[f"{name}.bias"]


# Networks


def mlp(w: Arrays, statistics: Arrays, x: Any, training: bool) -> tuple[Any, Arrays]:
    from jax import nn

    last = max(int(key.partition(".")[0]) for key in w)
    for i in range(0, last, 2):
        x = nn.relu(linear(w, str(i), x))
    return linear(w, str(last), x), statistics


def lenet(w: Arrays, statistics: Arrays, x: Any, training: bool) -> tuple[Any, Arrays]:
    from jax import nn

    x = max_pool(nn.relu(conv(w, "0", x, padding=2)), 2, 2)
    x = max_pool(nn.relu(conv(w, "3", x)), 2, 2)
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    x = nn.relu(linear(w, "7", x))
    return linear(w, "11", nn.relu(linear(w, "9", x))), statistics


def resnet(w: Arrays, statistics: Arrays, x: Any, training: bool) -> tuple[Any, Arrays]:
    from jax import nn

    def conv_norm(name: str, number: str, x: Any, stride: int = 1) -> Any:
        nonlocal statistics
        conv_name = f"{name}conv{number}" if number else f"{name}downsample.0"
        norm_name = f"{name}bn{number}" if number else f"{name}downsample.1"
        x = conv(w, conv_name, x, stride, len(w[f"{conv_name}.weight"]) // 2)
        x, statistics = batch_norm(w, statistics, norm_name, x, training)
        return x

    large = len(w["conv1.weight"]) == 7
    x = nn.relu(conv_norm("", "1", x, 2 if large else 1))
    if large:
        x = max_pool(x, 3, 2, 1)
    for name in sorted({key.rpartition("conv1")[0] for key in w if key.endswith(".conv1.weight")}):
        stride = 2 if name.endswith(".0.") and name[5] != "1" else 1
        if f"{name}conv3.weight" in w:
            y = nn.relu(conv_norm(name, "1", x))
            y = nn.relu(conv_norm(name, "2", y, stride))
            y = conv_norm(name, "3", y)
        else:
            y = nn.relu(conv_norm(name, "1", x, stride))
            y = conv_norm(name, "2", y)
        if f"{name}downsample.0.weight" in w:
            x = conv_norm(name, "", x, stride)
        x = nn.relu(x + y)
    return linear(w, "fc", x.mean((1, 2))), statistics


def transformer(w: Arrays, statistics: Arrays, x: Any, training: bool) -> tuple[Any, Arrays]:
    import jax.numpy as jnp
    from jax import nn

    batch, steps, width = x.shape
    heads = 4
    for i in range(4):
        name = f"layers.{i}."
        y = layer_norm(w, f"{name}norm1", x)
        projected = y @ w[f"{name}self_attn.in_proj_weight"].T + w[f"{name}self_attn.in_proj_bias"]
        q, k, v = (part.reshape(batch, steps, heads, -1) for part in jnp.split(projected, 3, -1))
        y = nn.dot_product_attention(q, k, v).reshape(batch, steps, width)
        x = x + linear(w, f"{name}self_attn.out_proj", y)
        y = nn.gelu(linear(w, f"{name}linear1", layer_norm(w, f"{name}norm2", x)), approximate=False)
        x = x + linear(w, f"{name}linear2", y)
    return linear(w, "head", layer_norm(w, "norm", x).mean(1)), statistics


def lstm(w: Arrays, statistics: Arrays, x: Any, training: bool) -> tuple[Any, Arrays]:
    import jax.numpy as jnp
    from jax import lax, nn

    gates_of_inputs = x @ w["lstm.weight_ih_l0"].T + w["lstm.bias_ih_l0"] + w["lstm.bias_hh_l0"]

    def cell(carry: tuple[Any, Any], gates_of_input: Any) -> tuple[tuple[Any, Any], None]:
        h, c = carry
        i, f, g, o = jnp.split(gates_of_input + h @ w["lstm.weight_hh_l0"].T, 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        return (nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((x.shape[1], w["lstm.weight_hh_l0"].shape[1]))
    (h, _), _ = lax.scan(cell, (zeros, zeros), gates_of_inputs)
    return linear(w, "head", h), statistics


NETWORKS: dict[str, Network] = {
    "mlp": mlp,
    "mlp8": mlp,
    "lenet": lenet,
    "resnet20": resnet,
    "resnet18": resnet,
    "transformer": transformer,
    "lstm": lstm,
    "resnet50-1": resnet,
    "resnet50-8": resnet,
}


# Optimizers: `start(weights)` and `update(weights, gradients, state, **options)`


def sgd(weights: Arrays) -> Arrays:
    import jax.numpy as jnp

    return {key: jnp.zeros_like(w) for key, w in weights.items()}


def sgd_update(
    weights: Arrays,
    gradients: Arrays,
    state: Arrays,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> tuple[Arrays, Arrays]:
    gradients = {key: g + weight_decay * weights[key] for key, g in gradients.items()}
    if momentum:
        gradients = state = {key: momentum * state[key] + g for key, g in gradients.items()}
    return {key: w - lr * gradients[key] for key, w in weights.items()}, state


def adam(weights: Arrays) -> Any:
    import jax.numpy as jnp

    return jnp.zeros((), jnp.float32), sgd(weights), sgd(weights)


def adam_update(
    weights: Arrays,
    gradients: Arrays,
    state: Any,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> tuple[Arrays, Any]:
    t, m, v = state
    t = t + 1
    b, c = betas
    m = {key: b * m[key] + (1 - b) * g for key, g in gradients.items()}
    v = {key: c * v[key] + (1 - c) * g * g for key, g in gradients.items()}
    rate, scale = lr / (1 - b**t), 1 / (1 - c**t)
    new = {key: w - rate * m[key] / ((v[key] * scale) ** 0.5 + eps) for key, w in weights.items()}
    return new, (t, m, v)
