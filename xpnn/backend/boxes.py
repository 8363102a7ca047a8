"""Areas and intersections of boxes: what functions with gradients and measures without any both need.

A box is the four numbers x1, y1, x2, y2: the left, upper, right and lower edge.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend.namespace import namespace


def box_areas(boxes: Any) -> Any:
    """(..., 4) to (...).

    >>> import numpy as np
    >>> box_areas(np.asarray([[0.0, 0.0, 2.0, 3.0]])).tolist()
    [6.0]
    """
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersections(first: Any, second: Any) -> Any:
    """The areas that boxes share, of shapes (..., 4) that broadcast.

    >>> import numpy as np
    >>> first, second = np.asarray([0.0, 0.0, 2.0, 2.0]), np.asarray([1.0, 1.0, 3.0, 3.0])
    >>> float(intersections(first, second))
    1.0
    """
    xp = namespace(first, second)
    width, height = (
        xp.minimum(first[..., end], second[..., end]) - xp.maximum(first[..., start], second[..., start])
        for start, end in ((0, 2), (1, 3))
    )
    return xp.clip(width, 0) * xp.clip(height, 0)
