"""Parameters of modules that are computed of others whenever they are read.

The Parameter makes room for a property, which the module gets by becoming of a class of its own.
Parametrizations are made of this and, under the names of old checkpoints, pruning and the old norms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter


class Computed:
    """The base that all these classes have; of each module they know the class that it had before."""

    _plain: type[Module]
    _make: Callable[[str], property]
    _title: str

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        kind: Any = type(self)
        names = [name for name, value in vars(kind).items() if isinstance(value, property)]
        return _rebuild, (kind._plain, names, kind._make, kind._title), vars(self)


def plain_class(module: Module) -> type[Module]:
    """The class that a module had before it got properties."""
    return type(module)._plain if isinstance(module, Computed) else type(module)


def give_properties(
    module: Module, names: Iterable[str], make: Callable[[str], property], title: str = ""
) -> None:
    """Make a module of its class with the properties `make(name)`, of no others; of the plain one for none.

    Args:
        title: what the class's name begins with.
    """
    plain, chosen = plain_class(module), list(names)
    kind = _class_with(plain, chosen, make, title) if chosen else plain
    module.__class__ = kind  # type: ignore[assignment]


def _class_with(plain: type[Module], names: list[str], make: Callable[[str], property], title: str) -> type:
    attributes: dict[str, Any] = {name: make(name) for name in names}
    attributes |= {"_plain": plain, "_make": staticmethod(make), "_title": title}
    attributes |= {"__module__": plain.__module__, "__doc__": plain.__doc__}
    return type(f"{title}{plain.__name__}", (Computed, plain), attributes)


def _rebuild(plain: type[Module], names: list[str], make: Callable[[str], property], title: str) -> Module:
    return object.__new__(_class_with(plain, names, make, title))


class Recomputed:
    """How the Tensor `name` of a module comes of the module's other Tensors: a subclass defines `compute`.

    Modules keep theirs by name in the attribute `recomputed`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Module) -> Tensor:
        """The Tensor, on the tape."""
        raise NotImplementedError


def take_parameter(module: Module, name: str, subject: str) -> Parameter:
    """The Parameter of that name, which the module no longer has then. Raises: ArgumentError without one."""
    parameter = vars(module).get(name) if isinstance(name, str) else None
    if not isinstance(parameter, Parameter):
        raise ArgumentError(f"finds no Parameter '{name}' in {type(module).__name__}", subject=subject)
    delattr(module, name)
    return parameter


def recompute(module: Module, way: Recomputed) -> None:
    """Let a module compute the Tensor that it has no Parameter for."""
    vars(module).setdefault("recomputed", {})[way.name] = way
    give_properties(module, vars(module)["recomputed"], _property)


def way_of(module: Module, kind: type[Recomputed], name: str | None = None) -> Any:
    """How a module computes the Tensor `name`, or any, if it is of that kind; else None."""
    ways: Any = vars(module).get("recomputed", {}).values()
    return next((way for way in ways if isinstance(way, kind) and name in (None, way.name)), None)


def end_recomputing(module: Module, kind: type, name: str, subject: str) -> Any:
    """Take the way of computing a Tensor away, and return it. Raises: ArgumentError if there is none."""
    way = way_of(module, kind, name)
    if way is None:
        raise ArgumentError(f"was not applied to '{name}' of this {type(module).__name__}", subject=subject)
    del vars(module)["recomputed"][name]
    give_properties(module, vars(module)["recomputed"], _property)
    if not vars(module)["recomputed"]:
        delattr(module, "recomputed")
    return way


def restore_parameter(module: Module, name: str, value: Tensor, *gone: str) -> None:
    """Make a plain Parameter of a value again, in place of what it was computed from."""
    for other in gone:
        delattr(module, other)
    module.register_parameter(name, Parameter(value.detach()))


def _property(name: str) -> property:
    return property(lambda module: module.recomputed[name].compute(module))
