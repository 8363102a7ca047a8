"""One use of every kernel, on small arrays of odd sizes: for the tests, and for the sanitizers.

    XPNN_SANITIZE=1 LD_PRELOAD=$(g++ -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \\
        python -m cuda_on_cpu.exercises
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import targets  # noqa: F401 - registers the stand-in

import cuda_on_cpu
import xpnn
from xpnn.autograd import all_gradients
from xpnn.functional import batch_norm
from xpnn.functional.attention.scaled_dot_product import self_attention
from xpnn.nn import functional as F

Shapes = tuple[tuple[int, ...], ...]


def _recurrence(kind: str) -> Callable[..., Any]:
    def run(x: Any, *weights: Any) -> Any:
        layer = getattr(xpnn.nn, kind)(3, 5)
        for param, w in zip(layer.parameters(), weights, strict=True):
            param.store(w.array)
        outputs = layer(x)[0]
        return outputs

    return run


def _recurrence_shapes(gates: int) -> Shapes:
    return (4, 2, 3), (gates * 5, 3), (gates * 5, 5), (gates * 5,), (gates * 5,)


def _trained_norm(x: Any, w: Any, b: Any, residual: Any) -> Any:
    """In training, of images whose channels are outermost, and then by the statistics that it kept."""
    mean, variance = xpnn.zeros_like(w.detach()), xpnn.ones_like(w.detach())
    y = batch_norm(
        x.transpose(0, 1), mean, variance, w, b, True, residual=residual.transpose(0, 1), relu=True
    )
    return y + batch_norm(x.transpose(0, 1), mean, variance, w, b, False)


def _entropy(x: Any, w: Any) -> Any:
    labels = xpnn.tensor(np.arange(x.shape[0]) % (x.shape[1] + 1) - 1)
    plain = F.nll_loss(x, labels, ignore_index=-1, reduction="sum")
    each = F.cross_entropy(x, labels, ignore_index=-1, reduction="none")
    weights = abs(w.detach())
    mean = F.cross_entropy(x, labels, weights, ignore_index=-1, label_smoothing=0.1)
    return each + mean + plain / x.shape[0]


def _winners(x: Any) -> Any:
    """The places of maxima, and a gradient of a gradient through them."""
    y, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    (gx,) = xpnn.autograd.grad([(y * y).sum()], [x], create_graph=True)
    return gx + places.sum().to(x.dtype) * 1e-3


def _dropped(x: Any) -> Any:
    xpnn.manual_seed(3)
    return F.dropout(x, 0.3)


def _attended(q: Any, k: Any, v: Any, mask: Any) -> Any:
    """With dropout and a mask that has a gradient, and of arrays whose features lie apart."""
    xpnn.manual_seed(3)
    masked = F.scaled_dot_product_attention(q, k, v, mask, 0.3)
    apart = [x[..., ::2] for x in (q, k, v)]
    return masked + F.scaled_dot_product_attention(*apart, is_causal=True).sum(-1, keepdim=True)


def _self_attended(x: Any) -> Any:
    y = self_attention(x, 2, None, 0.0, True, True)
    return y + self_attention(x.transpose(0, 1), 2, None, 0.0, False, False).transpose(0, 1)


def _clipped(*arrays: Any) -> Any:
    """Gradients scaled to a norm, and divided by a scaler's scale."""
    params = [xpnn.tensor(array.detach().array, requires_grad=True) for array in arrays]
    for param in params:
        param.grad = 3 * param.detach()
    norms = [xpnn.optim.clip_grad_norm_(params, 2.0, order) for order in (2.0, 1.0, 3.0, float("inf"))]
    (unscaled, finite) = all_gradients.unscaled([param.grad.array for param in params], 0.25)
    results = sum(xpnn.tensor(array).sum() for array in unscaled) + sum(norms) + xpnn.tensor(finite)
    return results.to(arrays[0].dtype) + 0 * sum(array.sum() for array in arrays)


def _looked_up(w: Any) -> Any:
    return F.embedding(xpnn.tensor(np.asarray([[0, 2, 2], [1, 2, 0]])), w)


def _stepped(kind: str, **options: Any) -> Callable[..., Any]:
    def run(*arrays: Any) -> Any:
        params = [xpnn.tensor(array.detach().array, requires_grad=True) for array in arrays]
        optimizer = getattr(xpnn.optim, kind)(params, **options)
        for _ in range(2):
            for param in params:
                param.grad = xpnn.tensor(param.detach().array * 0.5)
            optimizer.step()
        return sum(param.detach().sum() for param in params) + 0 * sum(array.sum() for array in arrays)

    return run


