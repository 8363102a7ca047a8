"""One line a module: its arguments, what it is given, and PyTorch's module of the same name as the oracle.

`tests/test_modules.py` runs every line. A family names its lines in a list `LAYERS`, beside its `CASES`.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cases.case import family_files

# The shape of an array of normal numbers; or an array; or a function that makes one of a generator; or the
# number of an input before, which is given again; or a tuple of these, which is given as a tuple.
Input = Any


@dataclass(frozen=True, eq=False)
class Layer:
    """A public module with everything that holds it to account; made by `layer`.

    Args:
        name: the name of the class in `xpnn.nn`, and in `torch.nn` if PyTorch has such a module.
        inputs: what it is called with; see `Input`.
        arguments: what it is made with; arrays become the library's, and a Layer a module of it.
        options: keyword arguments of the call.
        differs: what is known to differ from PyTorch: `repr`, what is printed here, `training`, why the
            results in training are others, or `gradient`, why the gradients are: finite differences test
            them then.
        rtol: of outputs and gradients in float64, against PyTorch's.
    """

    name: str
    inputs: tuple[Input, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    differs: dict[str, str] = field(default_factory=dict)
    rtol: float = 1e-9

    def __str__(self) -> str:
        words = [f"{key}={_word(value)}" for key, value in (self.arguments | self.options).items()]
        return f"{self.name}-{','.join(words) or 'default'}"

    def called(self, **options: Any) -> Layer:
        """The same, called with these keyword arguments too."""
        return dataclasses.replace(self, options=options)

    def differing(self, **differs: str) -> Layer:
        """The same, with what is known to differ from PyTorch."""
        return dataclasses.replace(self, differs=differs)

    def within(self, rtol: float) -> Layer:
        """The same, with another relative tolerance."""
        return dataclasses.replace(self, rtol=rtol)

    def make(self, library: Any, as_array: Callable[[np.ndarray], Any]) -> Any:
        """The module of `library`, which is `xpnn.nn` or `torch.nn`; a lazy one has been called once."""

        def made(value: Any) -> Any:
            if isinstance(value, Layer):
                return value.make(library, as_array)
            return as_array(value) if isinstance(value, np.ndarray) else value

        module = getattr(library, self.name)(**{key: made(value) for key, value in self.arguments.items()})
        if self.name.startswith("Lazy"):
            module(*(as_array(x.astype(np.float32)) for x in self.arrays()))
        return module

    def arrays(self, seed: int = 0) -> tuple[Any, ...]:
        """The inputs as NumPy arrays, in nested tuples; the same ones for the same seed."""
        rng = np.random.default_rng(seed)
        arrays: list[Any] = []
        for value in self.inputs:
            arrays.append(arrays[value] if isinstance(value, int) else _array(value, rng))
        return tuple(arrays)


def layer(name: str, *inputs: Input, **arguments: Any) -> Layer:
    """A line: the module `name(**arguments)`, called with `inputs`."""
    return Layer(name, inputs, arguments)


def all_layers() -> Iterator[Layer]:
    """The lines of every family."""
    for name in family_files():
        yield from getattr(importlib.import_module(name), "LAYERS", ())


def _array(value: Input, rng: np.random.Generator) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if callable(value):
        return np.asarray(value(rng))
    if isinstance(value, tuple) and not all(isinstance(size, int) for size in value):
        return tuple(_array(part, rng) for part in value)
    return rng.standard_normal(value)


def _word(value: Any) -> str:
    if isinstance(value, Layer):
        return value.name
    if isinstance(value, tuple | list):
        return "x".join(_word(element) for element in value)
    return "array" if isinstance(value, np.ndarray) else str(value)
