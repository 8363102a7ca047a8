"""The element types that a run computes in: of all of it, or mixed, with weights kept in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from xpnn.amp import GradScaler
from xpnn.autograd import Tensor
from xpnn.autograd.casting import casting
from xpnn.backend import ArgumentError, DTypeError, backend_of, is_floating, namespace
from xpnn.nn import Module
from xpnn.train.structure import map_arrays

_WHOLE = {"64-true": "float64", "32-true": "float32", "16-true": "float16", "bf16-true": "bfloat16"}
_MIXED = {"16-mixed": "float16", "bf16-mixed": "bfloat16"}
_SHORT = {"64": "64-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}


class Precision:
    """How a Trainer computes.

    Args:
        precision: "64-true", "32-true", "16-true", "bf16-true", "16-mixed" or "bf16-mixed"; or 64, 32, 16,
            "bf16", where the latter two are mixed; None changes nothing.

    The true ones make the model, and the floating-point arrays of batches, of that type. The mixed ones
    leave weights and gradients in float32, and run products in half precision, as `xpnn.autocast` does. In
    float16 the loss is scaled.
    """

    def __init__(self, precision: Any = None) -> None:
        name = None if precision is None else _SHORT.get(str(precision), str(precision))
        if name is not None and name not in _WHOLE and name not in _MIXED:
            raise ArgumentError(
                f"expects precision to be one of {', '.join(map(repr, (*_WHOLE, *_MIXED)))}, "
                f"got {precision!r:.60}",
                subject="Trainer",
            )
        self.name = name
        self.whole = _WHOLE.get(name or "")
        self.mixed = _MIXED.get(name or "")
        self.scaler = GradScaler() if self.mixed == "float16" else None

    def convert(self, model: Module) -> None:
        """Give a model the element type of a true precision.

        Raises: DTypeError if its library does not have the type.
        """
        first = next(iter(model.parameters()), None)
        wanted = self.whole or self.mixed
        if wanted is not None and first is not None and not hasattr(namespace(first), wanted):
            raise DTypeError(
                f"precision {self.name!r} asks for {wanted}, which {backend_of(first.array).name} "
                "does not have",
                subject="Trainer",
                hint="Take another precision, or another library by xpnn.set_backend(...)",
            )
        if self.whole is not None:
            model.to(dtype=self.whole)

    def converted(self, batch: Any) -> Any:
        """A batch in the element type of a true precision."""
        if self.whole is None:
            return batch
        return map_arrays(self._cast, batch)

    def forward(self) -> AbstractContextManager[Any]:
        """The context that losses are computed in."""
        return nullcontext() if self.mixed is None else casting({"cpu": self.mixed, "cuda": self.mixed})

    def _cast(self, array: Any) -> Any:
        if not is_floating(array):
            return array
        tensor = array if isinstance(array, Tensor) else Tensor(array)
        return tensor.to(self.whole)
