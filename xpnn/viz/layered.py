"""Where the nodes of a directed graph without cycles are drawn: in layers, each below its parents.

Graphviz's `dot` decides where it is installed. Else, in the manner of Sugiyama: a node's layer is the longest
way to it; edges that pass layers get a bend in each; layers are ordered by the mean place of the neighbours,
which leaves few crossings; then each node moves towards its neighbours as far as its layer has room.

See: Sugiyama, Tagawa & Toda (1981), "Methods for visual understanding of hierarchical system structures".
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpnn.backend import ArgumentError

_GAP, _LAYER_GAP = 0.3, 0.42  # inches between boxes beside and below each other
_ROUNDS = 12  # of ordering and of moving; more change little
_SECONDS = 30  # that `dot` may take

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Places in inches; y grows upwards.

    Attributes:
        centres: of the nodes.
        paths: the points of each edge's cubic Bezier curves, from the parent's bottom to the child's top.
        width, height: of the whole.
    """

    centres: list[Point]
    paths: list[list[Point]]
    width: float
    height: float


def layout(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], engine: str = "auto"
) -> Layout:
    """Place boxes so that each stands below its parents.

    Args:
        sizes: width and height of each box in inches.
        edges: (parent, child), by place in `sizes`, where the parent comes first.
        engine: "dot" needs Graphviz, "own" is this module's, "auto" takes `dot` where it is.

    Raises: ArgumentError for another engine, or if there is no `dot`.
    """
    if engine not in ("auto", "dot", "own"):
        raise ArgumentError(f"expects engine 'auto', 'dot' or 'own', got {engine!r}", subject="layout")
    program = shutil.which("dot")
    if engine == "dot" and program is None:
        raise ArgumentError(
            "asks for Graphviz, whose program `dot` is not installed",
            subject="engine='dot'",
            hint="Install Graphviz, or leave the engine to 'auto'",
        )
    if engine == "own" or program is None:
        return _own(sizes, edges)
    return _by_dot(program, sizes, edges)


