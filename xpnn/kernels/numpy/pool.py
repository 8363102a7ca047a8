"""Pooling in NumPy: whole-array operations on slices, for pieces of the batch that fit the cache, by threads.

Every array is looked at as (images, *space, lanes): channels-last images as they lie in memory, the planes of
other images as images of one lane each, and with the batch innermost what all images have in a cell as lanes.
So all orders of memory are one algorithm, and results have their input's.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.bands import Block, blocks_of_band, is_finite, multiply_along, multiply_back
from xpnn.kernels.numpy.chunks import contiguous
from xpnn.kernels.numpy.parallel import in_pieces

# Bytes of the input that are worked on at a time: with less, calls take longer than arithmetic, and two
# threads wait for each other between them.
_CHUNK_BYTES = 2 * 1024 * 1024

# Elements up to which the fewest calls are fastest: NumPy keeps the order of memory by itself.
_FEW = 64 * 1024

# Pieces that the lanes of images with the batch innermost are divided into at most.
_PIECES = 8

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


@kernel("numpy", "max_pool")
def max_pool(
    x: np.ndarray, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[np.ndarray, tuple]:
    """The reference's `_max_pool`, without the numbers of the winners: the backward finds them again."""
    y = _reduce_windows(np.maximum, x, -math.inf, kernel_size, stride, padding, dilation)
    return y, (x, y)


