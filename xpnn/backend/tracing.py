"""Compilation, where a library can trace a function: what `xpnn.compile` stands on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.backend.registry import Backend, find_backend


class Compiler(NamedTuple):
    """A library's just-in-time compiler.

    Attributes:
        compile: takes a pure function of arrays in nested lists and dicts and returns its compiled form,
            which destroys the arrays of the first argument, to write its results there.
        refusals: what it raises when the function asks for a value that is not known while tracing.
    """

    compile: Callable[[Callable[..., Any]], Callable[..., Any]]
    refusals: tuple[type[Exception], ...]


def compiler_of(backend: Backend) -> Compiler | None:
    """The compiler of a library, or None if it has none that traces.

    >>> compiler_of(find_backend("numpy"))
    """
    make = backend.extra.get("compiler")
    return None if make is None else make()


def _jax_compiler() -> Compiler:
    jax = importlib.import_module("jax")
    errors = importlib.import_module("jax.errors")
    return Compiler(
        compile=lambda function: jax.jit(function, donate_argnums=(0,)),
        refusals=(errors.JAXTypeError, errors.JAXIndexError),
    )


find_backend("jax").extra["compiler"] = _jax_compiler
