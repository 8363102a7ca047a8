"""Settings that hold inside of a block: context managers that can be kept, nested, and decorate functions."""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

from xpnn.backend.errors import DTypeError

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Scope(Generic[_T]):
    """What a function marked `scoped` returns: the setting, for a `with` block or a decorated function.

    One object may be entered again and again, inside of itself, and in several threads.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[_T]]) -> None:
        self._make = make
        self._entered: list[tuple[int, AbstractContextManager[_T]]] = []  # by thread

    def __enter__(self) -> _T:
        block = self._make()
        value = block.__enter__()
        self._entered.append((threading.get_ident(), block))
        return value

    def __exit__(self, *exception: Any) -> None:
        thread = threading.get_ident()
        mine = [entry for entry in self._entered if entry[0] == thread]
        entry = (mine or self._entered)[-1]  # a generator may be closed by another thread
        self._entered.remove(entry)
        entry[1].__exit__(*exception)

    def __call__(self, function: Callable) -> Callable:
        """Decorate a function."""
        return covering(function, self._make)


def scoped(function: Callable[_P, Iterator[_T]]) -> Callable[_P, Scope[_T]]:
    """Decorate a generator function with one `yield`, as for `contextlib.contextmanager`.

    >>> @scoped
    ... def saying(word):
    ...     print(word)
    ...     yield
    >>> hello = saying("hello")
    >>> with hello, hello:
    ...     pass
    hello
    hello
    """

    @functools.wraps(function)
    def make(*args: _P.args, **options: _P.kwargs) -> Scope[_T]:
        return Scope(functools.partial(contextmanager(function), *args, **options))

    return make


def covering(function: Callable, make: Callable[[], AbstractContextManager]) -> Callable:
    """The function with its body inside of a block; of a generator or coroutine, each stretch of it.

    Between two stretches the setting is that of whoever runs then.
    """
    if inspect.isasyncgenfunction(function):
        raise DTypeError(
            f"cannot decorate '{function.__qualname__}', an asynchronous generator",
            hint="Use a `with` block in it that has no `yield` inside",
        )
    wrapper: Any
    if inspect.isgeneratorfunction(function):

        def wrapper(*args: Any, **options: Any) -> Any:
            return (yield from _in_stretches(function(*args, **options), make))

    elif inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **options: Any) -> Any:
            return await types.coroutine(_in_stretches)(function(*args, **options), make)

    else:

        def wrapper(*args: Any, **options: Any) -> Any:
            with make():
                return function(*args, **options)

    return functools.wraps(function)(wrapper)


def remove_last(stack: list, entry: Any) -> None:
    """Take an entry out of a stack, wherever it is: generators leave blocks in any order."""
    for index in reversed(range(len(stack))):
        if stack[index] is entry:
            del stack[index]
            return


def _in_stretches(inner: Any, make: Callable[[], AbstractContextManager]) -> Any:
    """Run a generator or coroutine, each stretch up to its next `yield` inside of a block of its own."""
    resume: Callable[[], Any] = functools.partial(inner.send, None)
    try:
        while True:
            try:
                with make():
                    given = resume()
            except StopIteration as end:
                return end.value
            try:
                resume = functools.partial(inner.send, (yield given))
            except GeneratorExit:
                raise
            except BaseException as error:
                resume = functools.partial(inner.throw, error)
    finally:
        with make():
            inner.close()