@max_pool.backward
def _max_pool_backward(
    gy: np.ndarray,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> tuple[np.ndarray]:
    """Cell by cell of the windows, in one of two ways."""
    x, y = saved
    tiled = _is_tiled(x.shape[2:], y.shape[2:], kernel_size, stride, padding, dilation)
    order = _Order(x, y.shape[2] if tiled else 0)
    cells, maxima, above = map(order.cells, (x, y, gy))
    result, gx = order.empty(x.shape[2:])
    out_size = maxima.shape[1:-1]
    tiles = list(_windows(out_size, kernel_size, stride, dilation))

    def pull_back(images: slice) -> None:
        finite = math.isfinite(np.vdot(maxima[images], above[images]))
        if tiled:
            share_out = _share_out if finite else _give_to_winners
            share_out(cells[images], maxima[images], above[images], tiles, gx[images], disjoint=True)
            return
        split = _split(cells[images], stride, padding, -math.inf)
        canvas = np.zeros_like(split)
        space = split.shape[len(stride) :]
        windows = list(_flat_windows(space, kernel_size, stride, dilation))
        count = windows[0][-1].stop
        flat = [array.reshape(*stride, -1) for array in (split, canvas)]
        top, g = _spaced(maxima[images], space, math.nan)[:count], _spaced(above[images], space, 0.0)[:count]
        if finite:
            _share_out(flat[0], top, g, windows, flat[1], disjoint=False)
        else:
            inside = _split(np.ones(cells[images].shape, dtype=bool), stride, padding, False)
            inside = inside.reshape(*stride, -1)
            _give_to_winners(flat[0], top, g, windows, flat[1], disjoint=False, inside=inside)
        _join(canvas, stride, padding, out=gx[images])

    _by_images(pull_back, cells, passes=4 * math.prod(kernel_size) / math.prod(stride))
    return (result,)


def _share_out(
    cells: np.ndarray,
    maxima: np.ndarray,
    above: np.ndarray,
    windows: list[tuple],
    canvas: np.ndarray,
    disjoint: bool,
) -> None:
    """Add `above` of each window to its winning cell, or write it where no cell is in two windows.

    A cell that equals the maximum takes what is left of it: the first of equals all, as in the reference, and
    the last cell what nobody took. All maxima and `above` are finite; so no padding equals a maximum.
    """
    left = above.copy()
    won, part = np.empty(maxima.shape, dtype=bool), np.empty_like(maxima)
    for number, window in enumerate(windows, start=1):
        if number < len(windows):
            np.equal(cells[window], maxima, out=won)
            np.multiply(won, left, out=part)
            left -= part
        else:
            part = left
        if disjoint:
            canvas[window] = part
        else:
            canvas[window] += part


def _give_to_winners(
    cells: np.ndarray,
    maxima: np.ndarray,
    above: np.ndarray,
    windows: list[tuple],
    canvas: np.ndarray,
    disjoint: bool,
    inside: np.ndarray | None = None,
) -> None:
    """As `_share_out`, of any numbers: the last NaN of a window wins, or the first of equals `inside`."""
    winner = np.full(maxima.shape, -1)
    for number, window in enumerate(windows):
        won = np.isnan(cells[window])
        equal = (cells[window] == maxima) & (winner < 0)
        won |= equal if inside is None else equal & inside[window]
        winner[won] = number
    for number, window in enumerate(windows):
        part = np.where(winner == number, above, 0)
        canvas[window] = part if disjoint else canvas[window] + part


@kernel("numpy", "sum_pool")
def sum_pool(x: np.ndarray, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> tuple[np.ndarray, tuple]:
    """The reference's `_sum_pool`."""
    y = _reduce_windows(np.add, x, 0.0, kernel_size, stride, padding, (1,) * len(stride))
    return y, (x.shape[2:],)


@kernel("numpy", "spread_over_windows")
def spread_over_windows(
    gy: np.ndarray, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[np.ndarray, tuple]:
    """The reference's `_spread_over_windows`, one axis after the other: k + k slices in place of k * k.

    Windows that tile the input are filled without zeros to add to.
    """
    dense = (1,) * len(size)
    tiled = _is_tiled(size, gy.shape[2:], kernel_size, stride, padding, dense)
    order = _Order(gy, gy.shape[2] if tiled else 0)
    above = order.cells(gy)
    result, gx = order.empty(size)
    out_size = above.shape[1:-1]

    def spread(images: slice) -> None:
        if tiled:
            for window in _windows(out_size, kernel_size, stride, dense):
                gx[images][window] = above[images]
            return
        part = above[images]
        for axis in reversed(range(len(size))):  # columns first: long runs for the larger step, over rows
            shape = (*part.shape[: 1 + axis], size[axis] + sum(padding[axis]), *part.shape[2 + axis :])
            canvas = np.zeros(shape, dtype=gy.dtype)
            for window in _windows_along(axis, out_size[axis], kernel_size, stride, dense):
                canvas[window] += part
            part = canvas
        gx[images] = _inside(part, size, padding)

    _by_images(spread, gx, passes=2)
    return result, ()


@kernel("numpy", "adaptive_means", when=is_finite)
def adaptive_means(x: np.ndarray, *, windows: Sizes) -> tuple[np.ndarray, tuple]:
    """The reference's `_adaptive_means`, by products; along the last axis first, which is the longest run."""
    size = x.shape[2:]
    for axis, (cells, count) in reversed(list(enumerate(zip(size, windows), start=2))):
        if count != cells:
            x = multiply_along(x, axis, _adaptive_blocks(cells, count, x.dtype.char))
    return x, (size,)


@kernel("numpy", "share_over_windows", when=is_finite)
def share_over_windows(gy: np.ndarray, *, size: Sizes) -> tuple[np.ndarray, tuple]:
    """The reference's `_share_over_windows`, by products."""
    windows = gy.shape[2:]
    for axis, (cells, count) in enumerate(zip(size, windows), start=2):
        if count != cells:
            gy = multiply_back(gy, axis, _adaptive_blocks(cells, count, gy.dtype.char), cells)
    return gy, (windows,)


@kernel("numpy", "add_windows", when=is_finite)
def add_windows(gy: np.ndarray, *, axis: int, windows: int, cells: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_add_windows`, by products."""
    longest = gy.shape[axis] // windows
    return multiply_back(gy, axis, _copying_blocks(cells, windows, longest, gy.dtype.char), cells), ()


@functools.lru_cache(maxsize=256)
def _copying_blocks(cells: int, windows: int, longest: int, char: str) -> list[Block]:
    """The matrix that copies the cells of each window; see `_adaptive_places`."""
    places = _adaptive_places(cells, windows, longest)[0].T.reshape(1, -1)
    return blocks_of_band(places, np.ones(places.shape), char)


@functools.lru_cache(maxsize=256)
def _adaptive_blocks(cells: int, windows: int, char: str) -> list[Block]:
    """The matrix of 1 / n in each window of n cells."""
    places, counts = _adaptive_places(cells, windows, -(-cells // windows) + 1)
    steps = np.arange(len(places))[:, None]
    return blocks_of_band(places, (steps < counts) / counts, char)


def _adaptive_places(cells: int, windows: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells (longest, windows) of adaptive windows, the last again in short ones; and their counts."""
    window = np.arange(windows)
    first, last = window * cells // windows, -(-(window + 1) * cells // windows)
    return np.minimum(first + np.arange(longest)[:, None], last - 1), last - first


@kernel("numpy", "put")
def put(x: np.ndarray, places: np.ndarray, *, count: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_put`: of several values for a place NumPy writes the last one last."""
    rows = math.prod(x.shape[:-1])
    y = np.zeros((rows, count), dtype=x.dtype)
    width = x.shape[-1]
    y[np.arange(rows)[:, None], places.reshape(rows, width)] = x.reshape(rows, width)
    return y.reshape(*x.shape[:-1], count), (places,)


# ---- windows ----


def _reduce_windows(
    function: np.ufunc,
    x: np.ndarray,
    fill: float,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> np.ndarray:
    """`function` over the cells of each window: over rows, then over columns.

    That is k + k slices in place of k * k, the first of them in long runs.
    """
    out_size = tuple(
        (count + before + after - d * (k - 1) - 1) // s + 1
        for count, k, s, (before, after), d in zip(x.shape[2:], kernel_size, stride, padding, dilation)
    )
    if x.size <= _FEW and math.prod(kernel_size) > 1 and not any(map(any, padding)):
        return _reduce_axes(function, x, 2, out_size, kernel_size, stride, dilation)
    tiled = _is_tiled(x.shape[2:], out_size, kernel_size, stride, padding, dilation)
    order = _Order(x, out_size[0] if tiled else 0)
    cells, (result, y) = order.cells(x), order.empty(out_size)

    def reduce(images: slice) -> None:
        part = _padded(cells[images], padding, fill)
        y[images] = _reduce_axes(function, part, 1, y.shape[1:-1], kernel_size, stride, dilation)

    _by_images(reduce, cells, passes=2)
    return result


def _reduce_axes(
    function: np.ufunc,
    x: np.ndarray,
    first: int,
    out_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    dilation: Sizes,
) -> np.ndarray:
    """`function` over the cells of each window, one spatial axis after the other, from axis `first` on."""
    before = (slice(None),) * (first - 1)
    for axis, count in enumerate(out_size):
        windows = _windows_along(axis, count, kernel_size, stride, dilation)
        slices = [x[*before, *window] for window in windows]
        x = function(slices[0], slices[1]) if len(slices) > 1 else slices[0]
        for other in slices[2:]:
            function(x, other, out=x)
    return x


def _windows_along(
    axis: int, count: int, kernel_size: Sizes, stride: Sizes, dilation: Sizes
) -> Iterator[tuple]:
    """For each cell of the windows along one spatial axis, the slice of the padded input that it sees."""
    k, s, d = kernel_size[axis], stride[axis], dilation[axis]
    for t in range(k):
        yield (*(slice(None),) * (1 + axis), slice(t * d, t * d + s * (count - 1) + 1, s))


def _windows(out_size: Sizes, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple]:
    """For each cell of the windows, row by row, the slice of the padded input that it sees."""
    along = [
        [window[-1] for window in _windows_along(axis, count, kernel_size, stride, dilation)]
        for axis, count in enumerate(out_size)
    ]
    for slices in itertools.product(*along):
        yield (slice(None), *slices)


@functools.lru_cache(maxsize=1024)
def _is_tiled(
    size: Sizes, out_size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> bool:
    """Whether windows as large as their stride lie in every cell of the input once."""
    return (
        kernel_size == stride
        and all(cells == count * s for cells, count, s in zip(size, out_size, stride))
        and all(pair == (0, 0) for pair in padding)
        and all(d == 1 for d in dilation)
    )


# ---- phases ----


def _split(cells: np.ndarray, stride: Sizes, padding: Pairs, fill: float) -> np.ndarray:
    """Padded images as (*stride, images, *space, lanes): cells that are a stride apart lie together.

    Cell t of all windows is then a slice without gaps.
    """
    coarse = [-(-(n + sum(pair)) // s) for n, pair, s in zip(cells.shape[1:-1], padding, stride)]
    shape = (*stride, cells.shape[0], *coarse, cells.shape[-1])
    covered = all(pair == (0, 0) and n % s == 0 for n, pair, s in zip(cells.shape[1:-1], padding, stride))
    split = np.empty(shape, dtype=cells.dtype) if covered else np.full(shape, fill, dtype=cells.dtype)
    for phase, here, there in _phases(cells.shape[1:-1], stride, padding):
        split[phase][there] = cells[here]
    return split


def _join(split: np.ndarray, stride: Sizes, padding: Pairs, out: np.ndarray) -> None:
    """Undo `_split`, without the padding."""
    for phase, here, there in _phases(out.shape[1:-1], stride, padding):
        out[here] = split[phase][there]


def _phases(size: Sizes, stride: Sizes, padding: Pairs) -> Iterator[tuple[Sizes, tuple, tuple]]:
    """For each place within a step: the place, the slice of the images, and that of their split form."""
    along = []
    for n, s, (before, _) in zip(size, stride, padding):
        pairs = []
        for place in range(s):
            skipped = max(-((place - before) // s), 0)  # cells of the padding
            first = place - before + skipped * s
            count = max(-((first - n) // s), 0)
            pairs.append((place, slice(first, None, s), slice(skipped, skipped + count)))
        along.append(pairs)
    for combination in itertools.product(*along):
        phase, here, there = zip(*combination)
        yield phase, (slice(None), *here), (slice(None), *there)


def _flat_windows(space: Sizes, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple]:
    """For each cell of the windows, row by row, its phase and one slice of that phase as a flat array.

    Numbers between the windows' rows are passed over as well, so that NumPy's inner loops are long.

    Args:
        space: (images, *space, lanes) of a phase.
    """
    steps = [math.prod(space[axis + 1 :]) for axis in range(1, len(space) - 1)]
    farthest = sum((k - 1) * d // s * step for k, d, s, step in zip(kernel_size, dilation, stride, steps))
    for cell in itertools.product(*map(range, kernel_size)):
        offsets = [t * d for t, d in zip(cell, dilation)]
        first = sum(offset // s * step for offset, s, step in zip(offsets, stride, steps))
        places = (offset % s for offset, s in zip(offsets, stride))
        yield (*places, slice(first, first + math.prod(space) - farthest))


def _spaced(values: np.ndarray, space: Sizes, fill: float) -> np.ndarray:
    """A number for each window, where `_flat_windows` have its first cell, with `fill` between them; flat."""
    spaced = np.full(space, fill, dtype=values.dtype)
    spaced[:, *(slice(n) for n in values.shape[1:-1])] = values
    return spaced.reshape(-1)


# ---- arrays ----


def _by_images(function: Callable[[slice], None], cells: np.ndarray, passes: float) -> None:
    """Call `function` on pieces of the images, each thread on its own."""
    image = max(math.prod(cells.shape[1:]) * cells.itemsize, 1)
    count = max(_CHUNK_BYTES // image, 1)

    def work(part: slice) -> None:
        for first in range(part.start, part.stop, count):
            function(slice(first, min(first + count, part.stop)))

    in_pieces(work, cells.shape[0], passes * cells.size)


class _Order:
    """The order of an image's axes in memory; images that lie otherwise are copied to PyTorch's.

    Args:
        rows: of windows that tile the image; 0 if they don't. With the batch innermost there is but one
            image, of many lanes, and a row of windows is worked on as an image; or else a piece of the lanes.
    """

    def __init__(self, x: np.ndarray, rows: int) -> None:
        self.shape, self.dtype, self._rows = x.shape[:2], x.dtype, rows
        space = range(2, x.ndim)
        straight, channels_last, batch_innermost = (0, 1, *space), (0, *space, 1), (*space, 1, 0)
        orders = (straight, channels_last, batch_innermost)
        self._axes = next((axes for axes in orders if x.transpose(axes).flags.c_contiguous), straight)
        self._channels_last = self._axes == channels_last
        self._batch_innermost = self._axes == batch_innermost
        self._pieces = math.gcd(math.prod(self.shape), _PIECES)

    def cells(self, array: np.ndarray) -> np.ndarray:
        """An array of the same order as (images, *space, lanes)."""
        lies, (height, *space) = contiguous(array.transpose(self._axes)), array.shape[2:]
        if self._channels_last:
            return lies
        if not self._batch_innermost:
            return lies.reshape(array.shape[0] * array.shape[1], height, *space, 1)
        if self._rows:
            return lies.reshape(self._rows, height // self._rows, *space, -1)
        parts = lies.reshape(height, *space, self._pieces, -1)
        return parts.transpose(-2, *range(parts.ndim - 2), -1)

    def empty(self, size: Sizes) -> tuple[np.ndarray, np.ndarray]:
        """A new array (N, C, *size) in that order, not filled, and its `cells`."""
        shape = (*self.shape, *size)
        lies = np.empty([shape[axis] for axis in self._axes], dtype=self.dtype)
        array = lies.transpose(sorted(range(len(shape)), key=self._axes.__getitem__))
        return array, self.cells(array)


def _padded(cells: np.ndarray, padding: Pairs, fill: float) -> np.ndarray:
    """Images with cells of `fill` around them."""
    if all(pair == (0, 0) for pair in padding):
        return cells
    size = [n + before + after for n, (before, after) in zip(cells.shape[1:-1], padding)]
    padded = np.full((cells.shape[0], *size, cells.shape[-1]), fill, dtype=cells.dtype)
    _inside(padded, cells.shape[1:-1], padding)[...] = cells
    return padded


def _inside(padded: np.ndarray, size: Sizes, padding: Pairs) -> np.ndarray:
    """The part of `padded` that is no padding."""
    inside = (slice(before, before + n) for n, (before, _) in zip(size, padding))
    return padded[:, *inside]
