"""Drawings of graphs: what the tape recorded, and what a network consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.core import carries_gradient
from xpnn.autograd.recorded import Graph, GraphNode, brief, graph
from xpnn.backend import is_tensor, optional_import
from xpnn.nn import Module
from xpnn.nn.summary import SummaryRow, evaluating, inputs_of, summary
from xpnn.viz.layered import layout
from xpnn.viz.style import INK, Figure, finished, new_figure, styled

_FILLS = {"operation": "#ffffff", "leaf": "#dbe8f6", "constant": "#eceef1", "output": "#fbe3d6"}
_EDGE = "#7b8694"
_LETTER, _LINE = 0.083, 0.165  # inches of a character and a line of the text
_PIXELS = 20_000  # of a side of a picture, beyond which it has fewer dots per inch
_OUTPUTS = 3  # of a node that are shown
_WIDEST = 34  # characters of a line


@dataclass(frozen=True)
class _Box:
    """Lines of text, of which the first is bold, on a ground of the kind."""

    lines: tuple[str, ...]
    kind: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return _LETTER * max(map(len, self.lines)) + 0.22, _LINE * len(self.lines) + 0.14


@styled
def draw_graph(
    recorded: Any, path: str | Path | None = None, title: str = "", engine: str = "auto", **options: Any
) -> Figure:
    """Draw a recorded graph: a box for each node, with shape, value and gradient, below its parents.

    A value or gradient of one element is written as it is, of others its norm. Blue are leaves, which get
    gradients, grey are constants, orange are the outputs.

    Args:
        recorded: what `xpnn.graph` gave; or a Tensor or function, for which it is called.
        path: the file; its ending gives the format (SVG, PNG, PDF). None writes none.
        title: stands above.
        engine: what places the boxes: "dot" of Graphviz, or "own"; "auto" takes dot where it is installed.
        **options: of `xpnn.graph`, such as names and gradients.

    Returns: the matplotlib Figure.

    >>> import xpnn
    >>> figure = draw_graph(xpnn.graph(lambda x: xpnn.sin(x) * x, 2.0))
    >>> [text.get_text() for text in figure.axes[0].texts][:3]
    ['x: leaf', '() float32', 'value 2']
    """
    shown = recorded if isinstance(recorded, Graph) else graph(recorded, **options)
    boxes = [_box_of(node, node in shown.outputs) for node in shown]
    return _draw(boxes, shown.edges, path, title, engine)


@styled
def draw_architecture(
    model: Module,
    input: Any,
    path: str | Path | None = None,
    title: str = "",
    depth: int | None = None,
    engine: str = "auto",
) -> Figure:
    """Draw what a network consists of: a box for each layer, with its output's shape and parameters.

    The network runs once, in evaluation mode; arrows are where its data went. What is computed between layers
    ("add" of a shortcut) stands in boxes of its own.

    Args:
        model: the network.
        input: an input, or the shape of one with the batch, (1, 3, 32, 32).
        path, title, engine: as for `draw_graph`; by default the title is the network's class and size.
        depth: draw modules of this depth as one box: 1 are the model's own parts. None goes to each layer.

    Returns: the matplotlib Figure.

    >>> from xpnn import nn
    >>> figure = draw_architecture(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), (1, 4))
    >>> [text.get_text() for text in figure.axes[0].texts if "(" not in text.get_text()][:-1]
    ['input', 'Linear', '0', '40 parameters', 'ReLU', '1']
    """
    table = summary(model, input)
    given = [_as_leaf(x) for x in inputs_of(model, input)]
    with evaluating(model):
        recorded = graph(model, *given)
    boxes, edges = _modules_of(recorded, [x.array for x in given], model, table.rows, depth)
    return _draw(
        boxes, edges, path, title or f"{type(model).__name__}: {table.parameters:,} parameters", engine
    )


def _modules_of(
    recorded: Graph, inputs: list[Any], model: Module, rows: Sequence[SummaryRow], depth: int | None
) -> tuple[list[_Box], list[tuple[int, int]]]:
    """A box for each call of a layer, and for each operation between layers, and the ways of the data."""
    whole = {name for name, module in model.named_modules() if not any(True for _ in module.children())}
    boxes: list[_Box] = []
    edges: dict[tuple[int, int], None] = {}
    box_of: dict[int, int] = {}  # by the node's index
    before = None
    for node in recorded:
        parents = [box_of[parent.index] for parent in node.parents if parent.index in box_of]
        if node.kind != "operation":
            if node.value is None or not any(node.value.array is array for array in inputs):
                continue  # parameters, and constants of the program
            boxes.append(_Box((node.label, str(node.shape)), "leaf"))
        elif not parents:
            continue  # what is made of parameters alone
        else:
            parts = node.module_path.split(".") if node.module_path else []
            cut = depth is not None and len(parts) >= depth
            where = ".".join(parts[:depth])
            group = where if where and (cut or where in whole) else None
            # Operations of one call follow each other.
            if group is None or group != before:
                boxes.append(_module_box(group, node, rows))
            else:
                boxes[-1] = _module_box(group, node, rows)
            before = group
        box_of[node.index] = len(boxes) - 1
        edges.update({(parent, len(boxes) - 1): None for parent in parents if parent != len(boxes) - 1})
    for end in recorded.outputs:
        if end.index in box_of:
            boxes[box_of[end.index]] = replace(boxes[box_of[end.index]], kind="output")
    return boxes, list(edges)


def _module_box(path: str | None, node: GraphNode, rows: Sequence[SummaryRow]) -> _Box:
    """A module whose last operation so far is `node`, or an operation between modules."""
    if path is None:
        return _Box((node.name, str(node.shape)), "constant")
    kind = next(row.kind for row in rows if row.path == path)
    parameters = sum(row.parameters for row in rows if row.path == path or row.path.startswith(f"{path}."))
    count = [f"{parameters:,} parameters"] if parameters else []
    return _Box(tuple(map(_cut, [kind, path, str(node.shape), *count])), "operation")


def _as_leaf(x: Any) -> Any:
    """The input off any tape, and on one of its own where it can be."""
    raw = x.array if is_tensor(x) else x
    return Tensor(raw, requires_grad=bool(carries_gradient(raw)))


def _draw(
    boxes: Sequence[_Box],
    edges: Sequence[tuple[int, int]],
    path: str | Path | None,
    title: str,
    engine: str,
) -> Figure:
    """Boxes at their places; one unit of the axes is an inch, so that the text fits."""
    patches = optional_import("matplotlib.patches", extra="train")
    paths = optional_import("matplotlib.path", extra="train")
    placed = layout([box.size for box in boxes], edges, engine)
    width = max(placed.width + 0.3, 0.12 * len(title) + 0.3)
    above = 0.45 if title else 0.0
    height = placed.height + 0.3 + above
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    figure.set_dpi(min(figure.dpi, _PIXELS / max(width, height)))
    axes = figure.add_axes((0, 0, 1, 1))
    left = (width - placed.width) / 2
    axes.set(xlim=(-left, width - left), ylim=(-0.15, height - 0.15))
    axes.set_axis_off()
    for points in placed.paths:
        codes = [paths.Path.MOVETO, *[paths.Path.CURVE4] * (len(points) - 1)]
        arrow = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
        axes.add_patch(
            patches.FancyArrowPatch(
                path=paths.Path(points, codes), color=_EDGE, linewidth=1.1, joinstyle="miter", **arrow
            )
        )
    for box, (x, y) in zip(boxes, placed.centres):
        wide, high = box.size
        axes.add_patch(
            patches.FancyBboxPatch(
                (x - wide / 2 + 0.05, y - high / 2 + 0.05), wide - 0.1, high - 0.1,
                boxstyle="round,pad=0.05", facecolor=_FILLS[box.kind], edgecolor=INK, linewidth=0.9,
            )
        )  # fmt: skip
        for number, line in enumerate(box.lines):
            weight = "bold" if number == 0 else "normal"
            at = y + high / 2 - 0.07 - _LINE * (number + 0.5)
            axes.text(
                x, at, line, ha="center", va="center", fontsize=9 if number == 0 else 8, fontweight=weight
            )
    if title:
        axes.text(
            width / 2 - left, height - 0.35, title, ha="center", va="center", fontsize=12, fontweight="bold"
        )
    return finished(figure, path)


def _box_of(node: GraphNode, is_output: bool) -> _Box:
    alone = node.kind == "constant" and not node.dtype  # a number of the program
    if alone:
        return _Box((brief(node.value),), "constant")
    lines = [f"{node.label}: {node.name}" if node.label else node.name]
    if node.module:
        lines.append(node.module)
    lines += [f"{output.shape} {output.dtype}".strip() for output in node.outputs[:_OUTPUTS]]
    if len(node.outputs) > _OUTPUTS:
        lines.append(f"and {len(node.outputs) - _OUTPUTS} more")
    if node.value is not None:
        lines.append(f"value {brief(node.value)}")
    if node.gradient is not None:
        lines.append(f"gradient {brief(node.gradient)}")
    return _Box(tuple(map(_cut, lines)), "output" if is_output else node.kind)


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
