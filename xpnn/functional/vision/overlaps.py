"""How much boxes overlap: for all pairs of two sets, and as losses of box and true box."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import Array, ArrayT, ShapeError, namespace, size_of
from xpnn.backend.boxes import box_areas, intersections
from xpnn.functional.arguments import (
    alike,
    check_eps,
    check_floating,
    check_reduction,
    check_same_dtype,
    raw_array,
    shape_of,
)
from xpnn.functional.loss.reduction import reduced
from xpnn.functional.vision.boxes import box_convert, check_boxes, check_format, wide

__all__ = [
    "box_iou",
    "complete_box_iou",
    "complete_box_iou_loss",
    "distance_box_iou",
    "distance_box_iou_loss",
    "generalized_box_iou",
    "generalized_box_iou_loss",
]


def box_iou(boxes1: ArrayT, boxes2: Array | Tensor, fmt: str = "xyxy") -> ArrayT:
    """Intersection over union of all pairs: I / U with U = A1 + A2 - I.

    Backward: gI = g (U + I) / U^2, and to each area -g I / U^2.

    Args:
        boxes1, boxes2: (..., N, 4) and (..., M, 4), floats or integers.
        fmt: as in `box_convert`.

    Returns: (..., N, M), in [0, 1]; NaN where both boxes are empty; float32 for half precision and integers.

    Raises: ArgumentError for another format; ShapeError for other shapes.

    >>> import numpy as np
    >>> box_iou(np.asarray([[0.0, 0.0, 2.0, 2.0]]), np.asarray([[1.0, 0.0, 2.0, 2.0]])).tolist()
    [[0.5]]
    """
    first, second = _pairs(boxes1, boxes2, "box_iou", fmt)
    shared, union = _areas(first, second)
    return _over(shared, union)


def generalized_box_iou(boxes1: ArrayT, boxes2: Array | Tensor) -> ArrayT:
    """Generalised IoU of all pairs: I / U - (C - U) / C, where C is the area of the box around both.

    Args:
        boxes1, boxes2: (N, 4) and (M, 4) as x1, y1, x2, y2, or with axes before them as in `box_iou`.

    Returns: (..., N, M), in [-1, 1], as `box_iou`.

    Raises: ShapeError for other shapes.

    See: Rezatofighi et al. (2019), "Generalized intersection over union".

    >>> import numpy as np
    >>> generalized_box_iou(np.asarray([[0.0, 0.0, 1.0, 1.0]]), np.asarray([[3.0, 0.0, 4.0, 1.0]])).tolist()
    [[-0.5]]
    """
    first, second = _pairs(boxes1, boxes2, "generalized_box_iou")
    shared, union = _areas(first, second)
    width, height = _around(first, second)
    hull = width * height
    return _over(shared, union) - _over(hull - union, hull)


def distance_box_iou(boxes1: ArrayT, boxes2: Array | Tensor, eps: float = 1e-7) -> ArrayT:
    """Distance IoU of all pairs: I / U - d^2 / (c^2 + eps); d is between the centres, c the hull's diagonal.

    Args:
        boxes1, boxes2: as in `generalized_box_iou`.
        eps: added to c^2.

    Returns: (..., N, M), as `box_iou`.

    Raises: ShapeError for other shapes.

    See: Zheng et al. (2020), "Distance-IoU loss".

    >>> import numpy as np
    >>> distance_box_iou(np.asarray([[0.0, 0.0, 3.0, 4.0]]), np.asarray([[0.0, 0.0, 3.0, 4.0]])).tolist()
    [[1.0]]
    """
    first, second = _pairs(boxes1, boxes2, "distance_box_iou")
    eps = check_eps(eps, "distance_box_iou")
    return _over(*_areas(first, second)) - _apart(first, second, eps)


def complete_box_iou(boxes1: ArrayT, boxes2: Array | Tensor, eps: float = 1e-7) -> ArrayT:
    """Complete IoU of all pairs: distance IoU - a v, with v = 4 / pi^2 (atan(w1 / h1) - atan(w2 / h2))^2.

    a = v / (1 - I / U + v + eps) is a constant to the backward.

    Args:
        boxes1, boxes2, eps: as in `distance_box_iou`.

    Returns: (..., N, M), as `box_iou`.

    Raises: ShapeError for other shapes.

    See: Zheng et al. (2020), "Distance-IoU loss".

    >>> import numpy as np
    >>> complete_box_iou(np.asarray([[0.0, 0.0, 3.0, 4.0]]), np.asarray([[0.0, 0.0, 3.0, 4.0]])).tolist()
    [[1.0]]
    """
    first, second = _pairs(boxes1, boxes2, "complete_box_iou")
    eps = check_eps(eps, "complete_box_iou")
    iou = _over(*_areas(first, second))
    return iou - _apart(first, second, eps) - _unlike(first, second, iou, eps)


def generalized_box_iou_loss(
    boxes1: ArrayT, boxes2: Array | Tensor, reduction: str = "none", eps: float = 1e-7
) -> ArrayT:
    """The loss 1 - generalised IoU of each box and its partner, with eps added to both divisors.

    Args:
        boxes1, boxes2: (N, 4) or (4,) as x1, y1, x2, y2, floating.
        reduction: "none", "mean", which of no boxes is 0, or "sum".
        eps: keeps empty boxes from a division by 0.

    Returns: (N,) or (), or a number.

    Raises: ShapeError for other shapes.

    See: Rezatofighi et al. (2019), "Generalized intersection over union".

    >>> import numpy as np
    >>> box, true = np.asarray([[0.0, 0.0, 1.0, 1.0]]), np.asarray([[3.0, 0.0, 4.0, 1.0]])
    >>> generalized_box_iou_loss(box, true).round(5).tolist()
    [1.5]
    """

    def likeness(first: Any, second: Any, eps: float) -> Any:
        shared, union = _areas(first, second)
        width, height = _around(first, second)
        hull = width * height
        return shared / (union + eps) - (hull - union) / (hull + eps)

    return _loss("generalized_box_iou_loss", likeness, boxes1, boxes2, reduction, eps)


def distance_box_iou_loss(
    boxes1: ArrayT, boxes2: Array | Tensor, reduction: str = "none", eps: float = 1e-7
) -> ArrayT:
    """The loss 1 - distance IoU of each box and its partner, with eps added to both divisors.

    Args:
        boxes1, boxes2, reduction, eps: as in `generalized_box_iou_loss`.

    Returns: (N,) or (), or a number. Raises: ShapeError for other shapes.

    See: Zheng et al. (2020), "Distance-IoU loss".

    >>> import numpy as np
    >>> box, true = np.asarray([[0.0, 0.0, 1.0, 1.0]]), np.asarray([[2.0, 0.0, 3.0, 1.0]])
    >>> distance_box_iou_loss(box, true).round(5).tolist()
    [1.4]
    """

    def likeness(first: Any, second: Any, eps: float) -> Any:
        shared, union = _areas(first, second)
        return shared / (union + eps) - _apart(first, second, eps)

    return _loss("distance_box_iou_loss", likeness, boxes1, boxes2, reduction, eps)


def complete_box_iou_loss(
    boxes1: ArrayT, boxes2: Array | Tensor, reduction: str = "none", eps: float = 1e-7
) -> ArrayT:
    """The loss 1 - complete IoU of each box and its partner, with eps added to the divisors.

    Args:
        boxes1, boxes2, reduction, eps: as in `generalized_box_iou_loss`.

    Returns: (N,) or (), or a number. Raises: ShapeError for other shapes.

    See: Zheng et al. (2020), "Distance-IoU loss".

    >>> import numpy as np
    >>> box, true = np.asarray([[0.0, 0.0, 1.0, 1.0]]), np.asarray([[2.0, 0.0, 3.0, 1.0]])
    >>> complete_box_iou_loss(box, true).round(5).tolist()
    [1.4]
    """

    def likeness(first: Any, second: Any, eps: float) -> Any:
        shared, union = _areas(first, second)
        iou = shared / (union + eps)
        return iou - _apart(first, second, eps) - _unlike(first, second, iou, eps)

    return _loss("complete_box_iou_loss", likeness, boxes1, boxes2, reduction, eps)


def _pairs(boxes1: Any, boxes2: Any, subject: str, fmt: str = "xyxy") -> tuple[Any, Any]:
    """Floats (..., N, 1, 4) and (..., 1, M, 4) as x1, y1, x2, y2."""
    check_format(fmt, "fmt", subject)
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        check_boxes(boxes, subject, name)
        if boxes.ndim < 2:
            raise ShapeError(
                f"expects {name} of at least 2 axes (..., N, 4), got the shape {shape_of(boxes)}",
                subject=subject,
            )
    first, second = (wide(boxes, floats=True) for boxes in alike(boxes1, boxes2))
    check_same_dtype(subject, first, boxes2=second)
    if fmt != "xyxy":
        first, second = (box_convert(boxes, fmt, "xyxy") for boxes in (first, second))
    return first[..., :, None, :], second[..., None, :, :]


def _loss(subject: str, likeness: Callable, boxes1: Any, boxes2: Any, reduction: str, eps: float) -> Any:
    check_floating(boxes1, subject, "boxes1")
    check_same_dtype(subject, boxes1, boxes2=boxes2)
    check_reduction(reduction, subject)
    eps = check_eps(eps, subject)
    check_boxes(boxes1, subject, "boxes1")
    if shape_of(boxes1) != shape_of(boxes2):
        raise ShapeError(
            f"expects boxes1 and boxes2 of one shape, got {shape_of(boxes1)} and {shape_of(boxes2)}",
            subject=subject,
        )
    first, second = (wide(boxes) for boxes in alike(boxes1, boxes2))
    losses = 1.0 - likeness(first, second, eps)
    return reduced(losses, reduction, max(size_of(losses.shape), 1))


def _areas(first: Any, second: Any) -> tuple[Any, Any]:
    """The areas of the intersection and of the union."""
    shared = intersections(first, second)
    return shared, box_areas(first) + box_areas(second) - shared


def _around(first: Any, second: Any) -> list[Any]:
    """Width and height of the box around both."""
    xp = namespace(first, second)
    return [
        xp.maximum(first[..., end], second[..., end]) - xp.minimum(first[..., start], second[..., start])
        for start, end in ((0, 2), (1, 3))
    ]


def _apart(first: Any, second: Any, eps: float) -> Any:
    """The squared distance of the centres over the squared diagonal of the box around both."""
    width, height = _around(first, second)
    across, down = (
        0.5 * (first[..., start] + first[..., end] - second[..., start] - second[..., end])
        for start, end in ((0, 2), (1, 3))
    )
    return (across * across + down * down) / (width * width + height * height + eps)


def _unlike(first: Any, second: Any, iou: Any, eps: float) -> Any:
    """How the shapes of the boxes differ, as complete IoU counts it."""
    xp = namespace(first, second)
    angles = [xp.atan2(x[..., 2] - x[..., 0], x[..., 3] - x[..., 1]) for x in (first, second)]
    v = (4 / math.pi**2) * (angles[0] - angles[1]) ** 2
    raw = raw_array(v)
    v, weight = alike(v, raw / (1.0 - raw_array(iou) + raw + eps))
    return v * weight


def _over(x: Any, y: Any) -> Any:
    """x / y; NaN where y is 0, without a warning."""
    xp = namespace(x, y)
    return x / xp.where(raw_array(y) == 0, math.nan, y)
