"""What distributions of a place and a width share."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, together


class Located(InverseSampled):
    """What is drawn at `loc`, stretched by `scale`."""

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale, subject=type(self).__name__)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    def _standard(self, value: Any) -> Tensor:
        return (self.checked(value) - self.loc) / self.scale
