"""A table of what a network consists of, in the manner of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError, device_of, dtype_named, is_array, namespace
from xpnn.nn.module import Module
from xpnn.nn.parameter import full

__all__ = ["Summary", "SummaryRow", "summary"]


@dataclass(frozen=True)
class SummaryRow:
    """One module: its path, type and depth, the shape of what it last returned, its parameters and work.

    `parameters` and `multiplications` (multiply-accumulate operations) are its own, without its parts'.
    """

    path: str
    kind: str
    depth: int
    output_shape: tuple[int, ...] | None
    parameters: int
    multiplications: int


@dataclass(frozen=True)
class Summary:
    """What `summary` returns; `str()` of it is the table.

    Attributes:
        rows: a SummaryRow for each module, in the order of `named_modules()`.
        parameters, trainable: numbers in all parameters, and in those that require a gradient.
        multiplications: multiply-accumulate operations of linear layers and convolutions in the forward.
        input_shape: the shape of the input that the shapes and the work belong to.
    """

    rows: tuple[SummaryRow, ...]
    parameters: int
    trainable: int
    multiplications: int
    input_shape: tuple[int, ...]

    def __str__(self) -> str:
        titles = ("Layer (type)", "Output shape", "Parameters", "Multiply-adds")
        lines = [titles, *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        text = [_line(cells, widths) for cells in lines]
        rule = "-" * max(map(len, text))
        totals = (
            f"Input: {self.input_shape}",
            f"Parameters: {self.parameters:,} ({self.trainable:,} trainable, "
            f"{self.parameters - self.trainable:,} frozen)",
            f"Multiply-adds: {self.multiplications:,}",
        )
        return "\n".join([text[0], rule, *text[1:], rule, *totals])

    __repr__ = __str__


def summary(model: Module, input: Any) -> Summary:
    """Run a network once and tabulate its layers: output shape, parameters, multiply-accumulate operations.

    Args:
        model: the network; it runs in evaluation mode and without a tape, so that neither its running
            statistics nor the random numbers move, and comes back in the mode that it was in.
        input: the shape of an input with the batch, (1, 3, 32, 32); or an input; or a tuple of inputs.

    Raises: ArgumentError if `input` is neither.

    >>> from xpnn import nn
    >>> print(summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), (1, 4)))
    Layer (type)  Output shape  Parameters  Multiply-adds
    -----------------------------------------------------
    Sequential    (1, 8)
      0 (Linear)  (1, 8)                40             32
      1 (ReLU)    (1, 8)
    -----------------------------------------------------
    Input: (1, 4)
    Parameters: 40 (40 trainable, 0 frozen)
    Multiply-adds: 32
    """
    inputs = inputs_of(model, input)
    shapes: dict[int, tuple[int, ...] | None] = {}
    work: dict[int, int] = {}

    def watch(module: Module, args: tuple, output: Any) -> None:
        shapes[id(module)] = _shape(output)
        count = getattr(module, "multiplications", None)
        if count is not None:
            work[id(module)] = work.get(id(module), 0) + count(args[0], output)

    with evaluating(model), no_grad():
        handles = [module.register_forward_hook(watch) for module in model.modules()]
        try:
            model(*inputs)
        finally:
            for handle in handles:
                handle.remove()
    return Summary(
        tuple(_rows(model, shapes, work)),
        sum(p.size for p in model.parameters()),
        sum(p.size for p in model.parameters() if p.requires_grad),
        sum(work.values()),
        tuple(inputs[0].shape),
    )


def inputs_of(model: Module, given: Any) -> tuple[Any, ...]:
    """The positional arguments to call the model with."""
    if is_array(given):
        return (given,)
    if isinstance(given, tuple | list) and given:
        if all(map(is_array, given)):
            return tuple(given)
        if all(isinstance(size, int) for size in given):
            return (Tensor(_zeros_beside(model, tuple(given))),)
    raise ArgumentError(
        f"expects an input or its shape, got {given!r:.80}",
        subject="summary",
        hint="For example summary(model, (1, 3, 32, 32)), with the batch",
    )


def _zeros_beside(model: Module, shape: tuple[int, ...]) -> Any:
    """Zeros where the model's parameters are."""
    parameter = next(model.parameters(), None)
    if parameter is None:
        return full(shape, 0.0)
    xp = namespace(parameter.array)
    return xp.zeros(shape, dtype=dtype_named(parameter.dtype, xp), device=device_of(parameter.array))


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode inside of the block; afterwards each module has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _rows(model: Module, shapes: dict[int, Any], work: dict[int, int]) -> Iterator[SummaryRow]:
    counted: set[int] = set()
    for path, module in model.named_modules():
        own = {id(p): p.size for p in module.parameters(recurse=False) if id(p) not in counted}
        counted |= own.keys()
        yield SummaryRow(
            path,
            type(module).__name__,
            path.count(".") + 1 if path else 0,
            shapes.get(id(module)),
            sum(own.values()),
            work.get(id(module), 0),
        )


def _shape(output: Any) -> tuple[int, ...] | None:
    """The shape of an output, or of the first of several."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return tuple(output.shape) if is_array(output) else None


def _cells(row: SummaryRow) -> tuple[str, str, str, str]:
    name = row.path.rpartition(".")[2]
    label = f"{'  ' * row.depth}{name} ({row.kind})" if name else row.kind
    return (
        label,
        "" if row.output_shape is None else str(row.output_shape),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiplications:,}" if row.multiplications else "",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    label, shape, *numbers = cells
    text = f"{label:<{widths[0]}}  {shape:<{widths[1]}}"
    for number, width in zip(numbers, widths[2:]):
        text += f"  {number:>{width}}"
    return text.rstrip()
