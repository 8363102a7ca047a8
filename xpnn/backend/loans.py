"""Things that all processes make together, lent by number, taken back and lent again.

MPI has room for some two thousand communicators in a process, and each one that is made takes a message to
all. So what is given back is kept. Processes give back at different times, as Python collects garbage: one
is lent again when all of them say, at the same call, that they have it back.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np

_MANY = 64  # on loan, from which on garbage is collected before more are made


class Loan:
    """Something that is lent, until `give_back`.

    Attributes:
        number: which one it is, the same in all processes.
        item: what is lent.
        busy: whether messages are under way in it; one that is given back so is never lent again.
    """

    def __init__(self, number: int, item: Any) -> None:
        self.number = number
        self.item = item
        self.busy = False
        self._lent = True

    def give_back(self) -> None:
        """Say that this process needs it no longer."""
        self._lent = False

    @property
    def is_back(self) -> bool:
        """Whether it may be lent again, as far as this process knows."""
        return not self._lent and not self.busy

    def again(self) -> Loan:
        """The same thing for somebody else: what the one before has kept of it has no effect any more."""
        return Loan(self.number, self.item)


class Loans:
    """What is lent; every process calls `borrow` in the same order."""

    def __init__(self) -> None:
        self._all: list[Loan] = []  # by number
        self._many = _MANY

    def borrow(self, make: Callable[[], Any], minimum: Callable[[np.ndarray], np.ndarray]) -> Loan:
        """Lend what is back in all processes, else a new one.

        Args:
            make: makes one, with the other processes.
            minimum: of each number over all processes.
        """
        number = self._number_that_is_back(minimum)
        if number is None and len(self._all) >= self._many:
            gc.collect()  # a network and its hooks refer to each other
            number = self._number_that_is_back(minimum)
            if number is None:
                self._many = 2 * len(self._all)
        if number is None:
            loan = Loan(len(self._all), make())
            self._all.append(loan)
        else:
            loan = self._all[number] = self._all[number].again()
        return loan

    def closed(self) -> list[Loan]:
        """Lend no more; the loans that are back."""
        back = [loan for loan in self._all if loan.is_back]
        self._all = []
        return back

    def _number_that_is_back(self, minimum: Callable[[np.ndarray], np.ndarray]) -> int | None:
        if not self._all:
            return None
        back = minimum(np.array([loan.is_back for loan in self._all], np.uint8))
        return int(back.argmax()) if back.any() else None
