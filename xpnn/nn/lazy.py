"""Lazy modules: layers that find the size of their input at the first call.

A lazy layer has the parameters of the plain one, not initialised yet. Its first call makes a plain layer of
the size that the input has, takes over that one's values, and becomes of the plain class itself. The
Parameters stay the same objects: an optimizer that was given them before trains them.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.backend import ShapeError, is_floating
from xpnn.nn.module import Module
from xpnn.nn.parameter import (
    Buffer,
    Parameter,
    Uninitialized,
    UninitializedBuffer,
    UninitializedParameter,
    copy_like,
    held_array,
)


class LazyModule(Module):
    """The first base of a lazy class; the second one is the plain class.

    Its arguments are those of the plain class, without the first one, which is the size of the input.

    Attributes:
        becomes: the plain class.
        channel_axis: the axis of the input whose size it is.
        defaults: of arguments that have others than in the plain class.
    """

    becomes: ClassVar[type[Module]]
    channel_axis: ClassVar[int]
    defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "becomes" in vars(cls):
            _, *parameters = inspect.signature(cls.becomes).parameters.values()
            given = [p.replace(default=cls.defaults.get(p.name, p.default)) for p in parameters]
            cls.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        self.arguments = {**self.defaults, **bound.arguments}
        super().__init__(0, **self.arguments)  # type: ignore[call-arg]
        for name, value in list(vars(self).items()):
            if isinstance(value, Parameter):
                setattr(self, name, UninitializedParameter.like(value))
            elif isinstance(value, Buffer) and is_floating(value):
                object.__setattr__(self, name, UninitializedBuffer.like(value))

    def has_uninitialized_params(self) -> bool:
        """Whether parameters or buffers wait for the first call."""
        return any(isinstance(value, Uninitialized) for value in vars(self).values())

    def reset_parameters(self) -> None:
        """Nothing: parameters are drawn at the first call."""

    def forward(self, input: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Become the plain module for inputs like this one, and call that."""
        self.initialize_parameters(input)
        return self.forward(input, *args, **kwargs)

    def initialize_parameters(self, input: Any) -> None:
        """Become the plain module for inputs like this one.

        What a state dict has brought in the meantime stays.
        """
        shape = tuple(input.shape)
        if not -len(shape) <= self.channel_axis < len(shape):
            raise ShapeError(
                f"finds the size of its input on axis {self.channel_axis}, got shape {shape}",
                subject=type(self).__name__,
            )
        size = shape[self.channel_axis]
        if self.has_uninitialized_params():
            plain = self.becomes(size, **self.arguments)  # type: ignore[call-arg]
            for name, value in vars(plain).items():
                mine = vars(self).get(name)
                if isinstance(mine, Uninitialized):
                    mine.store(copy_like(value.array, held_array(mine)))
        setattr(self, next(iter(inspect.signature(self.becomes).parameters)), size)
        del self.arguments
        self.__class__ = self.becomes  # type: ignore[assignment]
