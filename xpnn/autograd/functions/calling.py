"""What all of PyTorch's functions share: how they are called, as functions, as methods and in place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from xpnn.autograd.core import TensorBase, as_array, new_tensor
from xpnn.backend import (
    REFUSALS,
    ArgumentError,
    DTypeError,
    admit,
    explain_refusal,
    is_array,
    python_scalar,
)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Tensor = TypeVar("_Tensor")
_P = ParamSpec("_P")

# NumPy's words for PyTorch's arguments.
_SYNONYMS = {"dim": "axis", "keepdim": "keepdims", "dims": "axis"}

# What is no array, and holds none.
_PLAIN = frozenset((bool, int, float, complex, str, type(None), slice, type))


def front(function: _Function) -> _Function:
    """Decorate a function of Tensors that PyTorch has under the same name.

    The function sees Tensors and Python's numbers, whatever it is given: raw arrays are wrapped, alone or in
    lists, and where no Tensor was given its results are raw arrays too. NumPy's scalars become Python's.
    `axis` and `keepdims` mean `dim` and `keepdim`. `out=` is refused.

    >>> import numpy as np
    >>> @front
    ... def twice(input, dim=0):
    ...     return input * 2
    >>> twice(np.ones(2), axis=1).tolist()
    [2.0, 2.0]
    """
    name = function.__name__
    parameters = list(inspect.signature(function).parameters)
    synonyms = {_SYNONYMS[word]: word for word in parameters if word in _SYNONYMS}
    takes_out = "out" in parameters
    needs_array = parameters[0] in ("input", "tensors")

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            if options and (not takes_out or synonyms):
                options = _renamed(options, synonyms, name, takes_out)
            if len(args) == 1 and not options and isinstance(args[0], TensorBase):
                return function(*args)
            seen = _Seen(name)
            args = tuple([seen.admitted(value) for value in args])
            options = {key: seen.admitted(value) for key, value in options.items()}
            if needs_array and not (seen.tensors or seen.arrays):
                _refuse(args[0] if args else options.get(parameters[0]), name, parameters[0])
            result = function(*args, **options)
        except REFUSALS as error:
            explain_refusal(error, name, args, options)
            raise
        return _raw(result) if seen.arrays and not seen.tensors else result

    return call  # type: ignore[return-value]


def in_place(function: Callable[Concatenate[Any, _P], Any]) -> Callable[Concatenate[_Tensor, _P], _Tensor]:
    """The method that looks like writing the result of `function` into its Tensor: `x.exp_()` of `exp`.

    It makes a new array and rebinds the Tensor to it, as the operators do (see `tensor.py`): views and what
    shares the Tensor's elements see the change. The element type stays, and must be of a kind that takes the
    result. Returns the Tensor itself.
    """
    name = f"{function.__name__}_"  # type: ignore[attr-defined]

    def write(self: Any, *args: _P.args, **options: _P.kwargs) -> Any:
        return self._rebind(function(self, *args, **options), name)

    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"`{function.__name__}` in place: becomes the result, and returns itself."  # type: ignore[attr-defined]
    return write


class _Seen:
    """The arguments of a call as the function sees them, and what there was among them."""

    __slots__ = ("arrays", "name", "tensors")

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays = self.tensors = False

    def admitted(self, value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        if isinstance(value, TensorBase):
            self.tensors = True
            return value
        value = python_scalar(value)
        if is_array(value):
            self.arrays = True
            return new_tensor(as_array(admit(value, self.name)))
        if type(value) in (list, tuple):
            return type(value)([self.admitted(part) for part in value])
        return value


def _renamed(options: dict[str, Any], synonyms: Mapping[str, str], name: str, takes_out: bool) -> dict:
    """The keyword arguments under PyTorch's names."""
    if "out" in options and not takes_out:
        options = dict(options)
        if options.pop("out") is not None:
            raise ArgumentError(
                "does not write into `out`: Tensors are values",
                subject=name,
                hint=f"Write y = {name}(...) instead, or y.copy_({name}(...)) to keep the Tensor y",
            )
    for synonym, word in synonyms.items():
        if synonym in options:
            if word in options:
                raise ArgumentError(f"expects either {word} or {synonym}, got both", subject=name)
            options = {word if key == synonym else key: value for key, value in options.items()}
    return options


def _refuse(value: Any, name: str, parameter: str) -> None:
    raise DTypeError(
        f"expects a Tensor or an array as {parameter}, got {type(value).__name__}: {value!r:.60}",
        subject=name,
        hint="Convert it with xpnn.tensor(...)",
    )


def _raw(result: Any) -> Any:
    """The results as raw arrays."""
    if isinstance(result, TensorBase):
        return result.array
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*map(_raw, result))
    if type(result) in (list, tuple):
        return type(result)(map(_raw, result))
    return result
