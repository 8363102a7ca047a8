"""`xpnn plot RUN`: the curves of a run, also while it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

from xpnn.cli.record import read_record
from xpnn.viz import plot_curves


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `plot`."""
    parser = commands.add_parser(
        "plot",
        help="draw the curves of a run",
        description="Draw what a run has measured against the epoch: a panel for each measure. The run may "
        "still be going on.",
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="a folder that `xpnn train` has left")
    parser.add_argument("--metrics", metavar="NAMES", help="the panels: loss,accuracy,lr (all there are)")
    parser.add_argument("--log", action="store_true", help="logarithmic axes")
    parser.add_argument("--out", metavar="FILE", type=Path, help="a PNG, PDF or SVG file (RUN/curve.png)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Draw them."""
    record = read_record(arguments.folder)
    metrics = record.metrics if arguments.metrics is None else arguments.metrics.split(",")
    out = arguments.out or arguments.folder / "curve.png"
    plot_curves(record.history, out, metrics, record.title, log=arguments.log)
    arguments.console.result(str(out), file=str(out))
    return 0
