"""NumPy's pooling kernels: threads, pieces of any size, ties and infinities, one to three spatial axes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_kernels import examples
from test_kernels_elementwise import compare, run

import xpnn
from xpnn.backend import reference_only
from xpnn.functional.pool import average
from xpnn.functional.pool import maximum as pool
from xpnn.functional.windows import output_size
from xpnn.testing import assert_close

KERNELS: dict[str, Any] = {
    name: importlib.import_module(f"xpnn.kernels.numpy.{name}") for name in ("parallel", "pool")
}


@st.composite
def pooled(draw: st.DrawFn) -> dict[str, Any]:
    """Images of one to three spatial axes, windows that fit them, and how the images lie in memory."""
    axes = draw(st.integers(1, 3))
    each = lambda low, high: tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))
    window = {"kernel_size": each(1, 3), "stride": each(1, 3), "dilation": each(1, 2)}
    extent = [d * (k - 1) + 1 for k, d in zip(window["kernel_size"], window["dilation"], strict=True)]
    window["padding"] = tuple(
        (draw(st.integers(0, cells // 2)), draw(st.integers(0, cells // 2))) for cells in extent
    )
    size = each(1, 7)
    padded = [n + sum(pair) for n, pair in zip(size, window["padding"], strict=True)]
    assume(all(n >= cells for n, cells in zip(padded, extent, strict=True)))
    return {
        "window": window,
        "shape": (draw(st.integers(0, 3)), draw(st.integers(1, 5)), *size),
        "lies": draw(st.sampled_from(["straight", "channels last", "gapped", "read only"])),
        "gradient_lies": draw(st.sampled_from(["straight", "channels last", "stretched"])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "seed": draw(st.integers(0, 9)),
    }


@examples(150)
@given(pooled(), st.integers(1, 3), st.integers(1, 2000), st.sampled_from(["distinct", "ties", "wild"]))
def test_maximum(
    monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], threads: int, chunk: int, values: str
) -> None:
    rng = np.random.default_rng(case["seed"])
    x = rng.standard_normal(case["shape"])
    if values == "ties":
        x = np.round(x)
    if values == "wild":
        for number, part in ((-np.inf, 0.7), (np.inf, 0.1), (np.nan, 0.1)):
            x[rng.random(x.shape) < part] = number
    x = laid(x.astype(case["dtype"]), case["lies"])
    with cut_up(monkeypatch, threads, chunk):
        y, saved, backward = run(pool._max_pool, (x,), case["window"])
        above = rng.standard_normal(y.shape)
        if values == "wild":
            above[rng.random(y.shape) < 0.1] = np.inf
        gy = laid(above.astype(case["dtype"]), case["gradient_lies"])
        (gx,) = backward(gy, saved, (True,), **case["window"])
    with reference_only():
        expected, saved = pool._max_pool.forward(x, **case["window"])
        (other,) = pool._max_pool.backward_function(gy, saved, (True,), **case["window"])
    assert np.array_equal(y, expected, equal_nan=True)
    assert_close(gx, other, rtol=1e-5, atol=1e-5, equal_nan=True)


@examples(100)
@given(pooled(), st.integers(1, 3), st.integers(1, 2000))
def test_sum(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], threads: int, chunk: int) -> None:
    rng = np.random.default_rng(case["seed"])
    window = {name: value for name, value in case["window"].items() if name != "dilation"}
    dense = (1,) * len(window["stride"])
    x = laid(rng.standard_normal(case["shape"]).astype(case["dtype"]), case["lies"])
    out_size = output_size(x.shape[2:], window["kernel_size"], window["stride"], window["padding"], dense)
    assume(min(out_size) > 0)
    gy = laid(rng.standard_normal((*x.shape[:2], *out_size)).astype(case["dtype"]), case["gradient_lies"])
    with cut_up(monkeypatch, threads, chunk):
        compare(average._sum_pool, (x,), window, gy)
        compare(average._spread_over_windows, (gy,), {"size": x.shape[2:], **window}, x)


@pytest.mark.parametrize("lies", ["straight", "channels last"])
def test_results_lie_as_their_inputs(lies: str) -> None:
    """In the order of memory of the input; where a gradient lies otherwise, too."""
    x = laid(np.random.default_rng(0).standard_normal((2, 3, 8, 8)), lies)
    window = {"kernel_size": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    y, saved, backward = run(pool._max_pool, (x,), window)
    (gx,) = backward(np.ones((2, 3, 4, 4)), saved, (True,), **window)
    last = lies == "channels last"
    for array in (y, gx):
        assert array.flags.c_contiguous != last
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous == last


@contextmanager
def cut_up(monkeypatch: pytest.MonkeyPatch, threads: int, chunk: int) -> Iterator[None]:
    """That many threads, and pieces of so many bytes; images of so many elements are not cut."""
    before = xpnn.get_num_threads()
    xpnn.set_num_threads(threads)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(KERNELS["pool"], "_CHUNK_BYTES", chunk)
            patch.setattr(KERNELS["pool"], "_FEW", chunk // 4)
            patch.setattr(KERNELS["parallel"], "WORTHWHILE", 1)
            yield
    finally:
        xpnn.set_num_threads(before)


def laid(x: np.ndarray, lies: str) -> np.ndarray:
    if lies == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if lies == "gapped":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if lies == "stretched":  # the gradient of a mean
        return np.broadcast_to(x[..., :1], x.shape)
    x.flags.writeable = lies != "read only"
    return x
