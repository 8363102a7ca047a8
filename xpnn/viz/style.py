"""What all figures have in common: colours, type, size, and how they are saved.

Figures are drawn without pyplot, so that nothing of the caller's own figures, backend or style changes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

from xpnn.backend import ArgumentError, DTypeError, errors_naming, optional_import, to_numpy

Figure: TypeAlias = Any  # matplotlib.figure.Figure: the package is optional

P = ParamSpec("P")
R = TypeVar("R")

INK = "#22262b"
FAINT = "#d5d9de"
# Told apart with any colour vision, the first four also in grey; later rounds have another dash.
COLOURS = ("#1f5fa8", "#d9622b", "#3a8f5c", "#8a4fa0", "#c79a00", "#20a0b4", "#b8446e", "#5f6b78")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL, DIVERGING = "Blues", "RdBu_r"
DOTS_PER_INCH = 160

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "text.parse_math": False,  # a class may be called "$"
    "svg.hashsalt": "xpnn",  # the same figure is the same file
}


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that draws: matplotlib's settings are ours while it runs."""

    @wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> R:
        with optional_import("matplotlib", extra="train").rc_context(_STYLE):
            return function(*args, **kwargs)

    return draw


def new_figure(width: float, height: float) -> Figure:
    """A figure in inches, drawn by Agg whatever backend the caller's pyplot has."""
    figure = optional_import("matplotlib.figure", extra="train").Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained"
    )
    optional_import("matplotlib.backends.backend_agg", extra="train").FigureCanvasAgg(figure)
    return figure


def finished(figure: Figure, path: str | Path | None, title: str = "") -> Figure:
    """The figure with its title, which stands above all panels, written to a file if there is a path."""
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    if path is not None:
        formats = figure.canvas.get_supported_filetypes()
        if Path(path).suffix[1:].lower() not in formats:
            raise ArgumentError(
                f"expects a file that ends in {', '.join(f'.{name}' for name in formats)}, got '{path}'",
                subject="A figure",
            )
        with errors_naming(path):
            figure.savefig(path, bbox_inches="tight", pad_inches=0.12)
    return figure


def log_scale(axes: Any, axis: str) -> None:
    """Make the x or y axis logarithmic, with plain numbers at it: formulas are off (see `_STYLE`)."""
    axes.set(**{f"{axis}scale": "log"})
    ticker = optional_import("matplotlib.ticker", extra="train")
    getattr(axes, f"{axis}axis").set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    getattr(axes, f"{axis}axis").set_minor_formatter(ticker.NullFormatter())


@styled
def svg_of(figure: Figure) -> bytes:
    """A figure as an SVG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.08, metadata={"Date": None})
    return file.getvalue()


def colour(number: int) -> str:
    """The colour of a line or class; after the last comes the first again."""
    return COLOURS[number % len(COLOURS)]


def line_style(number: int) -> dict[str, Any]:
    """Colour and dash of a line."""
    return {"color": colour(number), "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def numbers(values: Any) -> np.ndarray:
    """Numbers as float64 on the host: an array of any library, or a list of numbers or lists."""
    if isinstance(values, list | tuple):
        parts = [numbers(value) if isinstance(value, list | tuple) else _number(value) for value in values]
        return np.array(parts, dtype=np.float64)
    array = to_numpy(values)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"expects real numbers to draw, got {array.dtype}")
    return array.astype(np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DTypeError(f"expects a number to draw, got {value!r:.40}") from None
