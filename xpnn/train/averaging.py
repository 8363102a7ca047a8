"""Averages of a model's weights along the training: equal ones, and exponential ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    asarray,
    backend_of,
    device_of,
    is_array,
    is_tensor,
    move,
    namespace,
    no_array,
)
from xpnn.functional.arguments import check_flags
from xpnn.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module, SyncBatchNorm
from xpnn.train.arguments import check_function, check_number

__all__ = [
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, Any], Any]
Averages = Callable[[list[Tensor], list[Tensor], Any], None]

_BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)


class AveragedModel(Module):
    r"""A copy of a model, whose weights are an average of the model's own along the training.

    Args:
        model: the model; `self.module` is its copy.
        device: where the copy is to be, by default beside the model.
        avg_fn: `averaged = avg_fn(averaged, current, num_averaged)` for each parameter; None averages all
            models that were seen equally.
        multi_avg_fn: the same for lists of parameters, in place: `multi_avg_fn(averaged, current, number)`.
        use_buffers: average floating-point buffers too, instead of copying them.

    The first call of `update_parameters` copies the weights, and each later one goes on with

    $$\bar\theta \leftarrow \bar\theta + \frac{\theta - \bar\theta}{n + 1}$$

    or the given function. `module` and `n_averaged` are in its state dict, named as PyTorch names them.

    Raises: ArgumentError for both of avg_fn and multi_avg_fn, and for a model of other parameters.

    See: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization".

    >>> from xpnn import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    >>> for weight in (1.0, 5.0):
    ...     _ = nn.init.constant_(model.weight, weight)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.tolist()
    [[2.0]]
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError(
                "expects at most one of avg_fn and multi_avg_fn, got both", subject="AveragedModel"
            )
        _expect_model(model, "AveragedModel")
        check_function(avg_fn, "avg_fn", "AveragedModel", or_none=True)
        check_function(multi_avg_fn, "multi_avg_fn", "AveragedModel", or_none=True)
        check_flags("AveragedModel", use_buffers=use_buffers)
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device=device)
        self.register_buffer("n_averaged", asarray(0, dtype="int64"))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model makes of its input."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights of `model` into the average."""
        _expect_model(model, "AveragedModel")
        averaged, current = _tensors(self.module, self.use_buffers), _tensors(model, self.use_buffers)
        if [tuple(t.shape) for t in averaged] != [tuple(t.shape) for t in current]:
            raise ArgumentError(
                "expects a model with the parameters that it was made from, got others",
                subject="AveragedModel",
            )
        count = int(self.n_averaged.item())
        beside = [Tensor(_copied_beside(tensor, mean.array)) for mean, tensor in zip(averaged, current)]
        if count == 0:
            for mean, tensor in zip(averaged, beside):
                mean.store(tensor.array)
        else:
            with no_grad():
                self._average(averaged, beside, count)
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers()):
                mine.store(_copied_beside(theirs, mine.array))
        self.n_averaged.store(self.n_averaged.array + 1)

    def _average(self, averaged: list[Tensor], current: list[Tensor], count: int) -> None:
        if self.avg_fn is None:
            (self.multi_avg_fn or get_swa_multi_avg_fn())(averaged, current, count)
            return
        for mean, tensor in zip(averaged, current):
            _put(mean, self.avg_fn(_real(mean), _real(tensor), count))


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An exponential moving average `decay * averaged + (1 - decay) * current`, for `avg_fn`.

    >>> get_ema_avg_fn(0.75)(1.0, 5.0, 1)
    2.0
    """
    if not 0 <= check_number(decay, "decay", "get_ema_avg_fn") <= 1:
        raise ArgumentError(f"expects decay in [0, 1], got {decay}", subject="get_ema_avg_fn")
    return lambda averaged, current, num_averaged: decay * averaged + (1 - decay) * current


def get_swa_avg_fn() -> Average:
    """The mean of all models, for `avg_fn`.

    >>> get_swa_avg_fn()(1.0, 5.0, 3)
    2.0
    """
    return lambda averaged, current, num_averaged: averaged + (current - averaged) / (num_averaged + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """`get_ema_avg_fn` for lists, for `multi_avg_fn`."""
    return _for_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """`get_swa_avg_fn` for lists, for `multi_avg_fn`."""
    return _for_lists(get_swa_avg_fn())


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Find the running statistics of batch norms anew, in one pass over the data.

    Those of an averaged model belong to other weights. All batches count alike.

    Args:
        loader: batches, or tuples and lists whose first element is what the model takes.
        model: the model; each of its modules is in training or evaluation as it was before.
        device: where batches are moved first.

    Raises: DTypeError for a loader that has no batches of arrays, or a model that is no module.

    >>> from xpnn import nn
    >>> model = nn.BatchNorm1d(1)
    >>> update_bn([Tensor([[1.0], [3.0]])], model)
    >>> model.running_mean.tolist()
    [2.0]
    """
    _expect_model(model, "update_bn")
    if not isinstance(loader, Iterable):
        raise DTypeError(f"expects a loader of batches, got {loader!r:.60}", subject="update_bn")
    norms = [module for module in model.modules() if isinstance(module, _BATCH_NORMS)]
    if not norms:
        return
    momenta, modes = [norm.momentum for norm in norms], [(part, part.training) for part in model.modules()]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    try:
        with no_grad():
            for batch in loader:
                batch = batch[0] if isinstance(batch, list | tuple) and batch else batch
                if device is not None and not is_array(batch):
                    raise no_array(batch, "update_bn", "batches")
                tensor = batch if not is_array(batch) or is_tensor(batch) else Tensor(asarray(batch))
                model(tensor if device is None else tensor.to(device=device))
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for part, training in modes:
            part.training = training


def _for_lists(average: Average) -> Averages:
    def update(averaged: list[Tensor], current: list[Tensor], num_averaged: Any) -> None:
        for mean, tensor in zip(averaged, current):
            _put(mean, average(_real(mean), _real(tensor), num_averaged))

    return update


def _expect_model(model: Any, subject: str) -> None:
    if not isinstance(model, Module):
        raise DTypeError(f"expects model as a Module, got {model!r:.60}", subject=subject)


def _real(tensor: Tensor) -> Tensor:
    """Off the tape, and of floating-point numbers if it counts something."""
    is_whole = namespace(tensor.array).isdtype(tensor.array.dtype, ("bool", "integral"))
    return tensor.detach().to("float32") if is_whole else tensor.detach()


def _put(mean: Tensor, value: Any) -> None:
    """Give a Tensor new elements, in the element type that it has."""
    array = value.array if is_tensor(value) else value
    dtype = mean.array.dtype
    mean.store(array if array.dtype == dtype else namespace(array).astype(array, dtype))


def _tensors(model: Module, use_buffers: bool) -> list[Tensor]:
    return [*model.parameters(), *(model.buffers() if use_buffers else ())]


def _copied_beside(tensor: Tensor, like: Any) -> Any:
    """A copy of the elements, which no other Tensor holds, where `like` is and in its element type."""
    moved = move(tensor.array, backend_of(like), device_of(like), like.dtype)
    return namespace(like).asarray(moved, copy=True)
