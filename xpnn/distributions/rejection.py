"""Drawing by proposals that may be refused, in whole arrays."""

from __future__ import annotations

from collections.abc import Callable

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.backend import concrete, random

__all__: list[str] = []


def by_rejection(
    propose: Callable[[], tuple[Tensor, Tensor]], start: Tensor, rounds: int, draws: int
) -> Tensor:
    """The first accepted proposal of each element.

    A fixed number of rounds, so that a compiled step has no end to find; outside of one the rounds that
    nobody needs are left out, and the random numbers that follow are the same.

    Args:
        propose: gives proposals and whether they are accepted. start: stands where all rounds refuse.
        rounds: so many that this is less probable than 1e-12. draws: of random numbers in a round.
    """
    found, open_ = start, start == start
    for left in reversed(range(rounds)):
        proposal, good = propose()
        found = where(good & open_, proposal, found)
        open_ = open_ & ~good
        if concrete(open_.array) and not bool(open_.any()):
            for _ in range(draws * left):
                random.default_stream().next_counter()
            break
    return found
