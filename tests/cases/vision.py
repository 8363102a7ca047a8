"""Boxes, what they share, which of them stay, and regions of maps."""

from __future__ import annotations

import math

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from xpnn.backend import ArgumentError, IndexOutOfRangeError, ShapeError


def boxes(count, size=8.0):
    """Boxes of which none touches another's edge, where a derivative would jump."""

    def make(rng):
        start = rng.uniform(0, size, (count, 2))
        return np.concatenate([start, start + rng.uniform(size / 4, size, (count, 2))], axis=1)

    return make


def two(n, m):
    return lambda rng, **options: (boxes(n)(rng), boxes(m)(rng))


# --- formulas, box by box ---


def corners(box, fmt):
    a, b, c, d = box
    if fmt == "xywh":
        return a, b, a + c, b + d
    if fmt == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d


def naive_convert(x, in_fmt, out_fmt):
    y = np.empty_like(x)
    for place in np.ndindex(x.shape[:-1]):
        a, b, c, d = corners(x[place], in_fmt)
        y[place] = {
            "xyxy": (a, b, c, d),
            "xywh": (a, b, c - a, d - b),
            "cxcywh": ((a + c) / 2, (b + d) / 2, c - a, d - b),
        }[out_fmt]
    return y


def naive_area(x, fmt="xyxy"):
    y = np.empty(x.shape[:-1])
    for place in np.ndindex(y.shape):
        a, b, c, d = corners(x[place], fmt)
        y[place] = (c - a) * (d - b)
    return y


