"""The layers of a network at the beginning of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xpnn.nn.summary import summary
from xpnn.train.arguments import check_count
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class ModelSummary(Callback):
    """Show the parts of a module and their parameters before the training.

    Args:
        max_depth: how deep the parts are shown; -1 is all.

    With an `example_input_array` it is the table of `nn.summary`, with shapes and work.
    """

    writes = True

    def __init__(self, max_depth: int = 1) -> None:
        self.max_depth = check_count(max_depth, "max_depth", "ModelSummary", -1)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Print it."""
        if self.max_depth:
            trainer.print(self.text(trainer.lightning_module_or_model))

    def text(self, module: Any) -> str:
        """The table."""
        example = getattr(module, "example_input_array", None)
        if example is not None:
            return str(summary(module, example))
        rows = [("Name", "Type", "Parameters")]
        for path, part in module.named_modules():
            depth = path.count(".") + 1
            if path and (self.max_depth < 0 or depth <= self.max_depth):
                rows.append((path, type(part).__name__, f"{_count(part):,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        total, trainable = _count(module), _count(module, trainable=True)
        rule = "-" * len(lines[0])
        end = f"Parameters: {total:,} ({trainable:,} trainable, {total - trainable:,} frozen)"
        return "\n".join([lines[0], rule, *lines[1:], rule, end])


def _count(module: Any, trainable: bool = False) -> int:
    parameters = [p for p in module.parameters() if p.requires_grad or not trainable]
    return sum(math.prod(parameter.shape) for parameter in parameters)
