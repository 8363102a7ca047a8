"""Networks by name, for the command line and for anything else that reads a name from its user."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpnn.backend import ArgumentError, nearest
from xpnn.models.weights import load_weights
from xpnn.nn import Module


@dataclass(frozen=True)
class Entry:
    """A registered network: what makes it, and the (channels, rows, columns) that it takes by default."""

    factory: Callable[..., Module]
    input_shape: tuple[int, int, int]


_ENTRIES: dict[str, Entry] = {}


def register(input_shape: tuple[int, int, int]) -> Callable[[Callable], Callable]:
    """Decorate a function that makes a network, to register it under its own name.

    Args:
        input_shape: (channels, rows, columns) of the images that it is made for when not told otherwise.

    The function takes `num_classes`, `in_channels`, and `image_size` if the network is made for one size.
    Beside its own options it then takes `weights`, the path or the URL of a state dict (see `load_weights`).
    """

    def decorate(factory: Callable[..., Module]) -> Callable[..., Module]:
        @functools.wraps(factory)
        def make(*args: Any, weights: str | os.PathLike[str] | None = None, **options: Any) -> Module:
            model = factory(*args, **options)
            return model if weights is None else load_weights(model, weights)

        make.__signature__ = _with_weights(inspect.signature(factory))  # type: ignore[attr-defined]
        _ENTRIES[factory.__name__] = Entry(make, input_shape)
        return make

    return decorate


def names() -> tuple[str, ...]:
    """The names that `create` knows.

    >>> "resnet18" in names()
    True
    """
    return tuple(_ENTRIES)


def input_shape(name: str) -> tuple[int, int, int]:
    """(channels, rows, columns) of the images that a network takes by default.

    >>> input_shape("resnet18")
    (3, 224, 224)
    """
    return _find(name).input_shape


def takes(name: str, option: str) -> bool | None:
    """Whether the function of a network takes an option; None if it hands on what it does not name.

    >>> takes("mlp", "hidden"), takes("lenet", "hidden"), takes("vgg11", "hidden")
    (True, False, None)
    """
    accepted = inspect.signature(_find(name).factory).parameters
    if option in accepted:
        return True
    return None if any(p.kind is p.VAR_KEYWORD for p in accepted.values()) else False


def create(name: str, **options: Any) -> Module:
    """Make a network.

    Args:
        name: one of `names()`.
        options: for all networks `num_classes` and `in_channels`, and `image_size`, the side of the images,
            which networks that take any size ignore; then whatever the function of that name takes.

    Raises: ArgumentError for a name or an option that there is not.

    >>> from xpnn.nn import summary
    >>> summary(create("lenet", num_classes=10, in_channels=1), (1, 1, 28, 28)).parameters
    61706
    """
    factory = _find(name).factory
    accepted = inspect.signature(factory).parameters
    if "image_size" not in accepted:
        options.pop("image_size", None)
    unknown = [option for option in options if takes(name, option) is False]
    if unknown:
        raise ArgumentError(
            f"takes no option '{unknown[0]}'",
            subject=f"model '{name}'",
            hint=f"Its options are: {', '.join(accepted)}",
        )
    try:
        return factory(**options)
    except TypeError as error:
        handed_on = [
            option for option in options if takes(name, option) is None and f"'{option}'" in str(error)
        ]
        if not handed_on or "unexpected keyword" not in str(error):
            raise
        raise ArgumentError(f"takes no option '{handed_on[0]}'", subject=f"model '{name}'") from None


def _with_weights(signature: inspect.Signature) -> inspect.Signature:
    added = inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, default=None)
    own = list(signature.parameters.values())
    last = [p for p in own if p.kind is p.VAR_KEYWORD]
    return signature.replace(parameters=[*(p for p in own if p not in last), added, *last])


def _find(name: str) -> Entry:
    if name not in _ENTRIES:
        close = nearest(name, _ENTRIES)
        raise ArgumentError(
            f"there is no model '{name}'",
            hint=(f"Did you mean '{close}'? " if close else "") + f"There are: {', '.join(_ENTRIES)}",
        )
    return _ENTRIES[name]
