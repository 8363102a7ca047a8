"""`xpnn lr-find DATA`: a learning rate to begin with."""

from __future__ import annotations

import argparse
import math
import shlex
import warnings
from pathlib import Path

from xpnn.backend import ArgumentError, DataError, MissingDependencyError
from xpnn.cli.dataset import load_data
from xpnn.cli.options import add_backend_options, add_data_options, choose_backend, positive, program
from xpnn.cli.run import Run
from xpnn.cli.settings import Settings, add_options
from xpnn.train.lr_finder import Tuner
from xpnn.viz import plot_lr_finder


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `lr-find`."""
    parser = commands.add_parser(
        "lr-find",
        help="find a learning rate for `train`",
        description="Train for a few steps with a learning rate that grows from step to step, and draw the "
        "loss against it. The rate where the loss falls fastest is a good one. See: Smith, Cyclical Learning "
        "Rates for Training Neural Networks (2017).",
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help="as for `train`")
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file of options; those given here count more"
    )
    add_data_options(parser, "where the original files of MNIST are (./data)")
    add_backend_options(parser)
    add_options(parser)
    parser.add_argument(
        "--low", type=positive(float), default=1e-6, metavar="X", help="first rate (%(default)s)"
    )
    parser.add_argument(
        "--high", type=positive(float), default=10.0, metavar="X", help="last rate (%(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive(int), default=120, metavar="N", help="how many (%(default)s)"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="the picture (lr.png)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Find it, and say how to use it."""
    console = arguments.console
    if arguments.data is None:
        raise ArgumentError("expects DATA, or --config with a file that names it")
    if not arguments.low < arguments.high:
        raise ArgumentError(
            f"expects more than --low {arguments.low:g}, got {arguments.high:g}", subject="--high"
        )
    choose_backend(arguments)
    settings = Settings.of(arguments)
    built = Run.build(settings, load_data(settings, arguments.download), progress=False)
    built.announce(console)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of overflow, which ends the test
        found = Tuner(built.trainer).lr_find(
            built.train_loader,
            min_lr=arguments.low,
            max_lr=arguments.high,
            num_training=max(arguments.steps, 2),
        )
    rates, losses = found.results["lr"], found.results["loss"]
    if not math.isfinite(losses[-1]):  # which has ended the test
        rates, losses = rates[:-1], losses[:-1]
    best = found.suggestion(skip_begin=min(10, len(rates) // 4))
    if best is None or min(losses, default=0.0) > 0.999 * losses[0]:
        raise DataError(
            "the loss does not fall at any of these learning rates", hint="Try a lower --low, or more --steps"
        )
    out = arguments.out or Path("lr.png")
    try:
        plot_lr_finder(rates, losses, out, best, title=f"{Path(settings.data).name}, {settings.model}")
        console.say(str(out))
        console.result(file=str(out))
    except MissingDependencyError as error:
        console.say(f"the picture is left out: {error}")
    words = [*arguments.words, "--lr", f"{best:.3g}"]
    console.result(f"learning rate {best:.3g}", lr=best, rates=rates, losses=losses)
    console.say(f"Use it:\n  {shlex.join([program(), 'train', *_for_train(words)])}")
    return 0


def _for_train(words: list[str]) -> list[str]:
    """The command line without the options that `train` does not have."""
    kept, skip = [], False
    for word in words:
        name = word.partition("=")[0]
        if not skip and name not in ("--low", "--high", "--steps", "--out", "--json", "--quiet"):
            kept.append(word)
        skip = name in ("--low", "--high", "--steps", "--out") and "=" not in word and not skip
    return kept
