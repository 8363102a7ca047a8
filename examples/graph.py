"""The computation graph: what a function records, drawn with values and gradients; forward and reverse mode.

Every operation is a node that knows its parents. Reverse mode goes through the nodes backwards, once for all
inputs, and adds up what comes to a node by several paths: x2 goes into a product and a sine. Forward mode
gives the change of the outputs in one direction of the inputs.
"""

from __future__ import annotations

from common import parse, save

import xpnn
from xpnn import nn, viz
from xpnn.nn import functional as F


def chain(x):
    return 2 / xpnn.sin(xpnn.exp(-x))


def two_paths(x1, x2):
    return xpnn.log(x1) + x1 * x2 - xpnn.sin(x2)


def main(arguments: list[str] | None = None) -> dict[str, list]:
    options = parse(__doc__, arguments)
    point = xpnn.tensor(2.0), xpnn.tensor(5.0)
    recorded = xpnn.graph(two_paths, 2.0, 5.0, gradients=True)
    print(recorded)
    _, reverse = xpnn.vjp(two_paths, point)
    forward = []  # once for each input
    for direction in ((1.0, 0.0), (0.0, 1.0)):
        _, change = xpnn.jvp(two_paths, point, tuple(map(xpnn.tensor, direction)))
        forward.append(change.item())
    hessian = xpnn.hessian(two_paths, point)
    found = {
        "forward": forward,
        "reverse": [gradient.item() for gradient in reverse],
        "by hand": [1 / 2.0 + 5.0, (2.0 - xpnn.cos(point[1])).item()],
        "hessian": [[entry.item() for entry in row] for row in hessian],
    }
    for name, value in found.items():
        print(f"{name}: {value}")

    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x, y = xpnn.randn(8, 3), xpnn.randn(8, 1)
    save(
        options.out / "graph.png",
        viz.draw_graph(xpnn.graph(chain, 0.5, gradients=True), title="2 / sin(exp(-x))"),
        viz.draw_graph(recorded, title="log x1 + x1 x2 - sin x2"),
        viz.draw_graph(F.mse_loss(model(x), y), names=model.named_parameters(), title="A network's loss"),
    )
    return found


if __name__ == "__main__":
    main()
