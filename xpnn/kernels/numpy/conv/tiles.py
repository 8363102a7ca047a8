"""Convolution of a few channels together with the max-pooling of its result by windows side by side.

The cells of a pooling window see parts of the image that overlap: those of a tile of 2x2 with a kernel of
5x5 see 6x6 together. So a kernel of 6x6 for each cell of the tile, with zeros around the 5x5, has them all
from one window, and their maximum is one of whole matrices: 36 numbers are gathered for a tile, not 100,
for 1.44 times the multiplications.

The batch is the last axis in memory, so that every run of numbers is as long as a thread's part of it. And
windows are gathered along the height alone: in (rows of tiles, columns, C, KH, n) what a tile sees is one
matrix of KW * C * KH rows, which the product reads where it is; those of neighbours overlap.

128 images, 5x5, relu, 2x2, forward + backward on two threads, in ms: 1 -> 6 channels of 28x28 1.1, one after
the other 2.3; 6 -> 16 channels of 14x14 1.5 and 3.0. A step of LeNet takes 3.6, not 6.6.

Zeros times infinity spread: where an image isn't finite, more of its results are NaN than had to be. And
the largest is found before the bias is added: sums that only its rounding makes equal are no ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xpnn.kernels.numpy.conv.layout import Pair, Pairs, chunks, total_of
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel

# Bytes of windows and results that are worked on at a time. With half of this the runs are shorter, of 512
# images 1.1 times as slow; with twice as many bytes 1.2 times.
_CHUNK_BYTES = 4 * 1024 * 1024

# Threads take images by so many: a line of the cache.
_ALIGN = 16

# The images of a piece, and for each cell of a tile where its value is the first that is largest.
Piece = tuple[slice, np.ndarray]


@dataclass(frozen=True)
class Tiles:
    """A convolution without strides and the windows that it is pooled by.

    Attributes:
        kernel: the shape (O, C, KH, KW).
        tile: cells of a pooling window.
        count: the pooling windows along each axis.
    """

    kernel: tuple[int, ...]
    tile: Pair
    count: Pair

    @property
    def outputs(self) -> int:
        """O."""
        return self.kernel[0]

    @property
    def channels(self) -> int:
        """C."""
        return self.kernel[1]

    @cached_property
    def seen(self) -> Pair:
        """Cells of the image that a tile sees, in whole steps from one tile to the next."""
        height, width = (-(-(k + t - 1) // t) * t for k, t in zip(self.kernel[2:], self.tile))
        return height, width

    @cached_property
    def size(self) -> Pair:
        """Cells of the image that all tiles see."""
        height, width = ((n - 1) * t + seen for n, t, seen in zip(self.count, self.tile, self.seen))
        return height, width

    @property
    def rows(self) -> int:
        """Rows of the matrix of what a tile sees."""
        return math.prod(self.seen) * self.channels

    @property
    def results(self) -> int:
        """Numbers that the convolution has for a tile."""
        return math.prod(self.tile) * self.outputs

    @property
    def inflation(self) -> float:
        """Multiplications for one that the convolution needs."""
        return math.prod(self.seen) / math.prod(self.kernel[2:])

    def work(self, images: int) -> float:
        """The time of a product in the unit of `parallel`."""
        return images * math.prod(self.count) * self.rows * self.results * MULTIPLICATION

    def chunk(self, itemsize: int) -> int:
        """Images whose windows and results fit the cache, in whole lines of it."""
        gathered = self.count[0] * self.size[1] * self.channels * self.seen[0]
        image = (gathered + math.prod(self.count) * self.results) * itemsize
        return max(_CHUNK_BYTES // max(image, 1) // _ALIGN, 1) * _ALIGN


def batch_last(x: np.ndarray, padding: Pairs, tiles: Tiles) -> np.ndarray:
    """The images x (N, C, H, W) as (C, H, W, N), with zeros around them: all that the tiles see, at least."""
    (top, bottom), (left, right) = padding
    n, c, height, width = x.shape
    rows, columns = max(top + height + bottom, tiles.size[0]), max(left + width + right, tiles.size[1])
    canvas = np.zeros((c, rows, columns, n), dtype=x.dtype)
    canvas[:, top : top + height, left : left + width] = x.transpose(1, 2, 3, 0)
    return canvas


def convolve(
    canvas: np.ndarray, w: np.ndarray, b: np.ndarray | None, relu: bool, tiles: Tiles
) -> tuple[np.ndarray, list[Piece]]:
    """The largest of each tile of a convolution, plus b, through relu: (O, *count, N); and the winners.

    Args:
        canvas: (C, H, W, N), at least of the tiles' `size`.
    """
    kernel = _spread(w, tiles)
    y = np.empty((tiles.outputs, *tiles.count, canvas.shape[-1]), dtype=canvas.dtype)

    def work(part: slice) -> list[Piece]:
        return [(images, pool(images)) for images in chunks(part, tiles.chunk(canvas.itemsize))]

    def pool(images: slice) -> np.ndarray:
        windows = _gather(canvas, images, tiles)
        cells = _cells(windows, tiles)
        np.matmul(kernel, windows, out=cells)
        cells = _by_cell(cells, tiles)
        largest = np.maximum.reduce(cells, axis=2)
        winners = _first_winners(cells, largest)
        target = y[..., images].transpose(1, 2, 0, 3)
        largest = largest.reshape(target.shape)
        if b is not None:
            largest += b[:, None]
        if relu:
            np.clip(largest, 0, math.inf, out=target)
        else:
            np.copyto(target, largest)
        return winners

    parts = parallel(work, canvas.shape[-1], tiles.work(canvas.shape[-1]), align=_ALIGN)
    return y, [piece for part in parts for piece in part]


def gradients(
    gy: np.ndarray,
    y: np.ndarray | None,
    pieces: list[Piece],
    canvas: np.ndarray,
    w: np.ndarray,
    gx: np.ndarray | None,
    padding: Pairs,
    tiles: Tiles,
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of `convolve` with respect to w and b, from that of its result, (O, *count, N).

    Args:
        y: the result, where it went through relu.
        gx: where to write the gradient with respect to the images without their padding: (C, H, W, N).
    """
    kernel = np.ascontiguousarray(_spread(w, tiles).T)
    places = np.ones(math.prod(tiles.count), dtype=gy.dtype)

    def work(part: slice) -> list[np.ndarray]:
        sums = [pull_back(images, winners) for images, winners in pieces[part]]
        return [total_of(list(values)) for values in zip(*sums)]

    def pull_back(images: slice, winners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        source = gy[..., images].transpose(1, 2, 0, 3)
        above = scratch("tiles above", source.shape, gy.dtype)
        if y is None:
            np.copyto(above, source)
        else:
            np.multiply(source, y[..., images].transpose(1, 2, 0, 3) > 0, out=above)
        windows = _gather(canvas, images, tiles)
        cells = _cells(windows, tiles)
        np.multiply(winners, above.reshape(*tiles.count, 1, -1), out=_by_cell(cells, tiles))
        products = scratch("tiles products", (*tiles.count, tiles.rows, tiles.results), gy.dtype)
        np.matmul(windows, cells.swapaxes(2, 3), out=products)
        if gx is not None:
            columns = scratch("tiles columns", windows.shape, gy.dtype)
            _fold(np.matmul(kernel, cells, out=columns), gx[..., images], padding, tiles)
        gb = (places @ above.reshape(len(places), -1)).reshape(tiles.outputs, -1).sum(axis=1)
        return places @ products.reshape(len(places), -1), gb

    parts = parallel(work, len(pieces), 2 * tiles.work(canvas.shape[-1]))
    gw, gb = (total_of(list(values)) for values in zip(*parts))
    return _collect(gw, tiles), gb


def _spread(w: np.ndarray, tiles: Tiles) -> np.ndarray:
    """The kernels of all cells of a tile, as a matrix: (tile * O, KW * C * KH of what the tile sees)."""
    (rows, columns), (height, width) = tiles.kernel[2:], tiles.seen
    spread = np.zeros((*tiles.tile, tiles.outputs, width, tiles.channels, height), dtype=w.dtype)
    for i, j in np.ndindex(*tiles.tile):
        spread[i, j, :, j : j + columns, :, i : i + rows] = w.transpose(0, 3, 1, 2)
    return spread.reshape(tiles.results, tiles.rows)


def _collect(gw: np.ndarray, tiles: Tiles) -> np.ndarray:
    """The gradient of w (O, C, KH, KW) from that of its transposed `_spread`."""
    (rows, columns), (height, width) = tiles.kernel[2:], tiles.seen
    spread = gw.reshape(width, tiles.channels, height, *tiles.tile, tiles.outputs)
    total = np.zeros((columns, tiles.channels, rows, tiles.outputs), dtype=gw.dtype)
    for i, j in np.ndindex(*tiles.tile):
        total += spread[j : j + columns, :, i : i + rows, i, j]
    return np.ascontiguousarray(total.transpose(3, 1, 2, 0))


def _gather(canvas: np.ndarray, images: slice, tiles: Tiles) -> np.ndarray:
    """What each tile sees: (*count, KW * C * KH, n), where tiles side by side share memory."""
    (down, across), n = tiles.tile, images.stop - images.start
    shape = (tiles.count[0], tiles.size[1], tiles.channels, tiles.seen[0], n)
    gathered = scratch("tiles windows", shape, canvas.dtype)
    channel, row, column, cell = canvas.strides
    strides = (down * row, column, channel, row, cell)
    np.copyto(gathered, np.ndarray(shape, canvas.dtype, canvas, images.start * cell, strides))
    row, column, _, line, cell = gathered.strides
    of_tiles = (row, across * column, line, cell)
    return np.ndarray((*tiles.count, tiles.rows, n), canvas.dtype, gathered, 0, of_tiles)


def _cells(windows: np.ndarray, tiles: Tiles) -> np.ndarray:
    """Scratch memory for the results of a convolution: (*count, tile * O, n)."""
    return scratch("tiles cells", (*tiles.count, tiles.results, windows.shape[-1]), windows.dtype)


def _by_cell(cells: np.ndarray, tiles: Tiles) -> np.ndarray:
    """As (*count, cells of a tile, O * n)."""
    return cells.reshape(*tiles.count, math.prod(tiles.tile), -1)


def _first_winners(cells: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Where each cell of a tile is the first that is largest; the last one, where none is (NaN)."""
    won = np.equal(cells, largest[:, :, None])
    seen = won[:, :, 0].copy()
    for cell in range(1, won.shape[2] - 1):
        this = won[:, :, cell]
        np.greater(this, seen, out=this)
        seen |= this
    np.logical_not(seen, out=won[:, :, -1])
    return won


def _fold(columns: np.ndarray, gx: np.ndarray, padding: Pairs, tiles: Tiles) -> None:
    """Add up what tiles saw in common, (*count, KW * C * KH, n), across and then down, and write it to gx.

    What a tile sees is blocks as wide as a tile, of which neighbours share all but one.
    """
    (down, across), (high, wide), n = tiles.tile, tiles.seen, gx.shape[-1]
    parts = columns.reshape(*tiles.count, wide // across, -1)
    rows = scratch("tiles rows", (tiles.count[0], tiles.size[1] // across, parts.shape[-1]), gx.dtype)
    _add_overlapping(parts.transpose(1, 2, 0, 3), rows.transpose(1, 0, 2))
    parts = rows.reshape(tiles.count[0], tiles.size[1], tiles.channels, high // down, down, n)
    canvas = scratch("tiles canvas", (tiles.size[0] // down, down, *parts.shape[1:3], n), gx.dtype)
    _add_overlapping(parts.transpose(0, 3, 4, 1, 2, 5), canvas)
    (top, _), (left, _) = padding
    seen = canvas.reshape(*tiles.size, tiles.channels, n)[top : top + gx.shape[1], left : left + gx.shape[2]]
    if seen.shape[:2] != gx.shape[1:3]:  # rows that no tile is left for
        gx[...] = 0
    gx[:, : seen.shape[0], : seen.shape[1]] = seen.transpose(2, 0, 1, 3)


def _add_overlapping(parts: np.ndarray, total: np.ndarray) -> None:
    """Add up parts (count, blocks, ...), each a block after the last: (count + blocks - 1, ...)."""
    count, blocks = parts.shape[:2]
    total[:count] = parts[:, 0]
    total[count:] = 0
    for block in range(1, blocks):
        total[block : block + count] += parts[:, block]
