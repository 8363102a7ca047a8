"""Sums over the processes of a job, with their gradient."""

from __future__ import annotations

from typing import Any

from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, ArrayT, Group


def sum_over_processes(x: ArrayT, group: Group) -> ArrayT:
    """The sum of every process's array, the same in all of them.

    Each process's loss depends on each one's array, so the gradient is a sum over processes too:

        Y = X_0 + ... + X_(size - 1)        gx = gy_0 + ... + gy_(size - 1)

    Args:
        x: of the same shape and type in all processes. group: the processes.
    """
    return _sum_over_processes(x, group=group)


@primitive
def _sum_over_processes(x: Array, *, group: Group) -> tuple[Array, tuple]:
    return group.all_reduce(x), ()


@_sum_over_processes.backward
def _sum_over_processes_backward(gy: Any, saved: tuple, needs: tuple[bool, ...], *, group: Group) -> tuple:
    return (sum_over_processes(gy, group),)
