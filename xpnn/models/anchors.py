"""Anchors: boxes in a grid over an image; a detector says how the box of a thing differs from one of them.

See: Ren, He, Girshick & Sun (2015), "Faster R-CNN"; Lin et al. (2017), "Focal loss for dense object
detection".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import arange, as_tensor

_LARGEST = math.log(1000 / 16)  # by which a code may enlarge an anchor, so that exp does not overflow


class Matches(NamedTuple):
    """For each anchor the number of its box, (..., A); whether it has one; and whether it has surely none."""

    boxes: Tensor
    positive: Tensor
    negative: Tensor


def anchor_boxes(
    rows: int,
    columns: int,
    stride: int,
    sides: Sequence[float],
    ratios: Sequence[float] = (1.0,),
    **options: Any,
) -> Tensor:
    """The anchors of a map: at the centre of each cell one of each side and ratio.

    Args:
        rows, columns: of the map.
        stride: the side of a cell, in cells of the image.
        sides: the square roots of the anchors' areas. ratios: their heights over their widths.
        options: dtype and device.

    Returns: (rows * columns * anchors of a cell, 4) as x1, y1, x2, y2.

    >>> anchor_boxes(1, 2, 4, sides=[2]).tolist()
    [[1.0, 1.0, 3.0, 3.0], [5.0, 1.0, 7.0, 3.0]]
    """
    shapes = [(side / ratio**0.5, side * ratio**0.5) for side in sides for ratio in ratios]
    halves = as_tensor([[-w / 2, -h / 2, w / 2, h / 2] for w, h in shapes], **options)
    y, x = ((arange(count, **options) + 0.5) * stride for count in (rows, columns))
    y, x = xp.broadcast_to(y[:, None], (rows, columns)), xp.broadcast_to(x[None, :], (rows, columns))
    centres = xp.stack([x, y, x, y], axis=-1)
    return (centres[:, :, None, :] + halves).reshape(-1, 4)


def encode_boxes(boxes: Any, anchors: Any) -> Tensor:
    """What a network is to say: (dx / w, dy / h, ln of the widths' and of the heights' ratio).

    Args:
        boxes, anchors: (..., 4) as x1, y1, x2, y2; they broadcast.
    """
    box, anchor = (F.box_convert(as_tensor(x), "xyxy", "cxcywh") for x in (boxes, anchors))
    moved = (box[..., :2] - anchor[..., :2]) / anchor[..., 2:]
    return xp.concat([moved, xp.log(box[..., 2:] / anchor[..., 2:])], axis=-1)


def decode_boxes(codes: Any, anchors: Any) -> Tensor:
    """The boxes that `encode_boxes` would have made these codes of."""
    codes = as_tensor(codes)
    anchor = xp.broadcast_to(F.box_convert(as_tensor(anchors), "xyxy", "cxcywh"), codes.shape)
    centre = anchor[..., :2] + codes[..., :2] * anchor[..., 2:]
    size = anchor[..., 2:] * xp.exp(xp.clip(codes[..., 2:], None, _LARGEST))
    return F.box_convert(xp.concat([centre, size], axis=-1), "cxcywh", "xyxy")


def match_anchors(anchors: Any, boxes: Any, there: Any, above: float = 0.5, below: float = 0.4) -> Matches:
    """Which box each anchor is to find.

    An anchor has the box that it overlaps most if their intersection over union is at least `above`; if it is
    less than `below`, it has none; between them the anchor is left out. A box that no anchor overlaps so much
    has those that overlap it most.

    Args:
        anchors: (A, 4). boxes: (..., G, 4). there: (..., G), true where there is a box, others are padding.
    """
    anchors, boxes, there = (as_tensor(x) for x in (anchors, boxes, there))
    with no_grad():
        iou = xp.where(there[..., None], F.box_iou(boxes, anchors), -1.0)  # (..., G, A)
        best = xp.max(iou, axis=-2)
        number = xp.argmax(iou, axis=-2)
        ours = (iou == xp.max(iou, axis=-1, keepdims=True)) & (iou > 0)
        rescued = xp.any(ours, axis=-2)
        number = xp.where(rescued & (best < above), xp.argmax(ours.to(iou.dtype), axis=-2), number)
        positive = (best >= above) | rescued
        return Matches(number, positive, ~positive & (best < below))
