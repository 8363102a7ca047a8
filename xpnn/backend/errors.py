"""The errors of xpnn: each says what was expected, what came, where, and what to do.

Every class derives from `XpnnError` and from the builtin that PyTorch or NumPy would raise, so that
`except ValueError` written for those libraries catches it too.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 2000  # characters of a problem that are shown
_NUMBERED = re.compile(r"(.*?)(\d{0,9})", re.DOTALL)  # a name, and the number at its end


class XpnnError(Exception):
    """An error that reads `<subject> <problem>. <hint>`.

    Args:
        problem: what was expected and what came, a clause whose grammatical subject is `subject`.
        subject: the function or module that was called. `nn.Module` replaces it by the module's class
            and path (`Conv2d 'features.3'`) as the error passes through.
        hint: what to do about it, a full sentence.

    >>> str(ShapeError("expects 3 channels, got 4", subject="conv2d", hint="Did you mean groups=2?"))
    'conv2d expects 3 channels, got 4. Did you mean groups=2?'
    """

    def __init__(self, problem: str, *, subject: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.subject = subject
        self.hint = hint
        self.module: Any = None  # the innermost nn.Module that it passed through, its class and its path
        self.module_class = ""
        self.module_path: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The module it was raised in, as `Conv2d 'features.3'`; empty outside of modules."""
        path = f" '{'.'.join(self.module_path)}'" if self.module_path else ""
        return f"{self.module_class}{path}"

    def __str__(self) -> str:
        subject = self.place or self.subject
        problem = self.problem if len(self.problem) <= _LONGEST else f"{self.problem[:_LONGEST]} [...]"
        text = f"{subject} {problem}" if subject else problem
        text = f"{text}. {self.hint}" if self.hint else text
        return "\n".join(printable(line) for line in text.split("\n"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._rebuild, (type(self), self.problem, {**self.__dict__, "module": None})

    @staticmethod
    def _rebuild(cls: type[XpnnError], problem: str, state: dict[str, Any]) -> XpnnError:
        error = cls(problem)
        error.__dict__.update(state)
        return error


def printable(text: str) -> str:
    """`text` with escapes for what must not reach a terminal: names out of files may hold its commands.

    >>> print(printable("name" + chr(27) + "[2J"))
    name\\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that was probably meant, for an error's hint; empty if none is near.

    >>> nearest("resnet21", ["resnet101", "resnet20", "lenet"]), nearest("lenat", ["resnet20", "lenet"])
    ('resnet20', 'lenet')
    """
    by_lower = {name.lower(): name for name in names}
    letters, number = _NUMBERED.fullmatch(word.lower()).groups()  # type: ignore[union-attr]
    numbers = [name[len(letters) :] for name in by_lower if name.startswith(letters)]
    numbers = [text for text in numbers if text.isdecimal()]
    if letters and number and numbers:
        return by_lower[letters + min(numbers, key=lambda text: (abs(int(text) - int(number)), int(text)))]
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else ""


@contextmanager
def errors_naming(path: str | os.PathLike[str], *others: str | os.PathLike[str]) -> Iterator[None]:
    """Let OSErrors of this block name `path` that name no file ("No space left ..."), or one of `others`.

    >>> with errors_naming("model.safetensors"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
        ...
    OSError: [Errno 28] No space left on device: 'model.safetensors'
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, *map(str, others)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


class ShapeError(XpnnError, ValueError, RuntimeError):
    """Sizes or ranks that do not fit together; NumPy raises the one builtin, PyTorch the other."""


class RankError(ShapeError, AttributeError):
    """An attribute that only arrays of another number of axes have; `hasattr` answers False."""


class DTypeError(XpnnError, TypeError):
    """A value of the wrong type: integers where floats are needed, a list where an array is."""


class KindError(DTypeError, AttributeError):
    """An attribute that only arrays of another kind of numbers have; `hasattr` answers False."""


class ArgumentError(XpnnError, ValueError):
    """An argument outside of its domain: a negative stride, an unknown reduction, a label out of range."""


class LinAlgError(ArgumentError, RuntimeError):
    """A matrix that is singular or not positive definite, where it must not be."""


class IndexOutOfRangeError(XpnnError, IndexError):
    """A label or an index outside of the range that it points into."""


class BackendError(XpnnError, RuntimeError):
    """An array library that is unknown, not installed, or without a usable device."""


class BackendMismatchError(XpnnError, TypeError):
    """Arrays of two libraries or two devices in one operation."""


class GradientError(XpnnError, RuntimeError):
    """A gradient that was asked for and cannot be had: no rule, a freed graph, an output without a tape."""


class ViewError(XpnnError, RuntimeError):
    """A view that cannot be had without a copy, or that cannot be written into."""


class AnomalyError(XpnnError, FloatingPointError):
    """The first NaN or infinity, found by `detect_anomaly`; names the operation and the module."""

    @property
    def place(self) -> str:
        """The operation and the module it ran in, as `conv2d in Conv2d 'features.3'`."""
        return f"{self.subject} in {super().place}" if self.module_class else ""


class MissingDependencyError(XpnnError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


class ProcessError(XpnnError, RuntimeError):
    """Processes that do not fit together: not started, or of different minds."""


class DataError(XpnnError, ValueError):
    """A data file that is missing, cut short or not what its name says."""


class CheckpointError(XpnnError, ValueError, RuntimeError):
    """A checkpoint that is damaged or belongs to another model."""


class MissingFileError(CheckpointError, FileNotFoundError):
    """A checkpoint that is not there."""
