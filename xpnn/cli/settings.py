"""All that determines a training run: the options of `xpnn train`, with defaults that suit the data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from xpnn import models
from xpnn.backend import ArgumentError, expect_state, is_count, is_number, nearest
from xpnn.cli.options import not_negative, positive

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("onecycle", "cosine", "step", "constant")
# Random changes of the training images, which can be joined by "+" (see `augmentation_of`).
AUGMENTATIONS = (
    *("crop", "resized-crop", "flip", "vertical-flip", "rotate", "affine", "colour", "grey"),
    *("blur", "sharpness", "erase", "cutout", "randaugment", "trivialaugment", "mixup", "cutmix"),
)
CHANNELS = (1, 3)
TASKS = ("classification", "regression")

_GENERAL = {
    "folder": None,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "onecycle",
    "label_smoothing": 0.1,
    "augment": "crop",
    "seed": 0,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"model": "lenet", "epochs": 30, "batch_size": 64, "lr": 0.005, "channels": 1, "size": 8},
    "mnist": {"model": "lenet", "epochs": 5, "batch_size": 64, "lr": 0.005, "channels": 1, "size": 28},
    "fashion-mnist": {
        "model": "resnet20", "epochs": 10, "batch_size": 128, "lr": 0.01, "channels": 1, "size": 28,
    },
}  # fmt: skip
_TABLE_HIDDEN = "64,64"
_TABLE_DEFAULTS = {
    "model": "mlp", "epochs": 60, "batch_size": 32, "lr": 0.005, "channels": 1, "size": 1,
    "augment": "none",
}  # fmt: skip
_ONLY_OF_IMAGES, _ONLY_OF_TABLES = ("size", "channels", "folder"), ("target", "task")
_FOLDER_DEFAULTS = {"model": "resnet20", "epochs": 20, "batch_size": 32, "lr": 0.005, "channels": 3}


# What the settings may be, wherever they come from: the command line, or a file that may be forged.
_DOMAINS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "data": (lambda value: isinstance(value, str), "the name of a data set or a folder"),
    "folder": (lambda value: value is None or isinstance(value, str), "a folder"),
    "model": (lambda value: value in models.names(), "the name of a model"),
    "size": (lambda value: is_size(value), "a size of at most 2048"),
    "channels": (lambda value: is_channels(value), "1 or 3"),
    "epochs": (lambda value: is_count(value) and value > 0, "1 to 2**63"),
    "batch_size": (lambda value: is_count(value) and value > 0, "1 to 2**63"),
    "optimizer": (lambda value: value in OPTIMIZERS, "the name of an optimizer"),
    "lr": (lambda value: is_number(value) and 0 < value <= 100, "at most 100; usual are 0.0001 to 1"),
    "weight_decay": (lambda value: is_number(value) and 0 <= value <= 10, "at most 10; usual are 0 to 0.1"),
    "schedule": (lambda value: value in SCHEDULES, "the name of a schedule"),
    "label_smoothing": (
        lambda value: is_number(value) and 0 <= value < 1,
        "a share below 1; usual are 0 to 0.2",
    ),
    "augment": (lambda value: is_augmentation(value), f"none, or {', '.join(AUGMENTATIONS)} with + between"),
    "seed": (is_count, "less than 2**63"),
}
# Settings that came later: older checkpoints are without them.
_OPTIONAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "target": (lambda value: value is None or isinstance(value, str), "the name of a column"),
    "task": (lambda value: value is None or value in TASKS, "the name of a task"),
    "hidden": (lambda value: value is None or is_sizes(value), "sizes such as 64,64, each at most 65536"),
    "dropout": (
        lambda value: value is None or (is_number(value) and 0 <= value < 1),
        "a share below 1; usual are 0 to 0.5",
    ),
}


def is_size(value: Any) -> bool:
    """Whether a value is the side of images that a network can be built for."""
    return is_count(value) and 0 < value <= 2048


def is_channels(value: Any) -> bool:
    """Whether a value is the number of channels of grey or coloured images."""
    return is_count(value) and value in CHANNELS


@dataclass(frozen=True)
class Settings:
    """The options of a run, kept in its checkpoints; see `add_options` for what they mean."""

    data: str
    folder: str | None
    model: str
    size: int
    channels: int
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float
    schedule: str
    label_smoothing: float
    augment: str
    seed: int
    target: str | None = None
    task: str | None = None
    hidden: str | None = None
    dropout: float | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Settings:
        """The options of the command line, and defaults for the others.

        Raises: ArgumentError for a value that no run can have.
        """
        return cls.from_options(_given(arguments))

    @classmethod
    def from_options(cls, given: dict[str, Any]) -> Settings:
        """The options that are given, `data` among them, and defaults for the others.

        Raises: ArgumentError for a value that no run can have.
        """
        for name, value in given.items():
            accepts, domain = (_DOMAINS | _OPTIONAL)[name]
            if name != "model" and not accepts(value):  # `models` knows more to say about names
                near = nearest_augmentation(value) if name == "augment" else ""
                raise ArgumentError(
                    f"expects {domain}, got {value}",
                    subject=option(name),
                    hint=near and f"Did you mean {near!r}?",
                )
        usual = _TABLE_DEFAULTS if is_table(given["data"]) else _FOLDER_DEFAULTS
        options = _GENERAL | _DEFAULTS.get(given["data"], usual) | given
        _expect_to_fit_the_data(given)
        _expect_to_fit_the_model(given, options["model"])
        if is_table(given["data"]) and options["model"] == "mlp":
            options.setdefault("hidden", _TABLE_HIDDEN)
        options.setdefault("size", models.input_shape(options["model"])[1])
        return cls(**options)

    @classmethod
    def from_config(cls, config: Any) -> Settings:
        """What `to_config` made. Raises: CheckpointError for what it cannot have made."""
        expect_state(config, "xpnn train", **{name: accepts for name, (accepts, _) in _DOMAINS.items()})
        later = {name: config[name] for name in _OPTIONAL if name in config}
        expect_state(config, "xpnn train", **{name: _OPTIONAL[name][0] for name in later})
        return cls(**{name: config[name] for name in _DOMAINS}, **later)

    def resumed(self, arguments: argparse.Namespace) -> Settings:
        """These, for a run that goes on. Raises: ArgumentError if the command line asks for others."""
        for name, value in _given(arguments).items():
            if value != getattr(self, name):
                raise ArgumentError(
                    f"cannot go on with {value}: the run began with {getattr(self, name)}",
                    subject=option(name),
                    hint="Leave the option out, or begin a new run in another folder with --out",
                )
        return self

    def to_config(self) -> dict[str, Any]:
        """JSON-ready; `from_config` goes back."""
        return asdict(self)

    def model_options(self) -> dict[str, Any]:
        """What the network's function is given beside the sizes of its input and output."""
        options: dict[str, Any] = {}
        if self.hidden is not None:
            options["hidden"] = [int(size) for size in self.hidden.split(",")]
        if self.dropout is not None:
            options["dropout"] = self.dropout
        return options

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all settings."""
        return tuple(field.name for field in fields(cls))

    def given(self) -> dict[str, Any]:
        """The options that give these settings."""
        idle = ("size", "channels") if is_table(self.data) else ()
        return {name: value for name, value in asdict(self).items() if value is not None and name not in idle}

    def shown(self) -> dict[str, Any]:
        """The settings that mean something for such data."""
        idle = ("augment", *_ONLY_OF_IMAGES) if is_table(self.data) else _ONLY_OF_TABLES
        return {name: value for name, value in asdict(self).items() if name not in idle}

    def command(self) -> list[str]:
        """The arguments of `xpnn train` that give these settings."""
        given = self.given()
        words = ["train", given.pop("data")]
        for name, value in given.items():
            words += [option(name), str(value)]
        return words


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; each one's default is None, which leaves the choice to `Settings.of`."""
    add = parser.add_argument
    add("--model", metavar="NAME", help=f"one of {', '.join(models.names())}")
    add("--size", type=positive(int), metavar="N", help="bring the images to N x N (the data's or model's)")
    add("--channels", type=int, choices=CHANNELS, help="1 for grey, 3 for colour (the data's)")
    add("--epochs", type=positive(int), metavar="N", help="passes over the training set")
    add("--batch-size", type=positive(int), metavar="N", help="images or rows per step")
    add("--optimizer", choices=OPTIMIZERS, help="the rule of the steps (adamw)")
    add("--lr", type=positive(float), metavar="X", help="learning rate, at its highest")
    add("--weight-decay", type=not_negative(float), metavar="X", help="pull of the weights to 0 (0.01)")
    add("--schedule", choices=SCHEDULES, help="how the learning rate changes (onecycle)")
    add("--label-smoothing", type=not_negative(float), metavar="X", help="share of other classes (0.1)")
    add(
        "--augment",
        metavar="NAME+NAME",
        help=f"random changes of the training images (crop): none, or of {', '.join(AUGMENTATIONS)}",
    )
    add("--target", metavar="COLUMN", help="what to predict in a table (the last column)")
    add("--task", choices=TASKS, help="whether the target of a table is a class or a number (by its values)")
    add(
        "--hidden",
        type=_without_spaces,
        metavar="N,N",
        help="sizes of the hidden layers, of models that have them (the model's)",
    )
    add("--dropout", type=not_negative(float), metavar="X", help="of models that have it (the model's)")
    add("--seed", type=not_negative(int), metavar="N", help="of weights, order and augmentation (0)")


