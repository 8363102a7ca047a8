"""What the examples share: three options, and how their pictures are drawn and written.

Run in this folder, `python NAME.py` makes the picture of the gallery anew; it takes

    --backend numpy   the array library: numpy, torch, jax, cupy, array_api_strict
    --fast            a small version, in seconds
    --out pictures    the folder for the pictures
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import xpnn
from xpnn.viz import style

WIDTH = 1400  # of the widest picture, in pixels


def parse(description: str, arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; the backend is set, random numbers are seeded, and the folder is there.

    Args:
        description: the example's docstring.
        arguments: as on the command line; None takes those of the command line.

    Returns: `backend`, `fast`, and `out` as a Path.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--backend", default="numpy", help="the array library (default: numpy)")
    parser.add_argument("--fast", action="store_true", help="a small version, in seconds")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="the folder for the pictures")
    options = parser.parse_args(arguments)
    if options.backend == "jax":  # which has float64 only if it is asked for before its import
        os.environ.setdefault("JAX_ENABLE_X64", "1")
    xpnn.set_backend(options.backend)
    xpnn.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    return options


@style.styled
def plot_lines(
    curves: Mapping[str, tuple[Any, Any]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    **limits: Any,
) -> style.Figure:
    """Draw lines, with a legend below.

    Args:
        curves: (x, y) under each name. log: the axes that are logarithmic: "", "x", "y" or "xy".
        limits: `xlim` and `ylim`.
    """
    figure = style.new_figure(5.2, 4.2)
    axes = figure.subplots()
    for number, (name, (x, y)) in enumerate(curves.items()):
        axes.plot(style.numbers(x), style.numbers(y), label=name, linewidth=1.8, **style.line_style(number))
    for axis in log:
        style.log_scale(axes, axis)
    axes.grid(True)
    axes.set(xlabel=xlabel, ylabel=ylabel, **limits)
    columns = 52 // (7 + max(map(len, curves)))  # as many as the width has room for
    figure.legend(loc="outside lower center", ncols=max(1, min(columns, len(curves))))
    return style.finished(figure, None, title)


@style.styled
def save(
    path: Path, *figures: style.Figure, columns: int = 3, width: int = WIDTH, colours: int = 256
) -> None:
    """Write figures side by side as one PNG of few colours, so that the file is small.

    Args:
        figures: what `plot_lines` and the functions of `xpnn.viz` return. columns: figures in a row.
        width: pixels at most. colours: at most; soft grey images need few.
    """
    panels = []
    for figure in figures:
        figure.canvas.draw()
        panels.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB"))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    sheet = Image.new("RGB", (max(sum(p.width for p in row) for row in rows), sum(heights)), "white")
    for number, row in enumerate(rows):
        left = 0
        for panel in row:
            sheet.paste(panel, (left, sum(heights[:number])))
            left += panel.width
    if sheet.width > width:
        sheet = sheet.resize((width, round(sheet.height * width / sheet.width)), Image.Resampling.LANCZOS)
    # The octree keeps the colours of thin lines, which the median cut mixes.
    sheet.quantize(colours, Image.Quantize.FASTOCTREE).save(path, optimize=True)
    print(f"picture: {path}")
