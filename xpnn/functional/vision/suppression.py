"""Non-maximum suppression: of boxes that overlap, the one with the highest score stays."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import Array, ArrayT, ShapeError, namespace, to_numpy
from xpnn.backend.boxes import box_areas, intersections
from xpnn.functional.arguments import check_floating, check_same_dtype, number, raw_array, shape_of
from xpnn.functional.vision.boxes import check_boxes, places_like, wide

__all__ = ["batched_nms", "nms"]


def nms(boxes: ArrayT, scores: Array | Tensor, iou_threshold: float) -> ArrayT:
    """The numbers of the boxes that stay, the highest score first: (K,) integers.

    From the highest score down, a box stays unless its intersection over union with one that stays already
    exceeds the threshold. Of equal scores the earlier box comes first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2, floating.
        scores: (N,), floating.
        iou_threshold: above which the box with the lower score goes.

    The boxes are read on the host, and there is no gradient.

    Raises: ShapeError for other shapes.

    >>> import numpy as np
    >>> boxes = np.asarray([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 4.0], [5.0, 5.0, 8.0, 8.0]])
    >>> nms(boxes, np.asarray([0.8, 0.9, 0.5]), 0.5).tolist()
    [1, 2]
    """
    corners, ranks = _on_host(boxes, scores, "nms")
    return places_like(_kept(corners, ranks, number(iou_threshold, "iou_threshold", "nms")), boxes)


def batched_nms(boxes: ArrayT, scores: Array | Tensor, idxs: Array | Tensor, iou_threshold: float) -> ArrayT:
    """`nms` among the boxes of each class by themselves.

    Args:
        boxes, scores, iou_threshold: as in `nms`.
        idxs: (N,), the class of each box; boxes of different classes leave each other alone.

    Returns: (K,) integers, the highest score first.

    Raises: ShapeError for other shapes.

    >>> import numpy as np
    >>> boxes = np.asarray([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 4.0]])
    >>> batched_nms(boxes, np.asarray([0.8, 0.9]), np.asarray([0, 1]), 0.5).tolist()
    [1, 0]
    """
    subject = "batched_nms"
    corners, ranks = _on_host(boxes, scores, subject)
    threshold = number(iou_threshold, "iou_threshold", subject)
    namespace(boxes, idxs)
    if shape_of(idxs) != shape_of(scores):
        raise ShapeError(f"expects idxs of shape {shape_of(scores)}, got {shape_of(idxs)}", subject=subject)
    classes = to_numpy(raw_array(idxs))
    kept: list[int] = []
    for kind in {*classes.tolist()}:
        own = (classes == kind).nonzero()[0]
        kept += own[_kept(corners[own], ranks[own], threshold)].tolist()
    kept.sort(key=lambda place: (-ranks[place], place))
    return places_like(kept, boxes)


def _on_host(boxes: Any, scores: Any, subject: str) -> tuple[Any, Any]:
    """Both as arrays of the host, in float32 at least."""
    check_floating(boxes, subject, "boxes")
    check_same_dtype(subject, boxes, scores=scores)
    namespace(boxes, scores)
    check_boxes(boxes, subject, rows=True)
    if shape_of(scores) != shape_of(boxes)[:1]:
        raise ShapeError(
            f"expects scores of shape {shape_of(boxes)[:1]}, got {shape_of(scores)}", subject=subject
        )
    corners, ranks = (to_numpy(wide(raw_array(x))) for x in (boxes, scores))
    return corners, ranks


def _kept(boxes: Any, scores: Any, threshold: float) -> Any:
    """The numbers of the boxes that stay. Each turn compares one that stays with all that are left."""
    xp = namespace(boxes)
    order = (-scores).argsort(kind="stable")
    boxes = boxes[order]
    areas = box_areas(boxes)
    left = xp.arange(len(boxes))
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        shared = intersections(boxes[best], boxes[left])
        union = areas[best] + areas[left] - shared
        iou = shared / xp.where(union == 0, math.nan, union)  # empty boxes stay
        left = left[~(xp.astype(iou, xp.float64) > threshold)]
    return order[xp.asarray(kept, dtype=order.dtype)]
