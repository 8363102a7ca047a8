"""The adaptive softmax: cross entropy of very many classes, of which few are frequent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn.autograd import Tensor, ops
from xpnn.autograd.ops.activation import select
from xpnn.backend import (
    ArgumentError,
    Array,
    ShapeError,
    concrete,
    device_of,
    namespace,
    to_numpy,
)
from xpnn.functional.arguments import (
    as_indices,
    check_indices,
    check_integer,
    number,
    raw_array,
    shape_of,
    whole,
)
from xpnn.nn.containers import ModuleList, Sequential
from xpnn.nn.linear import Linear
from xpnn.nn.module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMOutput(NamedTuple):
    """The log-probability of each target, and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over a short list of frequent classes, and over clusters of rare ones, with its loss.

    ln p(class) = ln p(cluster) + ln p(class | cluster). The head scores the short list and the clusters. A
    cluster's scores are computed for those samples alone whose target is in it, and from fewer features the
    rarer it is. Classes are numbered by frequency, 0 the most frequent.

    Args:
        in_features: the size of the input's last axis.
        n_classes: the number of classes.
        cutoffs: rising numbers in [1, n_classes - 1]: the length of the short list, and where clusters end.
        div_value: cluster i projects to in_features / div_value^i features, i from 1.
        head_bias: whether the head has a bias.
        device, dtype: of the parameters; default is the current backend's device, and float32.

    Shapes: input (N, in_features) and target (N,), or (in_features,) and (); to `output`, shaped as the
    target, and `loss`.

    Raises: ArgumentError for other cutoffs; IndexOutOfRangeError for a target out of range, where it can be
    read.

    See: Grave, Joulin, Cisse, Grangier & Jegou (2017), "Efficient softmax approximation for GPUs".

    >>> from xpnn.autograd import tensor
    >>> layer = AdaptiveLogSoftmaxWithLoss(16, 10, cutoffs=[2, 5])
    >>> output, loss = layer(tensor([[1.0] * 16, [0.0] * 16]), tensor([0, 7]))
    >>> output.shape, loss.shape
    ((2,), ())
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        subject = type(self).__name__
        ends = [whole(cutoff, "cutoffs", subject) for cutoff in cutoffs]
        if not ends or ends != sorted(set(ends)) or ends[0] < 1 or ends[-1] >= n_classes:
            raise ArgumentError(
                f"expects cutoffs as rising integers from 1 to {n_classes - 1}, got {cutoffs!r}",
                subject=subject,
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*ends, n_classes]
        self.div_value = number(div_value, "div_value", subject)
        self.head_bias = head_bias
        self.shortlist_size = ends[0]
        self.n_clusters = len(ends)
        self.head_size = self.shortlist_size + self.n_clusters
        place = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **place)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            features = int(in_features // self.div_value ** (i + 1))
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, features, bias=False, **place),
                    Linear(features, classes, bias=False, **place),
                )
            )

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input: Any, target: Any) -> ASMOutput:
        """Features (N, in_features) and class numbers (N,) to log-probabilities (N,) and their loss."""
        check_integer(target, type(self).__name__, "target")
        if target.ndim > 1 or shape_of(input)[:-1] != shape_of(target) or not input.ndim:
            raise ShapeError(
                "expects an input (N, in_features) and a target (N,), or (in_features,) and (), "
                f"got {shape_of(input)} and {shape_of(target)}",
                subject=type(self).__name__,
            )
        x, labels = input, as_indices(target)
        if not labels.ndim:
            x, labels = ops.expand_dims(x, axis=0), namespace(labels).reshape(labels, (1,))
        self._check_range(labels)
        xp = namespace(labels)
        column = labels
        for i, start in enumerate(self.cutoffs[:-1]):
            column = xp.where(labels >= start, xp.full_like(labels, self.shortlist_size + i), column)
        log_p = F.log_softmax(self.head(x), 1)
        output = ops.squeeze(ops.take_along_axis(log_p, column[:, None] % self.head_size, axis=1), axis=1)
        output = output + (
            self._within_cluster(x, labels) if concrete(labels) else self._in_all_clusters(x, labels)
        )
        loss = -ops.mean(output)
        return ASMOutput(output if target.ndim else ops.squeeze(output, axis=0), loss)

    def log_prob(self, input: Any) -> Tensor:
        """The log-probabilities of all classes, (N, in_features) to (N, n_classes)."""
        log_p = F.log_softmax(self.head(input), 1)
        parts = [log_p[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            of_cluster = log_p[:, self.shortlist_size + i : self.shortlist_size + i + 1]
            parts.append(F.log_softmax(cluster(input), 1) + of_cluster)
        return ops.concat(parts, axis=1)

    def predict(self, input: Any) -> Tensor:
        """The most likely class of each sample, (N, in_features) to (N,)."""
        return ops.argmax(self.log_prob(input), axis=1)

    def _within_cluster(self, x: Any, labels: Array) -> Any:
        """ln p(class | cluster): each cluster is computed for its own samples; 0 in the short list."""
        values, raw = to_numpy(labels), raw_array(x)
        groups = [(values < self.shortlist_size).nonzero()[0]]
        parts: list[Any] = [namespace(raw).zeros(len(groups[0]), dtype=raw.dtype, device=device_of(raw))]
        for cluster, start, end in self._clusters():
            rows = ((values >= start) & (values < end)).nonzero()[0]
            if len(rows):
                place = self._indices(rows.tolist(), labels)
                own = ops.take(labels, place, axis=0) - start
                parts.append(_of_own(cluster, ops.take(x, place, axis=0), own))
            groups.append(rows)
        order = self._indices([row for rows in groups for row in rows.tolist()], labels)
        return ops.take(ops.concat(parts, axis=0), namespace(order).argsort(order), axis=0)

    def _in_all_clusters(self, x: Any, labels: Array) -> Any:
        """The same, where it is not known which samples are whose."""
        total: Any = 0.0
        for cluster, start, end in self._clusters():
            inside = (labels >= start) & (labels < end)
            total = total + select(inside, _of_own(cluster, x, (labels - start) % (end - start)))
        return total

    def _clusters(self) -> Iterator[tuple[Any, int, int]]:
        """Each cluster, with its first class and the one after its last."""
        return zip(self.tail, self.cutoffs[:-1], self.cutoffs[1:], strict=True)

    def _check_range(self, labels: Array) -> None:
        hint = f"There are {self.n_classes} classes"
        check_indices(labels, self.n_classes, type(self).__name__, "target", hint)

    @staticmethod
    def _indices(numbers: list[int], like: Array) -> Array:
        return namespace(like).asarray(numbers, dtype=like.dtype, device=device_of(like))


def _of_own(cluster: Any, x: Any, labels: Array) -> Any:
    """The log-probability within the cluster of each sample's class."""
    log_p = F.log_softmax(cluster(x), 1)
    return ops.squeeze(
        ops.take_along_axis(log_p, namespace(labels).expand_dims(labels, axis=1), axis=1), axis=1
    )
