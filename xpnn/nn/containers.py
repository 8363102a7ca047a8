"""Containers: modules that hold others, or Parameters, in a chain, a list or a dictionary."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import count
from typing import Any, ClassVar, Generic, Self, SupportsIndex, TypeVar, overload

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError, GradientError, IndexOutOfRangeError, dtype_name
from xpnn.functional.arguments import whole
from xpnn.nn.module import Module, format_module, indent
from xpnn.nn.parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

T = TypeVar("T")


class _Container(Module, Generic[T]):
    """Holds attributes of one kind, in the order of their names' first setting.

    None holds a place, too: `_others` are the names of members that are not of the kind.
    """

    kind: ClassVar[type]

    _others: frozenset[str] = frozenset()

    def _members(self) -> dict[str, Any]:
        others = self._others
        return {
            name: value
            for name, value in vars(self).items()
            if isinstance(value, self.kind) or name in others
        }

    def _add(self, name: str, value: Any) -> None:
        self._register(name, value, self.kind)
        self._note(name, value)

    def _note(self, name: str, value: Any) -> None:
        """Keep the name of a member that its kind does not show."""
        others = self._others - {name}
        if not isinstance(value, self.kind):
            others |= {name}
        if others != self._others:
            self._others = others

    def __len__(self) -> int:
        return len(self._members())


class _List(_Container[T]):
    """What `Sequential`, `ModuleList` and `ParameterList` share: members named "0", "1", ..."""

    def __iter__(self) -> Iterator[T]:
        return iter(self._members().values())

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: Any) -> Any:
        """A member, or a new container with those of a slice."""
        if isinstance(index, slice):
            return type(self)(list(self)[index])  # type: ignore[call-arg]
        return getattr(self, self._name_at(index))

    def __setitem__(self, index: int, value: T) -> None:
        name = self._name_at(index)
        self._leave_out(name)  # it keeps its place among the names
        vars(self)[name] = None
        self._add(name, value)

    def __iadd__(self, values: Iterable[T]) -> Self:
        return self.extend(values)

    def pop(self, index: int | slice) -> Any:
        """Take a member out and return it; the others close ranks."""
        value = self[index]
        del self[index]
        return value

    def __delitem__(self, index: int | slice) -> None:
        """Take members out; the others close ranks."""
        names = list(self._members())
        gone = names[index] if isinstance(index, slice) else [self._name_at(index)]
        self._arrange({name: value for name, value in self._members().items() if name not in gone})

    def append(self, value: T) -> Self:
        """Add a member at the end, under the first number from its position on that is free."""
        members = self._members()
        self._add(next(str(i) for i in count(len(members)) if str(i) not in members), value)
        return self

    def extend(self, values: Iterable[T]) -> Self:
        """Add members at the end."""
        if not isinstance(values, Iterable):
            raise DTypeError(
                f"expects several members to add, got {type(values).__name__}", subject=type(self).__name__
            )
        for value in list(values):
            self.append(value)
        return self

    def insert(self, index: int, value: T) -> Self:
        """Add a member in front of the one at `index`."""
        members = list(self._members().items())
        if not -len(members) <= index <= len(members):
            raise IndexOutOfRangeError(
                f"has {len(members)} members, nothing can be inserted at {index}", subject=type(self).__name__
            )
        members.insert(index, (str(len(members)), value))
        self._arrange(dict(members))
        return self

    def _name_at(self, index: int) -> str:
        names = list(self._members())
        try:
            return names[operator.index(index)]
        except IndexError:
            raise IndexOutOfRangeError(
                f"has {len(names)} members, there is no number {index}", subject=type(self).__name__
            ) from None

    def _arrange(self, members: dict[str, T]) -> None:
        """Make these the members; where all names are numbers, they are dealt out anew from 0."""
        for name in self._members():
            delattr(self, name)
        self._others = frozenset()
        numbered = all(name.isdecimal() for name in members)
        for i, (name, value) in enumerate(members.items()):
            self._add(str(i) if numbered else name, value)


class _Dict(_Container[T]):
    """What `ModuleDict` and `ParameterDict` share: members under names of their own."""

    def __init__(self, members: Mapping[str, T] | Iterable[tuple[str, T]] | None = None) -> None:
        if members is not None:
            self.update(members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members())

    def __contains__(self, key: object) -> bool:
        return key in self._members()

    def __getitem__(self, key: str) -> T:
        return self._members()[key]

    def __setitem__(self, key: str, value: T) -> None:
        if not isinstance(key, str):
            raise DTypeError(f"expects a name, got {type(key).__name__}", subject=type(self).__name__)
        self._add(key, value)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._members()))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._members().keys()

    def values(self) -> ValuesView[T]:
        """The members."""
        return self._members().values()

    def items(self) -> ItemsView[str, T]:
        """Names and members."""
        return self._members().items()

    def pop(self, key: str) -> T:
        """Take a member out and return it."""
        value = self._members()[key]
        delattr(self, key)
        self._others -= {key}
        return value

    def clear(self) -> None:
        """Take all members out."""
        for key in self._members():
            self.pop(key)

    def update(self, members: Mapping[str, T] | Iterable[tuple[str, T]]) -> None:
        """Set members under their names; those of a plain dictionary in its order."""
        if not isinstance(members, Iterable):
            raise DTypeError(
                f"expects a dictionary or pairs of names and members, got {type(members).__name__}",
                subject=type(self).__name__,
            )
        pairs = members.items() if isinstance(members, Mapping | _Dict) else members
        for key, value in pairs:
            self[key] = value


class Sequential(_List[Module]):
    """Calls its modules one after the other, each on the output of the one before.

    Args:
        args: the modules, which are named "0", "1", ...; or one OrderedDict of names and modules.

    >>> from xpnn import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> net.append(nn.Linear(3, 2))[0]
    Linear(in_features=4, out_features=3, bias=True)
    """

    kind = Module

    def __init__(self, *args: Any) -> None:
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else enumerate(args)
        for name, module in named:
            self._add(str(name), module)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: Any) -> Any:
        """A module, or a new Sequential with those of a slice under their old names."""
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._members().items())[index]))
        return super().__getitem__(index)

    def __add__(self, other: Any) -> Sequential:
        """A chain of the modules of both."""
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        """A chain that goes through the same modules several times."""
        return Sequential(*list(self) * self._times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self) * (self._times(times) - 1))

    def _times(self, times: int) -> int:
        number = whole(times, "a factor", "Sequential")
        if number < 1:
            raise ArgumentError(f"expects a factor of at least 1, got {number}", subject="Sequential")
        return number

    def forward(self, input: Any) -> Tensor:
        """The output of the last module."""
        for module in self:
            if module is None:
                raise DTypeError("cannot call None", subject="Sequential", hint="Use nn.Identity()")
            input = module(input)
        return input


class ModuleList(_List[Module]):
    """A list of modules, named "0", "1", ...; it has no forward of its own.

    >>> from xpnn import nn
    >>> nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
    ModuleList(
      (0-1): 2 x Linear(in_features=4, out_features=4, bias=True)
    )
    """

    kind = Module

    def __init__(self, modules: Iterable[Any] | None = None) -> None:
        self.extend(() if modules is None else modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """As PyTorch's: equal neighbours share a line."""
        runs: list[list[Any]] = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [
            f"({first}): {indent(text)}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {indent(text)}"
            for first, last, text in runs
        ]
        return format_module(type(self).__name__, [], lines)


