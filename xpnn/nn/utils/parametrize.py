"""Parametrizations: a parameter that is computed of others, anew each time that it is read.

    parametrize.register_parametrization(layer, "weight", Symmetric())

`layer.weight` is then `Symmetric()(original)`, and the original is what is trained: it stands in
`layer.parametrizations.weight.original`, as in PyTorch's state dicts. The module becomes of a class of its
own, which has a property of the name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError, DTypeError, ShapeError
from xpnn.nn.containers import ModuleDict, ModuleList
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer, Parameter
from xpnn.nn.utils.recomputed import give_properties, plain_class

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]


class _Cache(threading.local):
    """What `cached` keeps, for each thread."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[int, str], Any] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized Tensor once inside of the block, however often it is read.

    >>> from xpnn import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    >>> with cached():
    ...     layer.weight is layer.weight
    True
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one Tensor, and what it is computed of.

    Attributes:
        original: the Parameter or Buffer; `original0`, `original1` ... where the first parametrization's
            `right_inverse` gives several.
    """

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        new: Any = original
        with no_grad():
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:  # which some options of a parametrization have
                        continue
        self.is_tensor = not isinstance(new, tuple | list)
        if self.is_tensor:
            self.original = self._held(new, original)
        else:
            self.ntensors = len(new)
            for i, value in enumerate(new):
                setattr(self, f"original{i}", self._held(value, original))

    @staticmethod
    def _held(value: Tensor, like: Tensor) -> Tensor:
        if value is like:
            return like
        if isinstance(like, Parameter):
            return Parameter(value.detach(), like.requires_grad)
        return Buffer(value.detach())

    def originals(self) -> list[Tensor]:
        """What the Tensor is computed of."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Any) -> None:
        """Give the originals the values of which the Tensor `value` comes."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise ArgumentError(
                        f"cannot be assigned to: {type(module).__name__} defines no right_inverse()",
                        subject="A parametrized Tensor",
                    )
                value = module.right_inverse(value)
            for original, new in zip(self.originals(), [value] if self.is_tensor else value, strict=True):
                original.copy_(new)

    def forward(self) -> Tensor:  # type: ignore[override]
        """The Tensor that the parametrizations make of the originals."""
        first, *rest = self
        value = first(*self.originals())
        for module in rest:
            value = module(value)
        return value


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a Parameter or Buffer of a module by a parametrization, which is a module itself.

    Args:
        module: becomes of a class of its own.
        tensor_name: which Tensor. Of one that is parametrized already, it is the next step, whose
            `right_inverse` is only called where the Tensor is assigned to.
        parametrization: `forward(original)` gives the Tensor. Where it defines `right_inverse(value)`, that
            gives the original, or several, which `forward` then takes; else the original is the old value.
        unsafe: whether the Tensor may have another shape and element type than before.

    Returns: the module.

    Raises: ArgumentError if there is no such Tensor; ShapeError or DTypeError for another shape or element
    type; nothing is changed then.

    >>> from xpnn import nn
    >>> class Positive(nn.Module):
    ...     def forward(self, x):
    ...         return x.exp()
    >>> layer = register_parametrization(nn.Linear(2, 1), "weight", Positive())
    >>> [name for name, _ in layer.named_parameters()], bool((layer.weight > 0).all())
    (['bias', 'parametrizations.weight.original'], True)
    """
    subject = "register_parametrization"
    if is_parametrized(module, tensor_name):
        with no_grad():
            value = getattr(module, tensor_name)
            inverse = getattr(parametrization, "right_inverse", lambda value: value)
            if not unsafe:
                _check_like(value, parametrization(inverse(value)), subject)
        module.parametrizations[tensor_name].append(parametrization)
        return module
    original = vars(module).get(tensor_name)
    if not isinstance(original, Parameter | Buffer):
        raise ArgumentError(
            f"finds no Parameter or Buffer '{tensor_name}' in {type(module).__name__}", subject=subject
        )
    made = ParametrizationList([parametrization], original, unsafe)
    made.training = module.training
    if not unsafe:
        with no_grad():
            _check_like(original, made(), subject)
    delattr(module, tensor_name)
    if not isinstance(vars(module).get("parametrizations"), ModuleDict):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    give_properties(module, vars(module).get("parametrizations", ()), _property, "Parametrized")
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrized Tensors, or one of that name."""
    parts = vars(module).get("parametrizations")
    if not isinstance(parts, ModuleDict) or not len(parts):
        return False
    return tensor_name is None or tensor_name in parts


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a plain Parameter or Buffer of a parametrized Tensor again.

    Args:
        module: the module.
        tensor_name: which Tensor.
        leave_parametrized: whether it keeps the values that it had; else those of the original come back.

    Returns: the module, of its old class where nothing else is parametrized.

    Raises: ArgumentError if it is not parametrized, or for leave_parametrized=False and several originals.

    >>> from xpnn import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1))
    >>> type(remove_parametrizations(layer, "weight")).__name__, sorted(layer.state_dict())
    ('Linear', ['bias', 'weight'])
    """
    subject = "remove_parametrizations"
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(f"finds no parametrized Tensor '{tensor_name}'", subject=subject)
    parts: ParametrizationList = module.parametrizations[tensor_name]
    originals = parts.originals()
    if not leave_parametrized and not parts.is_tensor:
        raise ArgumentError("cannot bring back one Tensor of several originals", subject=subject)
    kept = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach()
        if parts.is_tensor and value.shape == kept.shape and value.dtype == kept.dtype:
            kept.store(value.clone().array)  # the same object, which an optimizer may hold
        elif isinstance(kept, Parameter):
            kept = Parameter(value.clone(), kept.requires_grad)
        else:
            kept = Buffer(value.clone())
    module.parametrizations.pop(tensor_name)
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
    give_properties(module, vars(module).get("parametrizations", ()), _property, "Parametrized")
    setattr(module, tensor_name, kept)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before anything of it was parametrized."""
    return plain_class(module)


def _check_like(value: Tensor, made: Any, subject: str) -> None:
    if not isinstance(made, Tensor):
        raise DTypeError(
            f"expects a parametrization to give a Tensor, got {type(made).__name__}", subject=subject
        )
    if made.shape != value.shape:
        raise ShapeError(f"expects the shape {value.shape}, got {made.shape}; see `unsafe`", subject=subject)
    if made.dtype != value.dtype:
        raise DTypeError(f"expects {value.dtype}, got {made.dtype}; see `unsafe`", subject=subject)


def _property(name: str) -> property:
    def read(self: Any) -> Any:
        if not _cache.depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache.values:
            _cache.values[key] = self.parametrizations[name]()
        return _cache.values[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)