def is_augmentation(value: Any) -> bool:
    """Whether a value is "none", or names of augmentations with + between, each once.

    >>> is_augmentation("crop+flip"), is_augmentation("crop+crop"), is_augmentation("crop+none")
    (True, False, False)
    """
    if not isinstance(value, str):
        return False
    names = value.split("+")
    return value == "none" or (set(names) <= set(AUGMENTATIONS) and len(set(names)) == len(names))


def nearest_augmentation(value: Any) -> str:
    """What was probably meant by names that are none; empty if that cannot be told."""
    names = [
        name if name in AUGMENTATIONS else nearest(name, AUGMENTATIONS) for name in str(value).split("+")
    ]
    return "+".join(dict.fromkeys(names)) if all(names) else ""


def is_sizes(value: Any) -> bool:
    """Whether a value is a text of sizes of layers with commas between."""
    return (
        isinstance(value, str)
        and len(value) <= 200
        and all(size.isascii() and size.isdecimal() and 0 < int(size) <= 65536 for size in value.split(","))
    )


def _without_spaces(text: str) -> str:
    return text.replace(" ", "")


def option(name: str) -> str:
    """How a setting is called on the command line."""
    if name == "folder":
        return "--data"
    return f"--{name.replace('_', '-')}"


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that the command line has set."""
    values = {field.name: getattr(arguments, field.name, None) for field in fields(Settings)}
    return {name: value for name, value in values.items() if value is not None}


def is_table(data: str) -> bool:
    """Whether data are a table in a file."""
    return data.lower().endswith((".csv", ".tsv"))


def _expect_to_fit_the_model(given: dict[str, Any], model: str) -> None:
    """Refuse options that this network does not have."""
    for name in ("hidden", "dropout"):
        if given.get(name) is not None and model in models.names() and models.takes(model, name) is False:
            having = [other for other in models.names() if models.takes(other, name)]
            raise ArgumentError(
                f"is no option of the model '{model}'",
                subject=option(name),
                hint=f"Leave it out, or take one that has it: {', '.join(having)}",
            )


def _expect_to_fit_the_data(given: dict[str, Any]) -> None:
    """Refuse options that mean nothing for such data."""
    table = is_table(given["data"])
    wrong = _ONLY_OF_IMAGES if table else _ONLY_OF_TABLES
    for name in wrong:
        if given.get(name) is not None:
            kind = "images" if table else "tables"
            raise ArgumentError(f"is an option for {kind}", subject=option(name), hint="Leave it out")
    if table and given.get("augment", "none") != "none":
        raise ArgumentError("is an option for images", subject="--augment", hint="Leave it out")
    model = given.get("model", _TABLE_DEFAULTS["model"])
    if table and model != _TABLE_DEFAULTS["model"] and model in models.names():
        raise ArgumentError(
            f"expects {_TABLE_DEFAULTS['model']} for a table, got {model}, a network for images",
            subject="--model",
            hint="Leave it out; --hidden sets the sizes of its layers",
        )