def likeness(kind, p, q, inner_eps=0.0, eps=1e-7):
    """IoU, generalised, distance or complete IoU of two boxes."""
    width, height = (min(p[i + 2], q[i + 2]) - max(p[i], q[i]) for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    union = naive_area(p) + naive_area(q) - shared
    iou = shared / (union + inner_eps)
    wide, high = (max(p[i + 2], q[i + 2]) - min(p[i], q[i]) for i in (0, 1))
    if kind == "generalized":
        return iou - (wide * high - union) / (wide * high + inner_eps)
    if kind == "plain":
        return iou
    apart = sum(((p[i] + p[i + 2] - q[i] - q[i + 2]) / 2) ** 2 for i in (0, 1))
    iou_d = iou - apart / (wide**2 + high**2 + eps)
    if kind == "distance":
        return iou_d
    v = 4 / math.pi**2 * sum(s * math.atan((r[2] - r[0]) / (r[3] - r[1])) for s, r in ((1, p), (-1, q))) ** 2
    return iou_d - v * v / (1 - iou + v + eps)


def naive_pairs(kind):
    def pairs(x, y, fmt="xyxy", eps=1e-7):
        x, y = naive_convert(x, fmt, "xyxy"), naive_convert(y, fmt, "xyxy")
        found = np.zeros((*x.shape[:-1], y.shape[-2]))
        for *batch, i, j in np.ndindex(found.shape):
            found[(*batch, i, j)] = likeness(kind, x[(*batch, i)], y[(*batch, j)], eps=eps)
        return found

    return pairs


def naive_loss(kind):
    def losses(x, y, reduction="none", eps=1e-7):
        each = np.asarray([1 - likeness(kind, p, q, eps, eps) for p, q in zip(x, y)])
        return {"none": each, "sum": each.sum(), "mean": each.sum() / max(len(each), 1)}[reduction]

    return losses


def naive_nms(x, scores, threshold):
    kept = []
    for i in sorted(range(len(x)), key=lambda i: (-scores[i], i)):
        if all(likeness("plain", x[i], x[j]) <= threshold for j in kept):
            kept.append(i)
    return np.asarray(kept, dtype=np.int64)


def naive_batched_nms(x, scores, idxs, threshold):
    kept = []
    for kind in np.unique(idxs):
        (own,) = np.nonzero(idxs == kind)
        kept += own[naive_nms(x[own], scores[own], threshold)].tolist()
    return np.asarray(sorted(kept, key=lambda i: (-scores[i], i)), dtype=np.int64)


def naive_masks(x):
    found = np.zeros((len(x), 4), np.float32)
    for i, mask in enumerate(x):
        rows, columns = np.nonzero(mask)
        if len(rows):
            found[i] = columns.min(), rows.min(), columns.max(), rows.max()
    return found


def bilinear(image, y, x):
    """The value of (C, H, W) at a point, by the four cells around it."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
    return sum(
        image[:, min(top + i, height - 1), min(left + j, width - 1)]
        * ((y - top) if i else (1 - y + top))
        * ((x - left) if j else (1 - x + left))
        for i in (0, 1)
        for j in (0, 1)
    )


def naive_roi_align(image, rois, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    found = np.zeros((len(rois), image.shape[1], rows, columns))
    for k, (number, *box) in enumerate(rois):
        x1, y1, x2, y2 = (spatial_scale * edge - (0.5 if aligned else 0) for edge in box)
        height, width = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
        down = sampling_ratio if sampling_ratio > 0 else max(math.ceil(height / rows), 0)
        across = sampling_ratio if sampling_ratio > 0 else max(math.ceil(width / columns), 0)
        for i, j, a, b in np.ndindex(rows, columns, down, across):
            y = y1 + (i + (a + 0.5) / down) * height / rows
            x = x1 + (j + (b + 0.5) / across) * width / columns
            found[k, :, i, j] += bilinear(image[int(number)], y, x) / (down * across)
    return found


# --- by PyTorch ---


def torch_areas(torch, x, y):
    assert x.shape[-1] == y.shape[-1] == 4, "more columns would be left out in silence"
    width, height = (
        (torch.minimum(x[..., i + 2], y[..., i + 2]) - torch.maximum(x[..., i], y[..., i])).clamp(min=0)
        for i in (0, 1)
    )
    area_x, area_y = ((z[..., 2] - z[..., 0]) * (z[..., 3] - z[..., 1]) for z in (x, y))
    return width * height, area_x + area_y - width * height


def torch_hull(torch, x, y):
    return [torch.maximum(x[..., i + 2], y[..., i + 2]) - torch.minimum(x[..., i], y[..., i]) for i in (0, 1)]


def torch_iou(torch, x, y, fmt="xyxy"):
    assert x.ndim > 1 < y.ndim
    if fmt == "xywh":
        x, y = (torch.cat([z[..., :2], z[..., :2] + z[..., 2:]], -1) for z in (x, y))
    elif fmt == "cxcywh":
        x, y = (torch.cat([z[..., :2] - z[..., 2:] / 2, z[..., :2] + z[..., 2:] / 2], -1) for z in (x, y))
    shared, union = torch_areas(torch, x[..., :, None, :], y[..., None, :, :])
    return shared / union


def torch_generalized(torch, x, y):
    assert x.ndim > 1 < y.ndim
    x, y = x[..., :, None, :], y[..., None, :, :]
    shared, union = torch_areas(torch, x, y)
    width, height = torch_hull(torch, x, y)
    return shared / union - (width * height - union) / (width * height)


def torch_distance(torch, x, y, eps=1e-7):
    assert x.ndim > 1 < y.ndim
    x, y = x[..., :, None, :], y[..., None, :, :]
    shared, union = torch_areas(torch, x, y)
    return shared / union - torch_apart(torch, x, y, eps)


def torch_apart(torch, x, y, eps):
    width, height = torch_hull(torch, x, y)
    across, down = ((x[..., i] + x[..., i + 2] - y[..., i] - y[..., i + 2]) / 2 for i in (0, 1))
    return (across**2 + down**2) / (width**2 + height**2 + eps)


def torch_complete(torch, x, y, eps=1e-7, inner_eps=0.0):
    shared, union = torch_areas(torch, x, y)
    iou = shared / (union + inner_eps)
    angles = [torch.atan2(z[..., 2] - z[..., 0], z[..., 3] - z[..., 1]) for z in (x, y)]  # also of no height
    v = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    weight = (v / (1 - iou + v + eps)).detach()
    return iou - torch_apart(torch, x, y, eps) - weight * v


def torch_complete_pairs(torch, x, y, eps=1e-7):
    assert x.ndim > 1 < y.ndim
    return torch_complete(torch, x[..., :, None, :], y[..., None, :, :], eps)


def torch_reduced(losses, reduction):
    if reduction == "none":
        return losses
    return losses.sum() / max(losses.numel(), 1) if reduction == "mean" else losses.sum()


def torch_generalized_loss(torch, x, y, reduction="none", eps=1e-7):
    assert x.shape == y.shape
    shared, union = torch_areas(torch, x, y)
    width, height = torch_hull(torch, x, y)
    likeness = shared / (union + eps) - (width * height - union) / (width * height + eps)
    return torch_reduced(1 - likeness, reduction)


def torch_distance_loss(torch, x, y, reduction="none", eps=1e-7):
    assert x.shape == y.shape
    shared, union = torch_areas(torch, x, y)
    return torch_reduced(1 - shared / (union + eps) + torch_apart(torch, x, y, eps), reduction)


def torch_complete_loss(torch, x, y, reduction="none", eps=1e-7):
    assert x.shape == y.shape
    return torch_reduced(1 - torch_complete(torch, x, y, eps, eps), reduction)


def torch_focal(torch, x, t, alpha=0.25, gamma=2, reduction="none"):
    p = x.sigmoid()
    losses = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    losses = losses * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    if alpha >= 0:
        losses = losses * (alpha * t + (1 - alpha) * (1 - t))
    return {"none": lambda: losses, "mean": losses.mean, "sum": losses.sum}[reduction]()


def naive_focal(x, t, alpha=0.25, gamma=2, reduction="none"):
    p = 1 / (1 + np.exp(-x))
    losses = -(t * np.log(p) + (1 - t) * np.log(1 - p)) * (1 - p * t - (1 - p) * (1 - t)) ** gamma
    if alpha >= 0:
        losses = losses * (alpha * t + (1 - alpha) * (1 - t))
    return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]


def suppression(rng, **options):
    return boxes(7)(rng), np.asarray([0.5, 0.9, 0.5, 0.1, 0.7, 0.9, 0.3]), rng.integers(0, 2, 7)


def regions(rng, **options):
    image = rng.standard_normal((2, 2, 5, 6))
    rois = [
        [0, 1.1, 0.7, 4.2, 3.3],
        [1, -2.6, 1.3, 3.1, 9.4],
        [1, 2.2, 2.1, 2.6, 2.4],
        [0, 0.3, 0.4, 5.2, 4.7],
    ]
    return image, np.asarray(rois)


def wrong_shape(name):
    return bad(ShapeError, rf"{name} of shape", inputs=lambda rng: (np.ones((2, 3)), np.ones((2, 4))))


GEOMETRY = {"keeps_dtype": False, "any_dtype": True, "extremes": ()}

CASES = [
    Case(
        "box_convert",
        F.box_convert,
        inputs=lambda rng, **options: (boxes(3)(rng),),
        options=[
            {"in_fmt": "xyxy", "out_fmt": "xyxy"},
            {"in_fmt": "xywh", "out_fmt": "cxcywh"},
            {"in_fmt": "cxcywh", "out_fmt": "xywh"},
        ],
        naive=naive_convert,
        any_dtype=True,
        errors=[
            bad(ArgumentError, "expects out_fmt to be one of .*, got 'yxyx'", out_fmt="yxyx"),
            bad(ShapeError, r"shape \(\.\.\., 4\)", inputs=lambda rng: (np.ones((2, 5)),)),
        ],
    ),
    Case(
        "box_area",
        F.box_area,
        inputs=lambda rng, **options: (boxes(6)(rng).reshape(2, 3, 4),),
        options=[{}, {"fmt": "xywh"}, {"fmt": "cxcywh"}],
        naive=naive_area,
        errors=[bad(ArgumentError, "expects fmt to be one of", fmt="xyxyxyxy")],
        **GEOMETRY,
    ),
    Case(
        "clip_boxes_to_image",
        F.clip_boxes_to_image,
        inputs=lambda rng, **options: (boxes(4)(rng) - 2.0,),
        options=[{"size": (5, 7)}],
        naive=lambda x, size: np.stack([np.clip(x[:, i], 0, size[1 - i % 2]) for i in range(4)], axis=1),
        any_dtype=True,
        errors=[bad(ArgumentError, "size as an integer or 2 integers", size=(5, 7, 3))],
    ),
    Case(
        "remove_small_boxes",
        lambda x, min_size: F.remove_small_boxes(x, min_size),
        inputs=lambda rng, **options: (boxes(6)(rng),),
        options=[{"min_size": 4.0}],
        naive=lambda x, min_size: np.nonzero((x[:, 2:] - x[:, :2] >= min_size).all(1))[0],
        differentiable=(),
        float32=(0, 0),
        any_dtype=True,
        errors=[bad(ShapeError, r"shape \(N, 4\)", inputs=lambda rng: (np.ones(4),))],
    ),
    Case(
        "masks_to_boxes",
        F.masks_to_boxes,
        inputs=lambda rng, **options: (
            (rng.random((4, 3, 5)) < 0.2) * np.asarray([1.0, -1.0, 0.0, 2.0])[:, None, None],
        ),
        naive=naive_masks,
        differentiable=(),
        keeps_dtype=False,
        any_dtype=True,
        extremes=(),
        axes=(3, 3),
    ),
    Case(
        "box_iou",
        F.box_iou,
        inputs=two(3, 4),
        options=[{}, {"fmt": "xywh"}, {"fmt": "cxcywh"}],
        torch=torch_iou,
        naive=naive_pairs("plain"),
        errors=[
            wrong_shape("boxes1"),
            bad(ShapeError, "at least 2 axes", inputs=lambda rng: (np.ones(4), np.ones((2, 4)))),
            bad(ArgumentError, "expects fmt to be one of", fmt="xy"),
        ],
        **GEOMETRY,
    ),
    Case(
        "box_iou of batches",
        F.box_iou,
        inputs=lambda rng, **options: (boxes(6)(rng).reshape(2, 3, 4), boxes(4)(rng).reshape(2, 2, 4)),
        naive=naive_pairs("plain"),
        batched=(0, 1),
        **GEOMETRY,
    ),
    Case(
        "generalized_box_iou",
        F.generalized_box_iou,
        inputs=two(3, 4),
        torch=torch_generalized,
        naive=naive_pairs("generalized"),
        errors=[wrong_shape("boxes1")],
        **GEOMETRY,
    ),
    Case(
        "distance_box_iou",
        F.distance_box_iou,
        inputs=two(3, 4),
        options=[{"eps": 0.5}],
        torch=torch_distance,
        naive=naive_pairs("distance"),
        errors=[wrong_shape("boxes1")],
        **GEOMETRY,
    ),
    Case(
        "complete_box_iou",
        F.complete_box_iou,
        inputs=two(3, 4),
        options=[{"eps": 0.5}],
        torch=torch_complete_pairs,
        naive=naive_pairs("complete"),
        differentiable=(),  # a factor is a constant to the backward: tests/test_vision.py
        errors=[wrong_shape("boxes1")],
        **GEOMETRY,
    ),
    Case(
        "generalized_box_iou_loss",
        F.generalized_box_iou_loss,
        inputs=two(3, 3),
        options=[{}, {"reduction": "mean"}, {"reduction": "sum", "eps": 0.1}],
        torch=torch_generalized_loss,
        naive=naive_loss("generalized"),
        batched=(0, 1),
        keeps_dtype=False,
        extremes=(),
        errors=[
            bad(ShapeError, "of one shape", inputs=lambda rng: (np.ones((2, 4)), np.ones((3, 4)))),
            bad(ArgumentError, "expects eps of at least 0", eps=-1.0),
        ],
    ),
    Case(
        "distance_box_iou_loss",
        F.distance_box_iou_loss,
        inputs=two(3, 3),
        options=[{}, {"reduction": "mean", "eps": 0.1}],
        torch=torch_distance_loss,
        naive=naive_loss("distance"),
        batched=(0, 1),
        keeps_dtype=False,
        extremes=(),
    ),
    Case(
        "complete_box_iou_loss",
        F.complete_box_iou_loss,
        inputs=two(3, 3),
        options=[{}, {"reduction": "mean", "eps": 0.1}],
        torch=torch_complete_loss,
        naive=naive_loss("complete"),
        differentiable=(),
        batched=(0, 1),
        keeps_dtype=False,
        extremes=(),
    ),
    Case(
        "sigmoid_focal_loss",
        lambda x, t, alpha=0.25, gamma=2, **options: F.sigmoid_focal_loss(x, t, alpha, gamma, **options),
        inputs=lambda rng, **options: (rng.standard_normal((3, 4)), rng.random((3, 4))),
        options=[{}, {"alpha": -1, "gamma": 3.5}, {"reduction": "mean"}, {"reduction": "sum", "gamma": 0.0}],
        torch=torch_focal,
        naive=naive_focal,
        batched=(0, 1),
        errors=[
            bad(ArgumentError, r"expects alpha in \[0, 1\], or -1, got 2", alpha=2.0),
            bad(ShapeError, "targets of shape", inputs=lambda rng: (np.ones((2, 3)), np.ones(3))),
        ],
    ),
    Case(
        "nms",
        lambda x, scores, threshold: F.nms(x, scores, threshold),
        inputs=lambda rng, **options: suppression(rng)[:2],
        options=[{"threshold": 0.1}, {"threshold": 0.4}],
        naive=naive_nms,
        differentiable=(),
        batched=(0, 1),
        extremes=(),
        errors=[
            bad(ShapeError, r"scores of shape \(3,\)", inputs=lambda rng: (np.ones((3, 4)), np.ones(2))),
            bad(ShapeError, r"boxes of shape \(N, 4\)", inputs=lambda rng: (np.ones(4), np.ones(4))),
        ],
    ),
    Case(
        "batched_nms",
        lambda x, scores, idxs, threshold: F.batched_nms(x, scores, idxs, threshold),
        inputs=suppression,
        options=[{"threshold": 0.1}, {"threshold": 0.4}],
        naive=naive_batched_nms,
        differentiable=(),
        batched=(0, 1, 2),
        extremes=(),
        errors=[
            bad(
                ShapeError,
                r"idxs of shape \(3,\)",
                inputs=lambda rng: (np.ones((3, 4)), np.ones(3), np.ones(2, int)),
            )
        ],
    ),
    Case(
        "roi_align",
        F.roi_align,
        inputs=regions,
        options=[
            {"output_size": 2},
            {"output_size": (3, 2), "spatial_scale": 0.7, "aligned": True},
            {"output_size": (2, 1), "sampling_ratio": 2},
            {"output_size": 1, "sampling_ratio": 3, "aligned": True},
        ],
        naive=naive_roi_align,
        differentiable=(0,),
        batched=(1,),
        axes=(4, 4),
        errors=[
            bad(
                IndexOutOfRangeError,
                "number of a map in boxes between 0 and 1, got 2",
                inputs=lambda rng: (np.ones((2, 1, 3, 3)), np.asarray([[2.0, 0, 0, 2, 2]])),
                values=True,
            ),
            bad(ShapeError, r"\(K, 5\)", inputs=lambda rng: (np.ones((2, 1, 3, 3)), np.ones((1, 4)))),
            bad(ArgumentError, "output_size of at least 1", output_size=0),
        ],
    ),
    Case(
        "roi_align of lists",
        lambda x, first, second, **options: F.roi_align(x, [first, second], **options),
        inputs=lambda rng, **options: (regions(rng)[0], boxes(2)(rng), boxes(1)(rng)),
        options=[{"output_size": 2}],
        naive=lambda x, *lists, **options: naive_roi_align(
            x, [[i, *box] for i, own in enumerate(lists) for box in own], **options
        ),
        differentiable=(0,),
        batched=(1, 2),
        axes=(4, 4),
        errors=[
            bad(
                ShapeError,
                "boxes of each of 3 maps, got a list of 2",
                inputs=lambda rng: (np.ones((3, 1, 2, 2)), np.ones((1, 4)), np.ones((1, 4))),
            )
        ],
    ),
]
