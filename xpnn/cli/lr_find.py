"""`xpnn lr-find DATA`: a learning rate to begin with."""

from __future__ import annotations

import argparse
import itertools
import math
import shlex
import warnings
from pathlib import Path

import numpy as np

from xpnn.backend import ArgumentError, DataError, MissingDependencyError
from xpnn.cli.dataset import load_data
from xpnn.cli.options import add_backend_options, add_data_options, choose_backend, positive, program
from xpnn.cli.run import Run
from xpnn.cli.settings import Settings, add_options
from xpnn.viz import plot_lr_finder

_SMOOTHING = 0.9
_EXPLODED = 4  # times the smallest loss


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
        rates, losses = range_test(built, arguments.low, arguments.high, arguments.steps)
    best = suggestion(rates, losses)
    out = arguments.out or Path("lr.png")
    try:
        plot_lr_finder(rates, losses, out, best, title=f"{Path(settings.data).name}, {settings.model}")
        console.say(str(out))
        console.result(file=str(out))
    except MissingDependencyError as error:
        console.say(f"the picture is left out: {error}")
    words = [*arguments.words, "--lr", f"{best:.3g}"]
    console.result(f"learning rate {best:.3g}", lr=best, rates=rates.tolist(), losses=losses.tolist())
    console.say(f"Use it:\n  {shlex.join([program(), 'train', *_for_train(words)])}")
    return 0


def range_test(run: Run, low: float, high: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Train with rates that grow geometrically from `low` to `high`, until the loss explodes.

    Returns: the rates (N,) and the losses (N,), smoothed by a running average.
    """
    trainer = run.trainer
    trainer.scheduler = None
    rates, losses, average, least = [], [], 0.0, math.inf
    batches = itertools.chain.from_iterable(itertools.repeat(run.train_loader))
    trainer.model.train()
    for step, batch in zip(range(steps), batches):
        rate = low * (high / low) ** (step / max(steps - 1, 1))
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        trainer.optimizer.zero_grad()
        loss, _ = trainer.forward(batch)
        loss.backward()
        trainer.optimizer.step()
        average = _SMOOTHING * average + (1 - _SMOOTHING) * float(loss)
        smoothed = average / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(smoothed) or smoothed > _EXPLODED * least:
            break
        rates.append(rate)
        losses.append(smoothed)
        least = min(least, smoothed)
    return np.array(rates), np.array(losses)


def suggestion(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate where the loss falls fastest in its logarithm, before its minimum.

    Raises: DataError if it never falls.
    """
    end = int(np.argmin(losses)) + 1 if len(losses) else 0
    if end < 3:
        raise DataError(
            "the loss does not fall at any of these learning rates", hint="Try a lower --low, or more --steps"
        )
    slopes = np.gradient(losses[:end], np.log(rates[:end]))
    return float(rates[int(np.argmin(slopes))])


def _for_train(words: list[str]) -> list[str]:
    """The command line without the options that `train` does not have."""
    kept, skip = [], False
    for word in words:
        name = word.partition("=")[0]
        if not skip and name not in ("--low", "--high", "--steps", "--out", "--json", "--quiet"):
            kept.append(word)
        skip = name in ("--low", "--high", "--steps", "--out") and "=" not in word and not skip
    return kept
