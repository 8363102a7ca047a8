"""What a module or data module was built with, kept for its checkpoints: `save_hyperparameters`."""

from __future__ import annotations

import argparse
import copy
import inspect
import json
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from xpnn.backend import ArgumentError, DType, is_array


class HyperParameters(dict[str, Any]):
    """A dict whose values are attributes, too.

    >>> hparams = HyperParameters(lr=0.1)
    >>> hparams.width = 8
    >>> hparams, hparams.lr
    ({'lr': 0.1, 'width': 8}, 0.1)
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "none"
            raise AttributeError(f"there is no hyper-parameter '{name}'; there are: {known}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return HyperParameters, (dict(self),)


class KeepsHyperParameters:
    """The part of modules and data modules that remembers the arguments of their constructor."""

    @property
    def hparams(self) -> HyperParameters:
        """What `save_hyperparameters` has kept."""
        if "_hparams" not in vars(self):
            object.__setattr__(self, "_hparams", HyperParameters())
        found: HyperParameters = vars(self)["_hparams"]
        return found

    @property
    def hparams_initial(self) -> HyperParameters:
        """The same as it was when it was saved."""
        return HyperParameters(copy.deepcopy(vars(self).get("_hparams_initial", {})))

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: str | Iterable[str] | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments that `__init__` was called with in `self.hparams`, and in checkpoints.

        Args:
            args: names of those to keep; or a dict or Namespace that is kept in their place. All without any.
            ignore: names to leave out. Modules are better left out: they are in the state already.
            frame: the frame of the constructor, the caller's by default.
            logger: whether loggers are given them.

        Raises: ArgumentError for a name that the constructor does not have.

        >>> class Net(KeepsHyperParameters):
        ...     def __init__(self, width, lr=0.1):
        ...         self.save_hyperparameters()
        >>> Net(8).hparams
        {'width': 8, 'lr': 0.1}
        """
        if frame is None:
            here = inspect.currentframe()
            frame = None if here is None else here.f_back
        given = _arguments_of(frame, self)
        if len(args) == 1 and isinstance(args[0], Mapping | argparse.Namespace):
            given = dict(args[0] if isinstance(args[0], Mapping) else vars(args[0]))
        elif args:
            unknown = [name for name in args if not isinstance(name, str) or name not in given]
            if unknown:
                raise ArgumentError(
                    f"finds no argument {unknown[0]!r:.60} of the constructor",
                    subject="save_hyperparameters",
                    hint=f"There are: {', '.join(given) or 'none'}",
                )
            given = {name: given[name] for name in args}
        left_out = {ignore} if isinstance(ignore, str) else set(ignore or ())
        kept = {name: value for name, value in given.items() if name not in left_out}
        self.hparams.update(kept)
        object.__setattr__(self, "_hparams_initial", {n: _copied(value) for n, value in self.hparams.items()})
        object.__setattr__(self, "_logs_hparams", logger)


def storable(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters that JSON has: tuples as lists, element types by name, others left out."""
    named = {name: value.name if isinstance(value, DType) else value for name, value in hparams.items()}
    return {name: value for name, value in named.items() if _is_json(value)}


def _arguments_of(frame: FrameType | None, owner: Any) -> dict[str, Any]:
    """The arguments of the constructors that are running for an object, those of the outermost class last."""
    found: list[dict[str, Any]] = []
    while frame is not None and frame.f_code.co_name == "__init__":
        names, _, words, values = inspect.getargvalues(frame)
        names = [*names, *frame.f_code.co_varnames[len(names) : len(names) + frame.f_code.co_kwonlyargcount]]
        if not names or values.get(names[0]) is not owner:
            break
        found.append({name: values[name] for name in dict.fromkeys(names[1:])})
        if words is not None:
            found[-1] |= values[words]
        frame = frame.f_back
    return {name: value for arguments in found for name, value in arguments.items()}


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # of what cannot be copied, the thing itself
        return value


def _is_json(value: Any) -> bool:
    if is_array(value):
        return False
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
