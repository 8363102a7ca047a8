"""Who else holds an array: whether it may be written in place without anybody seeing it change.

Tensors are values: who holds an array, be it `w = p.array`, a view of it or a recorded graph, never sees it
change. A new array for each result keeps that promise; so does writing in place while nobody else holds the
array. CPython counts the references to each object, and that count is the proof.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence

import numpy as np

_COUNTED = sys.implementation.name == "cpython"


def sole_owner(arrays: Sequence[np.ndarray], holders: int) -> bool:
    """Whether nobody holds any of the arrays but the sequence `arrays` itself and `holders` others in all.

    Views count as holders of the array whose memory they show, as they keep a reference to it. So memory of
    its own (`flags.owndata`) may be written in place if this is true of it; memory that we show through
    views of our own if it is true of the memory, with our views among the holders, and of the views.

    Any reference that the caller did not think of, such as a local variable, makes the answer False, so that
    a mistake costs a copy and no more. Weak references count too: who watches an array may have something
    stored for its elements. Without counted references the answer is always False. What it cannot see is
    another thread that takes the array after the answer: reading parameters while another thread updates
    them needs a lock, as it does in every library.

    Args:
        holders: the references that the caller knows of, to all arrays together, without those in `arrays`.
            As none of them is missing, their sum tells whether an array has more.

    >>> array = np.zeros(3)
    >>> sole_owner([array], holders=1)
    True
    >>> view = array[1:]
    >>> sole_owner([array], holders=1)
    False
    """
    if not _COUNTED:
        return False
    counted = sum(map(sys.getrefcount, arrays))
    return counted <= holders + len(arrays) * _IN_SEQUENCE and not any(map(weakref.getweakrefcount, arrays))


# What the same line counts for an array that nothing but the sequence holds.
_IN_SEQUENCE = max(map(sys.getrefcount, [np.empty(0)])) if _COUNTED else 0