def _by_dot(program: str, sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    lines = [
        "digraph {",
        f'node [shape=box, fixedsize=true, label=""]; nodesep={_GAP}; ranksep={_LAYER_GAP};',
        *(f"{i} [width={width:.4f}, height={height:.4f}];" for i, (width, height) in enumerate(sizes)),
        *(f"{parent} -> {child} [arrowhead=none];" for parent, child in edges),
        "}",
    ]
    done = subprocess.run(
        [program, "-Tplain"], input="\n".join(lines), capture_output=True, text=True, check=True,
        timeout=_SECONDS,
    )  # fmt: skip
    centres: list[Point] = [(0.0, 0.0)] * len(sizes)
    found: dict[tuple[int, int], list[list[Point]]] = {}
    width = height = 0.0
    for line in done.stdout.splitlines():
        kind, *words = line.split()
        if kind == "graph":
            width, height = float(words[1]), float(words[2])
        elif kind == "node":
            centres[int(words[0])] = (float(words[1]), float(words[2]))
        elif kind == "edge":
            numbers = list(map(float, words[3 : 3 + 2 * int(words[2])]))
            path = list(zip(numbers[::2], numbers[1::2]))
            found.setdefault((int(words[0]), int(words[1])), []).append(path)
    return Layout(centres, [found[edge].pop() for edge in edges], width, height)


def _own(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    layer = _layers(len(sizes), edges)
    widths = [width for width, _ in sizes]
    chains = []  # of each edge: its parent, a bend in each layer that it passes, its child
    links: list[tuple[int, int]] = []  # between neighbouring layers
    for parent, child in edges:
        chain = [parent]
        for between in range(layer[parent] + 1, layer[child]):
            layer.append(between)
            widths.append(0.0)
            chain.append(len(layer) - 1)
        chain.append(child)
        chains.append(chain)
        links += itertools.pairwise(chain)
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for node, row in enumerate(layer):
        rows[row].append(node)
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for parent, child in links:
        above[child].append(parent)
        below[parent].append(child)
    _order(rows, above, below)
    x = _places(rows, widths, above, below)
    tall = [max((sizes[node][1] for node in row if node < len(sizes)), default=0.0) for row in rows]
    top = np.concatenate([[0.0], np.cumsum([height + _LAYER_GAP for height in tall])])
    height = float(top[-1] - _LAYER_GAP) if rows else 0.0
    middle = [height - top[row] - tall[row] / 2 for row in range(len(rows))]
    left = min((x[i] - widths[i] / 2 for i in range(len(x))), default=0.0)
    right = max((x[i] + widths[i] / 2 for i in range(len(x))), default=0.0)
    points = [(float(x[i] - left), float(middle[layer[i]])) for i in range(len(layer))]
    paths = []
    for chain in chains:
        start, end = points[chain[0]], points[chain[-1]]
        bends = []
        for bend in chain[1:-1]:  # straight down past the boxes of its layer
            half = tall[layer[bend]] / 2
            bends += [(points[bend][0], points[bend][1] + half), (points[bend][0], points[bend][1] - half)]
        first = (start[0], start[1] - sizes[chain[0]][1] / 2)
        last = (end[0], end[1] + sizes[chain[-1]][1] / 2)
        paths.append(_curve([first, *bends, last]))
    return Layout(points[: len(sizes)], paths, float(right - left), height)


def _curve(points: list[Point]) -> list[Point]:
    """Cubic curves through the points that leave and reach each of them straight downwards."""
    curve = points[:1]
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        middle = (y + to_y) / 2
        curve += [(x, middle), (to_x, middle), (to_x, to_y)]
    return curve


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest way to each node; then roots come down to the layer before their first child."""
    layer = [0] * count
    children: list[list[int]] = [[] for _ in range(count)]
    has_parent = [False] * count
    for parent, child in edges:
        children[parent].append(child)
        has_parent[child] = True
    for node in range(count):
        for child in children[node]:
            layer[child] = max(layer[child], layer[node] + 1)
    for node in range(count):
        if not has_parent[node] and children[node]:
            layer[node] = min(layer[child] for child in children[node]) - 1
    return layer


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort each row by the mean place of the neighbours in the row before, downwards and upwards in turn."""
    place = {node: float(i) for row in rows for i, node in enumerate(row)}
    for turn in range(_ROUNDS):
        downwards = turn % 2 == 0
        for row in rows if downwards else rows[::-1]:
            beside = above if downwards else below
            mean = {
                node: sum(place[n] for n in beside[node]) / len(beside[node]) if beside[node] else place[node]
                for node in row
            }
            row.sort(key=lambda node: mean[node])
            place.update({node: float(i) for i, node in enumerate(row)})


def _places(
    rows: list[list[int]], widths: Sequence[float], above: list[list[int]], below: list[list[int]]
) -> np.ndarray:
    """The x of each node: towards the mean of its neighbours, in the order of its row and without overlap."""
    x = np.zeros(len(widths))
    for row in rows:
        x[row] = _apart(np.zeros(len(row)), np.array([widths[node] for node in row]))
    for turn in range(_ROUNDS):
        downwards = turn % 2 == 0
        for row in rows if downwards else rows[::-1]:
            first, second = (above, below) if downwards else (below, above)
            wish = [_mean(x, first[node] or second[node], x[node]) for node in row]
            x[row] = _apart(np.array(wish), np.array([widths[node] for node in row]))
    return x


def _mean(x: np.ndarray, nodes: list[int], otherwise: float) -> float:
    return float(np.mean(x[nodes])) if nodes else otherwise


def _apart(wish: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The places nearest to the wished ones, by squares, at which boxes of these widths are a gap apart.

    Without the distances between them the places only have to rise: pools of neighbours whose wishes fall
    share their mean.
    """
    if not len(wish):
        return wish
    steps = (widths[1:] + widths[:-1]) / 2 + _GAP
    offset = np.concatenate([[0.0], np.cumsum(steps)])
    pools: list[list[float]] = []  # mean, number of boxes
    for value in wish - offset:
        pools.append([float(value), 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (left, m), (right, n) = pools[-2:]
            pools[-2:] = [[(left * m + right * n) / (m + n), m + n]]
    return np.repeat([mean for mean, _ in pools], [int(n) for _, n in pools]) + offset
