"""Writes xpnn/cli/functions.csv, which `xpnn info --functions` prints, from the rows of the tests.

    python tests/function_table.py

A check is a function with some options on a backend, in its values or in a derivative of the first or second
order. Of a module its results, state and gradients are one check a line and backend.
"""

from __future__ import annotations

import csv
from collections import defaultdict

from cases.front import all_rows
from cases.layer import all_layers
from test_cases import CASES, chosen, test_forward, test_gradient, test_second_derivative

from xpnn.cli.info import TABLE

BACKENDS = {"numpy": "numpy", "strict": "array-api-strict", "torch": "torch", "jax": "jax"}  # that CI has
HEAD = ("where", "name", "calls", "derivatives", "backends", "checks")

Line = tuple[str, str, int, int, str, int]


def lines() -> list[Line]:
    """What is known of each function: where it is, its name, how it is called, and what is compared."""
    calls: dict[tuple[str, str], int] = defaultdict(int)
    orders: dict[tuple[str, str], int] = defaultdict(int)
    checks: dict[tuple[str, str], int] = defaultdict(int)

    def add(where: str, name: str, several: int, order: int, checked: int) -> None:
        calls[where, name] += several
        orders[where, name] = max(orders[where, name], order)
        checks[where, name] += checked

    for case in CASES:
        differentiable = bool(case.gradient_positions(case.arrays(**case.options[0])))
        order = 0 if not differentiable else 1 + case.second_order
        tests = (test_forward, test_gradient, test_second_derivative)[: order + 1]
        runs = sum(len(chosen(test, case, target, True)) for test in tests for target in BACKENDS)
        add("functional", case.name.split()[0], len(case.options), order, runs)
    for row in all_rows():
        runs = sum(1 + (min(row.gradient, 1) if target == "jax" else row.gradient) for target in BACKENDS)
        add("xpnn and Tensor", row.name, 1, row.gradient, runs)
    for layer in all_layers():
        add("nn", layer.name, 1, 1, len(BACKENDS))
    backends = " ".join(BACKENDS.values())
    return sorted((*key, calls[key], orders[key], backends, checks[key]) for key in calls)


def text(line: Line) -> tuple[str, ...]:
    return tuple(map(str, line))


def main() -> None:
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *map(text, lines())])


if __name__ == "__main__":
    main()
