"""Calling a module with other parameters than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError, is_tensor
from xpnn.nn.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with Tensors in place of some of its Parameters and Buffers; it stays as it is.

    Args:
        module: the module.
        parameters_and_buffers: Tensors or arrays by dotted name, or several such dictionaries.
        args: the positional arguments, a tuple of them or one.
        kwargs: the keyword arguments.
        tie_weights: whether a Tensor is also taken for the other names of a shared Parameter.
        strict: whether every Parameter and Buffer has to be given.

    Returns: what the module returns; gradients go to the Tensors that were given.

    Raises: ArgumentError for a name that the module does not have, and with `strict` for one that is missing.

    >>> import xpnn
    >>> layer = xpnn.nn.Linear(1, 1, bias=False)
    >>> functional_call(layer, {"weight": xpnn.tensor([[3.0]])}, xpnn.tensor([2.0])).tolist()
    [6.0]
    """
    given = (
        [parameters_and_buffers] if isinstance(parameters_and_buffers, Mapping) else parameters_and_buffers
    )
    if not isinstance(module, Module):
        raise DTypeError(f"expects a Module, got {module!r:.60}", subject="functional_call")
    if not isinstance(given, list | tuple) or not all(isinstance(mapping, Mapping) for mapping in given):
        raise DTypeError(
            f"expects parameters_and_buffers by name, got {parameters_and_buffers!r:.60}",
            subject="functional_call",
        )
    tensors = {name: value for mapping in given for name, value in mapping.items()}
    places = _places(module)
    unknown, missing = [name for name in tensors if name not in places], []
    if strict:
        missing = [name for name in places if name not in tensors]
    if unknown or missing:
        raise ArgumentError(
            f"finds unexpected names {unknown} and misses {missing} in {type(module).__name__}",
            subject="functional_call",
        )
    if tie_weights:
        by_place = {id(vars(places[name][0])[places[name][1]]): value for name, value in tensors.items()}
        for name, (part, attribute) in places.items():
            shared = by_place.get(id(vars(part)[attribute]))
            if shared is not None:
                tensors.setdefault(name, shared)
    words = args if isinstance(args, tuple) else () if args is None else (args,)
    held = {name: vars(places[name][0])[places[name][1]] for name in tensors}
    try:
        for name, value in tensors.items():
            part, attribute = places[name]
            vars(part)[attribute] = value if is_tensor(value) else Tensor(value)
        return module(*words, **(kwargs or {}))
    finally:
        for name, value in held.items():
            part, attribute = places[name]
            vars(part)[attribute] = value


def _places(module: Module) -> dict[str, tuple[Module, str]]:
    """Where each Parameter and Buffer stands, by dotted name."""
    places = {}
    for path, part in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name in (*part._parameters, *part._buffers):
            places[prefix + name] = (part, name)
    return places
