"""Checkpointing: a deep network trains in less memory, for one more forward pass.

A backward sweep needs what each layer has computed. A checkpoint keeps the input of a segment of layers
alone, and runs the segment again when the sweep comes to it. With n layers in s segments about s + n / s
activations are kept at a time, least for s near the root of n; the gradients have the same bits.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn

LAYERS, WIDTH = 36, 128


def deep_network() -> nn.Sequential:
    """Layers of products, norms and tanh."""
    xpnn.manual_seed(0)
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Tanh()) for _ in range(LAYERS))
    )


def loss_of(model: nn.Sequential, x, segments: int):
    """The loss, with the layers in so many segments that are computed again; 0 keeps everything."""
    if not segments:
        return (model(x) ** 2).mean()
    length = -(-LAYERS // segments)
    for start in range(0, LAYERS, length):
        x = xpnn.checkpoint(model[start : start + length], x)
    return (x**2).mean()


def step(model: nn.Sequential, x, segments: int) -> list[np.ndarray]:
    """Gradients of all parameters."""
    model.zero_grad()
    loss_of(model, x, segments).backward()
    return [parameter.grad.numpy() for parameter in model.parameters()]


def peak(model: nn.Sequential, x, segments: int) -> float:
    """The largest memory of a step beside the network, in megabytes; of NumPy's arrays."""
    model.zero_grad()
    tracemalloc.start()
    loss_of(model, x, segments).backward()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    model = deep_network()
    # Below the first layer nothing would be recorded without a gradient of the input.
    x = xpnn.randn(256 if options.fast else 2048, WIDTH).requires_grad_()
    expected = step(model, x, 0)
    counts = [0, 1, 6, 36] if options.fast else [0, 1, 2, 3, 4, 6, 9, 12, 18, 36]
    memory, seconds = {}, {}
    for segments in counts:
        found = step(model, x, segments)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected))
        times = []
        for _ in range(2 if options.fast else 5):
            start = time.process_time()  # of the processor, so that other programs do not count
            step(model, x, segments)
            times.append(time.process_time() - start)
        memory[segments], seconds[segments] = peak(model, x, segments), min(times)
        name = f"{segments} segments" if segments else "everything kept"
        print(f"{name}: {memory[segments]:.1f} MB, {seconds[segments]:.3f} s")
    panels = []
    for values, unit, title in (
        (memory, "MB", "Memory of a step"),
        (seconds, "s", "Processor time of a step"),
    ):
        curves = {
            "checkpoints": (counts[1:], [values[count] for count in counts[1:]]),
            "everything kept": (counts[1:], [values[0]] * len(counts[1:])),
        }
        panels.append(plot_lines(curves, "segments", unit, title, log="x", ylim=(0, None)))
    save(options.out / "recompute.png", *panels)
    return {
        "kept": memory[0],
        "one segment": memory[1],
        "six segments": memory[6],
        "each layer": memory[36],
        "times slower": seconds[6] / seconds[0],
    }


if __name__ == "__main__":
    main()
