"""A one-stage detector with masks: a residual net, a pyramid of maps, and heads on each of them.

See: Lin et al. (2017), "Focal loss for dense object detection" (RetinaNet) and "Feature pyramid networks";
He, Gkioxari, Dollar & Girshick (2017), "Mask R-CNN", for the masks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import arange, as_tensor
from xpnn.autograd.functions.sorting import topk
from xpnn.backend import ArgumentError, ShapeError
from xpnn.models.anchors import anchor_boxes, decode_boxes, encode_boxes, match_anchors
from xpnn.models.blocks import conv_norm
from xpnn.models.resnet import BasicBlock, project

_PRIOR = 0.01  # what each anchor's probability of a class starts with: almost all see the background
_CELLS = 7  # of a region on a map that a mask is drawn from; the mask has twice as many


class DetectorOutputs(NamedTuple):
    """Scores (N, A, classes) and codes (N, A, 4) of all anchors (A, 4), and the finest map (N, C, h, w)."""

    scores: Tensor
    codes: Tensor
    anchors: Tensor
    features: Tensor


class DetectorLosses(NamedTuple):
    """Numbers: focal loss of the classes, smooth L1 of the boxes, cross entropy of the masks' cells."""

    classes: Tensor
    boxes: Tensor
    masks: Tensor