class ModuleDict(_Dict[Module]):
    """A dictionary of modules; it has no forward of its own.

    >>> from xpnn import nn
    >>> heads = nn.ModuleDict({"digit": nn.Linear(8, 10), "parity": nn.Linear(8, 2)})
    >>> list(heads), "digit" in heads, list(heads.state_dict())[0]
    (['digit', 'parity'], True, 'digit.weight')
    """

    kind = Module

    def __repr__(self) -> str:
        """As PyTorch's: None is shown, too."""
        lines = [f"({name}): {indent(repr(part))}" for name, part in self.items()]
        return format_module(type(self).__name__, [], lines)


class _Values(_Container[Parameter]):
    """What `ParameterList` and `ParameterDict` share: Tensors become Parameters, other values stay."""

    kind = Tensor  # for `functional_call` puts plain Tensors in the place of Parameters

    def _add(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        self._register(name, value, object)
        self._note(name, value)

    def __repr__(self) -> str:
        """As PyTorch's: the element types and shapes of Parameters, and the types of other values."""
        lines = []
        for name, value in self._members().items():
            text = f"Object of type: {type(value).__name__}"
            if isinstance(value, Parameter):
                size = "x".join(map(str, value.shape))
                text = f"Parameter containing: [{dtype_name(value.dtype)} of size {size}]"
            lines.append(f"  ({name}): {text}")
        return format_module(type(self).__name__, [], lines)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Is refused: it only holds Parameters."""
        raise GradientError("holds Parameters and cannot be called", subject=type(self).__name__)


class ParameterList(_Values, _List[Parameter]):
    """A list of Parameters, named "0", "1", ...; Tensors become Parameters, other values stay as they are.

    >>> from xpnn import nn
    >>> [name for name, _ in nn.ParameterList([nn.Parameter([1.0]), nn.Parameter([2.0])]).named_parameters()]
    ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.extend(() if values is None else values)


class ParameterDict(_Values, _Dict[Parameter]):
    """A dictionary of Parameters; Tensors become Parameters, other values stay as they are.

    >>> from xpnn import nn
    >>> list(nn.ParameterDict({"scale": nn.Parameter([1.0])}).state_dict())
    ['scale']
    """

    def get(self, key: str, default: Any = None) -> Any:
        """A member, or `default` if there is none of the name."""
        return self._members().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """A member; where there is none of the name, `default` becomes it."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Any]:
        """Take the member out that came last, and return it with its name."""
        key = next(reversed(self))
        return key, self.pop(key)

    def copy(self) -> ParameterDict:
        """Another dictionary of the same Parameters."""
        return ParameterDict(self._members())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A dictionary that has one value under all names."""
        return ParameterDict((key, default) for key in keys)

    def __or__(self, other: Mapping[str, Any]) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: Mapping[str, Any]) -> ParameterDict:
        made = ParameterDict(other)
        made.update(self._members())
        return made

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self
