"""Optimizers and losses by name: "adam", "cross_entropy"."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from xpnn import nn, optim
from xpnn.backend import ArgumentError
from xpnn.functional import loss as losses
from xpnn.nn import Module
from xpnn.optim import Optimizer


def optimizer_named(name: str, model: Module) -> Optimizer:
    """The optimizer of that name, in any case, with its default options, for the parameters of a model.

    >>> type(optimizer_named("adamw", nn.Linear(2, 1))).__name__
    'AdamW'
    """
    return optimizer_class(name)(model.parameters())


def optimizer_class(name: str) -> Callable[..., Optimizer]:
    """The class of the optimizer of that name, in any case.

    >>> optimizer_class("adamw").__name__
    'AdamW'
    """
    kinds = [kind for kind in vars(optim).values() if inspect.isclass(kind) and issubclass(kind, Optimizer)]
    found: Callable[..., Optimizer] = _find(name, "optimizer", [k for k in kinds if k is not Optimizer])
    return found


def loss_named(name: str) -> Callable[[Any, Any], Any]:
    """The loss of outputs and targets of that name: a function's, or a module's, with or without "loss".

    >>> loss_named("MSELoss").__name__, loss_named("cross entropy").__name__
    ('mse_loss', 'cross_entropy')
    """
    functions = [value for value in vars(losses).values() if inspect.isfunction(value)]
    modules = [getattr(nn, kind) for kind in dir(nn) if kind.endswith("Loss")]
    found: Any = _find(
        name,
        "loss",
        [loss for loss in modules if _required(loss.forward) == 3 and _required(loss) == 0]
        + [loss for loss in functions if _required(loss) == 2],
    )
    loss: Any = found() if inspect.isclass(found) else found
    return loss


def _find(name: str, what: str, things: list[Any]) -> Any:
    """The last of the things that has this name."""
    known = {_plain(thing.__name__): thing for thing in things}
    if _plain(name) in known:
        return known[_plain(name)]
    close = difflib.get_close_matches(_plain(name), known, n=1)
    raise ArgumentError(
        f"knows no {what} {name!r:.60}; there are {', '.join(sorted({t.__name__ for t in known.values()}))}",
        subject="Trainer",
        hint=f"Did you mean {known[close[0]].__name__!r}?" if close else "",
    )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum()).removesuffix("loss")


def _required(function: Callable) -> int:
    """The number of arguments without a default."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
