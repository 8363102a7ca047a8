"""Boxes: their formats and areas, cut to an image, chosen by size, and found around masks.

Formats are "xyxy", the left, upper, right and lower edge; "xywh", the left and upper edge, width and height;
"cxcywh", the centre, width and height. y grows downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.autograd.core import new_tensor
from xpnn.backend import (
    ArgumentError,
    ArrayT,
    DTypeError,
    ShapeError,
    device_of,
    is_floating,
    is_half,
    is_integer,
    is_tensor,
    namespace,
    refusing,
    to_numpy,
)
from xpnn.backend.boxes import box_areas
from xpnn.functional.arguments import (
    as_indices,
    check_rank,
    number,
    raw_array,
    shape_of,
    tuple_of,
    type_name,
)

__all__ = ["box_area", "box_convert", "clip_boxes_to_image", "masks_to_boxes", "remove_small_boxes"]

_FORMATS = ("xyxy", "xywh", "cxcywh")


def box_convert(boxes: ArrayT, in_fmt: str, out_fmt: str) -> ArrayT:
    """Boxes in another format.

    Args:
        boxes: (..., 4), floats or integers.
        in_fmt, out_fmt: "xyxy", "xywh" or "cxcywh"; see the module. Integers with centres become float32.

    Raises: ArgumentError for another format; ShapeError for another shape.

    >>> import numpy as np
    >>> box_convert(np.asarray([[1.0, 2.0, 4.0, 6.0]]), "xyxy", "cxcywh").tolist()
    [[2.5, 4.0, 3.0, 4.0]]
    """
    subject = "box_convert"
    check_boxes(boxes, subject)
    for name, value in (("in_fmt", in_fmt), ("out_fmt", out_fmt)):
        check_format(value, name, subject)
    xp: Any = namespace(boxes)
    if is_integer(boxes) and in_fmt != out_fmt and "cxcywh" in (in_fmt, out_fmt):
        boxes = xp.astype(boxes, xp.float32)
    a, b, c, d = (boxes[..., i] for i in range(4))
    if in_fmt == out_fmt:
        return xp.stack([a, b, c, d], axis=-1)
    if in_fmt == "xywh":
        c, d = a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        c, d = c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = 0.5 * (a + c), 0.5 * (b + d), c - a, d - b
    return xp.stack([a, b, c, d], axis=-1)


def box_area(boxes: ArrayT, fmt: str = "xyxy") -> ArrayT:
    """The areas of boxes, width times height. Backward: by the rule of products.

    Args:
        boxes: (..., 4), floats or integers.
        fmt: as in `box_convert`.

    Returns: (...); in float32 for boxes of half precision, which holds no area above 65504.

    Raises: ArgumentError for another format; ShapeError for another shape.

    >>> import numpy as np
    >>> box_area(np.asarray([[1.0, 2.0, 4.0, 6.0]])).tolist()
    [12.0]
    """
    check_boxes(boxes, "box_area")
    check_format(fmt, "fmt", "box_area")
    boxes = wide(boxes)
    return box_areas(boxes) if fmt == "xyxy" else boxes[..., 2] * boxes[..., 3]


@refusing
def clip_boxes_to_image(boxes: ArrayT, size: Sequence[int]) -> ArrayT:
    """Boxes cut off at the edges of an image. Backward: 1 for the edges that stay, else 0.

    Args:
        boxes: (..., 4) as x1, y1, x2, y2, floats or integers.
        size: (height, width) of the image.

    Raises: ShapeError for another shape.

    >>> import numpy as np
    >>> clip_boxes_to_image(np.asarray([[-1.0, 2.0, 9.0, 6.0]]), (5, 8)).tolist()
    [[0.0, 2.0, 8.0, 5.0]]
    """
    subject = "clip_boxes_to_image"
    check_boxes(boxes, subject)
    height, width = tuple_of(tuple(size), 2, "size", subject)
    xp = namespace(boxes)
    return xp.stack([xp.clip(boxes[..., i], 0, width if i % 2 == 0 else height) for i in range(4)], axis=-1)


def remove_small_boxes(boxes: ArrayT, min_size: float) -> ArrayT:
    """The numbers of the boxes whose width and height are at least `min_size`, (K,) integers, rising.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2, floats or integers.
        min_size: in cells. How many boxes there are is read on the host.

    Raises: ShapeError for another shape.

    >>> import numpy as np
    >>> remove_small_boxes(np.asarray([[0, 0, 5, 1], [0, 0, 3, 3]]), 2.0).tolist()
    [1]
    """
    subject = "remove_small_boxes"
    check_boxes(boxes, subject, rows=True)
    least = number(min_size, "min_size", subject)
    raw: Any = raw_array(boxes)
    large = (raw[:, 2] - raw[:, 0] >= least) & (raw[:, 3] - raw[:, 1] >= least)
    return places_like(to_numpy(large).nonzero()[0], boxes)


def masks_to_boxes(masks: ArrayT) -> ArrayT:
    """The boxes around masks: the first and the last column and row with anything but 0.

    Args:
        masks: (N, H, W), of any element type.

    Returns: (N, 4) of float32: x1, y1, x2, y2, where x2 and y2 are the numbers of the last column and row,
        not the edges behind them, as in torchvision; 0 for an empty mask.

    Raises: ShapeError for other axes, or an image without cells.

    >>> import numpy as np
    >>> masks_to_boxes(np.asarray([[[0, 0, 0], [0, 1, 1]]])).tolist()
    [[1.0, 1.0, 2.0, 1.0]]
    """
    subject = "masks_to_boxes"
    check_rank(masks, 3, subject, "N, H, W", "masks")
    if 0 in masks.shape[1:]:
        raise ShapeError(f"expects masks with cells, got the shape {shape_of(masks)}", subject=subject)
    raw: Any = raw_array(masks)
    xp = namespace(raw)
    ends = []
    for axis in (1, 2):  # of the columns, then of the rows
        hit = xp.any(raw != 0, axis=axis)
        index = xp.arange(hit.shape[1], dtype=xp.float32, device=device_of(raw))
        some = xp.any(hit, axis=1)
        first = xp.min(xp.where(hit, index, xp.full_like(index, float(hit.shape[1]))), axis=1)
        last = xp.max(xp.where(hit, index, xp.zeros_like(index)), axis=1)
        ends.append((xp.where(some, first, xp.zeros_like(first)), last))
    (x1, x2), (y1, y2) = ends
    found = xp.stack([x1, y1, x2, y2], axis=-1)
    return new_tensor(found) if is_tensor(masks) else found


def check_boxes(boxes: Any, subject: str, name: str = "boxes", rows: bool = False) -> None:
    """Raise an error unless `boxes` is (..., 4), or (N, 4) with `rows`, of floats or integers."""
    if not (is_floating(boxes) or is_integer(boxes)):
        raise DTypeError(f"expects {name} of numbers, got {type_name(boxes)}", subject=subject)
    if boxes.ndim < 1 or boxes.shape[-1] != 4 or (rows and boxes.ndim != 2):
        raise ShapeError(
            f"expects {name} of shape {'(N, 4)' if rows else '(..., 4)'}, "
            f"got {boxes.ndim} axes in the shape {shape_of(boxes)}",
            subject=subject,
        )


def wide(boxes: Any, floats: bool = False) -> Any:
    """Boxes in an element type that holds their areas: half precision in float32, integers in int64.

    With `floats`, integers in float32.
    """
    xp = namespace(boxes)
    if is_half(boxes) or (floats and is_integer(boxes)):
        return xp.astype(boxes, xp.float32)
    return xp.astype(boxes, xp.int64) if is_integer(boxes) else boxes


def places_like(places: Any, like: Any) -> Any:
    """Indices that were found on the host, on the device of `like`, and as a Tensor if that is one."""
    raw = raw_array(like)
    found = as_indices(namespace(raw).asarray(places, device=device_of(raw)))
    return new_tensor(found) if is_tensor(like) else found


def check_format(fmt: Any, name: str, subject: str) -> None:
    """Raise an ArgumentError unless it is the name of a format."""
    if not isinstance(fmt, str) or fmt not in _FORMATS:
        raise ArgumentError(f"expects {name} to be one of {_FORMATS}, got {fmt!r}", subject=subject)