class Detector(nn.Module):
    """Boxes, classes and masks of the things in images.

    A convolution and residual blocks, each with stride 2, make maps of strides 2, 4, 8 ... From the deepest
    one information is brought up to the others. At each cell of the maps of the pyramid, heads that all of
    them share score the classes of an anchor and correct its edges. A mask head draws what is inside of a
    box, from the region of the finest map of the pyramid.

    Args:
        num_classes: without the background; labels are 1 ... num_classes, as in torchvision.
        in_channels: of the images.
        widths: channels of the maps of strides 2, 4, 8 ...
        sides: of the anchors, for each map of the pyramid, which are the last ones of `widths`.
        ratios: heights over widths of the anchors.
        channels: of the pyramid and the heads.
        masks: whether there is a mask head.

    Shapes: (N, in_channels, H, W) to `DetectorOutputs`; `loss` trains it, `detect` uses it.

    Raises: ArgumentError for no map, or more maps in the pyramid than there are.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        sides: Sequence[Sequence[float]] = ((12.0,), (20.0,)),
        ratios: Sequence[float] = (1.0,),
        channels: int = 32,
        masks: bool = True,
    ) -> None:
        if num_classes < 1 or not 0 < len(sides) < len(widths) or len({len(side) for side in sides}) > 1:
            raise ArgumentError(
                "expects at least one class, sides for some of the maps but the first, as many for each, got "
                f"num_classes={num_classes}, widths={tuple(widths)} and sides={tuple(sides)}",
                subject="Detector",
            )
        self.num_classes, self.sides, self.ratios = num_classes, sides, ratios
        self.strides = [2 ** (i + 1) for i in range(len(widths))][-len(sides) :]
        self.stem = conv_norm(in_channels, widths[0], stride=2)
        self.stages = nn.ModuleList(
            [BasicBlock(a, b, 2, project(a, b, 2)) for a, b in itertools.pairwise(widths)]
        )
        self.lateral = nn.ModuleList([nn.Conv2d(width, channels, 1) for width in widths[-len(sides) :]])
        self.smooth = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in sides])
        anchors = len(sides[0]) * len(ratios)
        self.class_head = _head(channels, anchors * num_classes)
        self.box_head = _head(channels, anchors * 4)
        self.mask_head = _mask_head(channels) if masks else None
        nn.init.constant_(self.class_head[-1].bias, -math.log((1 - _PRIOR) / _PRIOR))

    def forward(self, input: Any) -> DetectorOutputs:
        """(N, in_channels, H, W) to the scores and codes of all anchors."""
        x = self.stem(input)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pyramid = self._pyramid(maps[-len(self.sides) :])
        scores = [_by_anchor(self.class_head(x), self.num_classes) for x in pyramid]
        codes = [_by_anchor(self.box_head(x), 4) for x in pyramid]
        anchors = [
            anchor_boxes(x.shape[2], x.shape[3], stride, sides, self.ratios, dtype=x.dtype, device=x.device)
            for x, stride, sides in zip(pyramid, self.strides, self.sides)
        ]
        return DetectorOutputs(
            xp.concat(scores, axis=1), xp.concat(codes, axis=1), xp.concat(anchors, axis=0), pyramid[0]
        )

    def loss(self, images: Any, boxes: Any, labels: Any, masks: Any = None) -> DetectorLosses:
        """What is to be made small, by the sum of the three or with weights.

        Args:
            images: (N, in_channels, H, W).
            boxes: (N, G, 4) as x1, y1, x2, y2, in cells of the image.
            labels: (N, G) integers, 1 ... num_classes; 0 where a row is padding.
            masks: (N, G, H, W), 1 where a thing is seen; None leaves the mask head as it is.

        Classes and boxes are summed and divided by the number of anchors that have a box.

        Raises: ShapeError if boxes, labels and masks don't belong together.
        """
        self._check(images, boxes, labels, masks)
        boxes, labels = as_tensor(boxes), as_tensor(labels)
        out = self(images)
        there = labels > 0
        matches = match_anchors(out.anchors, boxes, there)
        own = xp.take_along_axis(labels, matches.boxes, axis=1)
        classes = F.one_hot(own * matches.positive, self.num_classes + 1)[..., 1:].to(out.scores.dtype)
        counted = (matches.positive | matches.negative)[..., None]
        positive = matches.positive.to(out.scores.dtype)
        count = xp.clip(positive.sum(), 1.0)
        focal = (F.sigmoid_focal_loss(out.scores, classes) * counted).sum() / count
        places = xp.broadcast_to(matches.boxes[..., None], (*matches.boxes.shape, 4))
        # where an anchor has no box, its own edges stand for one: there is a logarithm to be taken
        target = xp.where(matches.positive[..., None], xp.take_along_axis(boxes, places, axis=1), out.anchors)
        off = F.smooth_l1_loss(out.codes, encode_boxes(target, out.anchors), reduction="none", beta=0.1)
        moved = (off.sum(-1) * positive).sum() / count
        return DetectorLosses(focal, moved, self._mask_loss(out.features, boxes, there, masks))

    def detect(
        self, images: Any, score_threshold: float = 0.05, iou_threshold: float = 0.5, limit: int = 100
    ) -> list[dict[str, Tensor]]:
        """What is in each image, the highest score first.

        Args:
            images: (N, in_channels, H, W).
            score_threshold: what has a lower probability is left out.
            iou_threshold: of `batched_nms`, which keeps one of the boxes of a class that overlap more.
            limit: detections of an image at most; before suppression, ten times as many.

        Returns: for each image, as torchvision's detectors do, "boxes" (K, 4), "labels" (K,), "scores" (K,)
            and, where there is a mask head, "masks" (K, H, W), the probability of each cell.
        """
        training = self.training
        self.eval()
        with no_grad():
            out = self(images)
            size = tuple(images.shape[2:])
            boxes = F.clip_boxes_to_image(decode_boxes(out.codes, out.anchors), size)
            found = [
                self._detections(*one, size, score_threshold, iou_threshold, limit)
                for one in zip(out.scores.sigmoid(), boxes, out.features)
            ]
        self.train(training)
        return found

    def _pyramid(self, maps: list[Any]) -> list[Any]:
        """Maps of one number of channels, the finest first, to which the deeper ones were added."""
        found: list[Any] = []
        for lateral, x in zip(reversed(self.lateral), reversed(maps)):
            own = lateral(x)
            if found:
                own = own + F.interpolate(found[-1], size=tuple(own.shape[2:]))
            found.append(own)
        return [smooth(x) for smooth, x in zip(self.smooth, reversed(found))]

    def _check(self, images: Any, boxes: Any, labels: Any, masks: Any) -> None:
        batch, count = labels.shape[0], labels.shape[-1]
        expected = [(batch, count), (batch, count, 4)]
        came = [tuple(labels.shape), tuple(boxes.shape)]
        if masks is not None:
            expected.append((batch, count, *images.shape[2:]))
            came.append(tuple(masks.shape))
        if batch != images.shape[0] or came != expected:
            raise ShapeError(
                "expects labels (N, G), boxes (N, G, 4) and masks (N, G, H, W) of N images, "
                f"got {', '.join(map(str, came))} and images {tuple(images.shape)}",
                subject="Detector",
            )

    def _mask_logits(self, features: Any, rois: Any) -> Tensor:
        """(K, 2 cells, 2 cells) for regions (K, 5) as `roi_align` takes them."""
        assert self.mask_head is not None
        regions = F.roi_align(features, rois, _CELLS, 1 / self.strides[0], sampling_ratio=2, aligned=True)
        return self.mask_head(regions)[:, 0]

    def _mask_loss(self, features: Any, boxes: Any, there: Any, masks: Any) -> Tensor:
        if self.mask_head is None or masks is None:
            return features.sum() * 0.0
        batch, count = there.shape
        rows = arange(batch * count, dtype=boxes.dtype, device=boxes.device)[:, None]
        flat = boxes.reshape(-1, 4)
        logits = self._mask_logits(features, xp.concat([xp.floor(rows / count), flat], axis=1))
        cells = as_tensor(masks).reshape(batch * count, 1, *masks.shape[2:]).to(boxes.dtype)
        true = F.roi_align(
            cells, xp.concat([rows, flat], axis=1), 2 * _CELLS, sampling_ratio=2, aligned=True
        )[:, 0]
        losses = F.binary_cross_entropy_with_logits(logits, (true >= 0.5).to(logits.dtype), reduction="none")
        weight = there.reshape(-1).to(losses.dtype)
        return (losses.mean((1, 2)) * weight).sum() / xp.clip(weight.sum(), 1.0)

    def _detections(
        self,
        scores: Any,
        boxes: Any,
        features: Any,
        size: tuple[int, int],
        score_threshold: float,
        iou_threshold: float,
        limit: int,
    ) -> dict[str, Tensor]:
        """Of one image: scores (A, classes), boxes (A, 4) and the finest map (C, h, w)."""
        flat = scores.reshape(-1)
        best, places = topk(flat, min(10 * limit, flat.shape[0]))
        count = int((best > score_threshold).sum().item())
        best, places = best[:count], places[:count]
        labels = places % self.num_classes + 1
        boxes = xp.take(boxes, places // self.num_classes, axis=0)
        kept = F.batched_nms(boxes, best, labels, iou_threshold)[:limit]
        found = {
            name: xp.take(x, kept, axis=0)
            for name, x in (("boxes", boxes), ("labels", labels), ("scores", best))
        }
        if self.mask_head is not None:
            rois = F.pad(found["boxes"], (1, 0))  # of the one map there is
            found["masks"] = _pasted(self._mask_logits(features[None], rois).sigmoid(), found["boxes"], size)
        return found


def _head(channels: int, outputs: int) -> nn.Sequential:
    """A 3 x 3 convolution, and another one that gives the numbers of each cell's anchors."""
    head = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, outputs, 3, padding=1)
    )
    nn.init.normal_(head[-1].weight, std=0.01)
    nn.init.zeros_(head[-1].bias)
    return head