# What is called, and the shapes of its arguments.
EXERCISES: dict[str, tuple[Callable[..., Any], Shapes]] = {
    "gelu": (F.gelu, ((3, 37),)),
    "elu": (lambda x: F.elu(x, 0.7), ((2, 3, 5),)),
    "relu": (lambda x: F.relu(x.transpose(0, 1)), ((7, 5),)),
    "softmax": (lambda x: F.softmax(x, 1) + F.log_softmax(x, -1), ((2, 37, 3),)),
    "linear": (F.linear, ((5, 7), (3, 7), (3,))),
    "linear of many rows": (F.linear, ((600, 3), (2, 3), (2,))),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (37,), w, b), ((3, 2, 37), (37,), (37,))),
    "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), ((700, 5), (5,))),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), ((3, 4, 5, 3), (4,), (4,))),
    "batch_norm": (_trained_norm, ((3, 4, 5, 7), (3,), (3,), (3, 4, 5, 7))),
    "batch_norm of columns": (
        lambda x, w, b, residual: _trained_norm(x, w.T[0], b.T[1], residual),
        ((3, 4, 5), (3, 2), (3, 2), (3, 4, 5)),
    ),
    "batch_norm of many": (_trained_norm, ((2, 5, 31, 33), (2,), (2,), (2, 5, 31, 33))),
    "cross_entropy": (_entropy, ((7, 5), (5,))),
    "cross_entropy of many": (_entropy, ((1100, 3), (3,))),
    "conv": (lambda x, w, b: F.conv2d(x, w, b, 2, 1, (1, 2)), ((3, 4, 7, 9), (6, 4, 3, 2), (6,))),
    "conv of one cell": (F.conv1d, ((3, 4, 7), (5, 4, 1), (5,))),
    "conv of groups": (lambda x, w: F.conv2d(x, w, None, groups=2), ((2, 4, 5, 5), (6, 2, 3, 3))),
    "depthwise": (lambda x, w, b: F.conv2d(x, w, b, 2, 1, groups=3), ((2, 3, 7, 5), (6, 1, 3, 3), (6,))),
    "max_pool": (_winners, ((2, 3, 7, 5),)),
    "avg_pool": (lambda x: F.avg_pool2d(x, 3, 2, 1), ((2, 3, 7, 5),)),
    "adaptive_pool": (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), ((2, 3, 7, 5),)),
    "dropout": (_dropped, ((5, 7),)),
    "attention": (_attended, ((2, 2, 5, 7), (2, 2, 3, 7), (2, 2, 3, 7), (2, 1, 3))),
    "attention of many": (
        F.scaled_dot_product_attention,
        ((67, 128), (130, 128), (130, 35), (67, 130)),
    ),
    "self-attention": (_self_attended, ((2, 70, 12),)),
    "gradients": (_clipped, ((3, 5), (), (5000,))),
    "embedding": (_looked_up, ((3, 37),)),
    "rnn": (_recurrence("RNN"), _recurrence_shapes(1)),
    "lstm": (_recurrence("LSTM"), _recurrence_shapes(4)),
    "gru": (_recurrence("GRU"), _recurrence_shapes(3)),
    "adam": (_stepped("Adam", lr=0.1, weight_decay=0.1), ((3, 5), (), (5000,))),
    "rprop": (_stepped("Rprop", lr=0.1), ((3, 5), (1,))),
    "sgd": (_stepped("SGD", lr=0.1, momentum=0.9, dampening=0.1), ((3, 5), (1,))),
}


def results_of(name: str, dtype: str) -> list[np.ndarray]:
    """The result of an exercise and the gradients of its arguments."""
    function, shapes = EXERCISES[name]
    rng = np.random.default_rng(0)
    inputs = [xpnn.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]
    y = function(*inputs)
    y.backward(xpnn.tensor(rng.standard_normal(y.shape).astype(dtype)))
    return [y.detach().numpy(), *(x.grad.numpy() for x in inputs if x.grad is not None)]


def main() -> None:
    """Run all of them."""
    with xpnn.use_backend("cupy_like"):
        for name in EXERCISES:
            results_of(name, "float32")
        results_of("gelu", "float16")  # the conversions of half precision
    print(f"{len(cuda_on_cpu.launched)} kernels, {sum(cuda_on_cpu.launched.values())} launches")


if __name__ == "__main__":
    main()
