"""Four ways to a gradient: by differences, by hand, by symbols and by automatic differentiation.

The error of a difference quotient falls with the step (truncation) until the rounding of the function's
values, which is divided by the step, takes over. Automatic differentiation has no step. It also costs a few
evaluations of the function however many parameters there are, where differences cost two for each.
"""

from __future__ import annotations

import importlib.util
import time

import numpy as np
from common import parse, plot_lines, save

import xpnn
from xpnn import nn

POINT = 1.3


def function(x, xp):
    return xp.tanh(x * xp.sin(x))


def by_hand(x):
    return (1 - np.tanh(x * np.sin(x)) ** 2) * (np.sin(x) + x * np.cos(x))


def by_symbols(x: float) -> float:
    """The derivative to 30 digits: SymPy differentiates the formula, then puts in the number."""
    import sympy  # optional

    symbol = sympy.Symbol("x")
    derivative = sympy.diff(function(symbol, sympy), symbol)
    print(f"SymPy: f'(x) = {derivative}")
    return float(derivative.evalf(30, subs={symbol: sympy.Rational(str(x))}))


def automatic(x: float, dtype: str = "float64") -> float:
    x = xpnn.tensor(xpnn.asarray(x, dtype=dtype), requires_grad=True)
    return xpnn.grad(function(x, xpnn), x)[0].item()


def difference_errors(steps, exact: float) -> dict[str, tuple]:
    """The error of one-sided and central differences, in two precisions."""
    errors = {}
    for dtype in (np.float64, np.float32):
        x = dtype(POINT)
        for name, back in (("one-sided", 0), ("central", 1)):
            h = steps.astype(dtype)
            quotients = (function(x + h, np) - function(x - back * h, np)) / ((1 + back) * h)
            errors[f"{name}, {dtype.__name__}"] = (steps, np.maximum(np.abs(quotients - exact), 1e-17))
    return errors


def squared_mean(model, x):
    return (model(x) ** 2).mean()


def differences_of(model, x, step: float = 1e-5) -> list[float]:
    """Central differences of the loss for each parameter of a network: two evaluations each."""
    flat = nn.utils.parameters_to_vector(model.parameters()).detach()
    found = []
    with xpnn.no_grad():
        for index in range(len(flat)):
            losses = []
            for change in (step, -2 * step):
                flat[index] += change
                nn.utils.vector_to_parameters(flat, model.parameters())
                losses.append(squared_mean(model, x).item())
            flat[index] += step
            found.append((losses[0] - losses[1]) / (2 * step))
    return found


def time_both(widths) -> tuple[list[int], dict[str, list[float]]]:
    """Seconds for all gradients of a network of one hidden layer, which have to agree."""
    counts, seconds = [], {"central differences": [], "automatic": []}
    x = xpnn.randn(64, 4).double()
    for width in widths:
        model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1)).double()
        times = [time.perf_counter()]
        for _ in range(10):
            gradients = xpnn.grad(squared_mean(model, x), list(model.parameters()))
            times.append(time.perf_counter())
        seconds["automatic"].append(float(np.diff(times).min()))
        differences = differences_of(model, x)
        seconds["central differences"].append(time.perf_counter() - times[-1])
        counts.append(len(differences))
        flat = xpnn.to_numpy(nn.utils.parameters_to_vector(gradients))
        np.testing.assert_allclose(flat, differences, atol=1e-8)
    return counts, seconds


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    exact = by_symbols(POINT) if importlib.util.find_spec("sympy") else float(by_hand(POINT))
    steps = np.logspace(-16, 0, 33 if options.fast else 161)
    errors = difference_errors(steps, exact)
    found = {name: float(series.min()) for name, (_, series) in errors.items()}
    found |= {"by hand": abs(float(by_hand(POINT)) - exact), "automatic": abs(automatic(POINT) - exact)}
    for name, error in found.items():
        best = f" with a step of {steps[errors[name][1].argmin()]:.0e}" if name in errors else ""
        print(f"{name}: error {error:.1e}{best}")

    counts, seconds = time_both([4, 16] if options.fast else [4, 16, 64, 256, 1024])
    found["times slower"] = seconds["central differences"][-1] / seconds["automatic"][-1]
    print(f"{counts[-1]} parameters: differences take {found['times slower']:.0f} times as long")
    errors["automatic, float64"] = (steps, np.full_like(steps, max(found["automatic"], 1e-17)))
    save(
        options.out / "gradients.png",
        plot_lines(errors, "step", "error of the derivative", "Truncation and rounding", log="xy"),
        plot_lines({n: (counts, s) for n, s in seconds.items()}, "parameters", "seconds", "Time", log="xy"),
    )
    return found


if __name__ == "__main__":
    main()