def _mask_head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(channels, channels, 2, stride=2), nn.ReLU()),
        nn.Conv2d(channels, 1, 1),
    )


def _by_anchor(x: Any, numbers: int) -> Tensor:
    """(N, anchors * numbers, h, w) to (N, h * w * anchors, numbers)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, numbers)


def _pasted(masks: Any, boxes: Any, size: tuple[int, int]) -> Tensor:
    """Masks (K, m, m) of the insides of boxes (K, 4), in the image: (K, H, W), 0 outside of the boxes."""
    if not boxes.shape[0]:
        return masks.reshape(0, *size)
    along = []
    for axis, count in ((0, size[1]), (1, size[0])):
        centre = arange(count, dtype=boxes.dtype, device=boxes.device) + 0.5
        length = xp.clip(boxes[:, axis + 2] - boxes[:, axis], 1e-3)
        along.append(2 * (centre - boxes[:, axis, None]) / length[:, None] - 1)
    shape = (boxes.shape[0], *size)
    x, y = xp.broadcast_to(along[0][:, None, :], shape), xp.broadcast_to(along[1][:, :, None], shape)
    inside = (abs(x) <= 1) & (abs(y) <= 1)
    grid = xp.stack([x, y], axis=-1)
    drawn = F.grid_sample(masks[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    return drawn * inside
