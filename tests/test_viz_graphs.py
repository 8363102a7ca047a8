"""Drawings of recorded graphs and of networks: what the boxes say, and where they stand."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import xpnn
from xpnn import models, nn
from xpnn.backend import ArgumentError
from xpnn.viz import draw_architecture, draw_graph
from xpnn.viz.layered import layout

pytest.importorskip("matplotlib")
ENGINES = [
    "own",
    pytest.param("dot", marks=pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz")),
]


def boxes(figure: Any) -> list[list[str]]:
    """The lines of text in each box."""
    (axes,) = figure.axes
    frames = [
        patch.get_path().get_extents(patch.get_patch_transform())
        for patch in axes.patches
        if hasattr(patch, "get_boxstyle")
    ]
    texts = [(text.get_position(), text.get_text()) for text in axes.texts]
    return [[word for (x, y), word in texts if frame.contains(x, y)] for frame in frames]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_drawn_graph_says_what_the_graph_knows(engine: str, tmp_path: Path) -> None:
    graph = xpnn.graph(lambda x1, x2: xpnn.log(x1) + x1 * x2 - xpnn.sin(x2), 2, 5, gradients=True)
    figure = draw_graph(graph, tmp_path / "graph.svg", title="y", engine=engine)
    shown = boxes(figure)
    assert shown[0] == ["x1: leaf", "() float32", "value 2", "gradient 5.5"]
    assert shown[-1] == ["subtract", "() float32", "value 11.65", "gradient 1"]
    assert [lines[0] for lines in shown] == [
        "x1: leaf",
        "log",
        "x2: leaf",
        "multiply",
        "add",
        "sin",
        "subtract",
    ]
    arrows = [patch for patch in figure.axes[0].patches if not hasattr(patch, "get_boxstyle")]
    assert len(arrows) == len(graph.edges)
    assert ElementTree.parse(tmp_path / "graph.svg").getroot().tag.endswith("svg")


def test_norms_constants_and_names_that_are_too_long() -> None:
    x = xpnn.tensor([3.0, 4.0], requires_grad=True)
    figure = draw_graph((x * 2).sum(), engine="own", names={"x" * 99: x}, gradients=True)
    shown = boxes(figure)
    assert shown[0][0] == "x" * 33 + "…"
    assert shown[0][2:] == ["value norm 5", "gradient norm 2.828"]
    assert ["2"] in shown


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layout_has_no_overlaps_and_goes_down(engine: str) -> None:
    random = np.random.default_rng(0)
    for count in (0, 1, 2, 30):
        sizes = [(float(w), 0.6) for w in random.uniform(0.5, 3, count)]
        edges = [(int(random.integers(max(i - 8, 0), i)), i) for i in range(1, count) for _ in range(2)]
        placed = layout(sizes, edges, engine)
        assert len(placed.centres) == count
        assert len(placed.paths) == len(edges)
        for (i, (x, y)), (j, (u, v)) in itertools.combinations(enumerate(placed.centres), 2):
            apart = abs(x - u) > (sizes[i][0] + sizes[j][0]) / 2 or abs(y - v) > 0.6
            assert apart, (i, j)
        for (parent, child), path in zip(edges, placed.paths):
            assert placed.centres[parent][1] > placed.centres[child][1]
            assert len(path) % 3 == 1, "cubic curves"
            (x, y), (u, v) = path[0], path[-1]
            assert abs(x - placed.centres[parent][0]) <= sizes[parent][0] / 2 + 0.01
            assert abs(v - placed.centres[child][1]) <= 0.3 + 0.02
            assert abs(u - placed.centres[child][0]) <= sizes[child][0] / 2 + 0.02
        for (x, y), (width, height) in zip(placed.centres, sizes):
            assert -0.01 <= x - width / 2 <= x + width / 2 <= placed.width + 0.01
            assert -0.01 <= y - height / 2 <= y + height / 2 <= placed.height + 0.01


def test_layout_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert layout([(1, 1), (1, 1)], [(0, 1)]).height > 2
    with pytest.raises(ArgumentError, match="program `dot` is not installed"):
        layout([], [], "dot")
    with pytest.raises(ArgumentError, match="'auto', 'dot' or 'own', got 'neato'"):
        layout([], [], "neato")


def test_an_architecture_has_its_layers_shapes_parameters_and_shortcuts(tmp_path: Path) -> None:
    net = models.create("resnet20", num_classes=10, in_channels=1, image_size=8)
    net.train()
    figure = draw_architecture(net, (1, 1, 8, 8), tmp_path / "net.png", engine="own")
    shown = boxes(figure)
    assert shown[0] == ["input", "(1, 1, 8, 8)"]
    assert shown[1] == ["Conv2d", "conv1", "(1, 16, 8, 8)", "144 parameters"]
    assert shown[-1] == ["Linear", "fc", "(1, 10)", "650 parameters"]
    said = sum(
        int(line.split()[0].replace(",", "")) for lines in shown for line in lines if "parameters" in line
    )
    assert said == sum(parameter.size for parameter in net.parameters())
    assert all(module.training for module in net.modules())
    arrows = len(figure.axes[0].patches) - len(shown)
    assert arrows == len(shown) - 1 + 9, "a chain, and nine shortcuts"
    parts = boxes(draw_architecture(net, (1, 1, 8, 8), depth=1, engine="own"))
    assert [lines[1] for lines in parts if "layer" in lines[1]] == ["layer1", "layer2", "layer3"]


def test_an_architecture_of_layers_that_are_used_twice_and_of_tokens() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.act, self.out = nn.Embedding(7, 4), nn.Tanh(), nn.Linear(4, 4)

        def forward(self, tokens: Any) -> Any:
            return self.act(self.out(self.act(self.words(tokens))))

    shown = boxes(draw_architecture(Net(), xpnn.tensor([[1, 2, 3]]), engine="own"))
    assert [lines[0] for lines in shown] == ["tokens", "Embedding", "Tanh", "Linear", "Tanh"]
