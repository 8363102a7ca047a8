"""Convolution of volumes by that of images, against the reference, over random shapes and options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn.backend import choose_kernel, find_backend, reference_only
from xpnn.functional.conv import primitives
from xpnn.functional.windows import output_size


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    along = lambda low, high: st.tuples(*[st.integers(low, high)] * 3)
    drawn = {
        "size": draw(along(1, 6)),
        "kernel_size": draw(along(1, 3)),
        "stride": draw(along(1, 3)),
        "padding": draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 2))] * 3)),
        "dilation": draw(along(1, 2)),
    }
    assume(min(output_size(**drawn)) > 0)
    return drawn


@settings(max_examples=100, deadline=None, derandomize=True)
@given(windows(), st.integers(0, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 2), st.booleans())
def test_every_shape(
    window: dict[str, Any], n: int, inputs: int, outputs: int, groups: int, last: bool
) -> None:
    size, kernel_size = window.pop("size"), window.pop("kernel_size")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, inputs * groups, *size))
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 4, 1)).transpose(0, 4, 1, 2, 3)
    w = rng.standard_normal((outputs * groups, inputs, *kernel_size))
    b = rng.standard_normal(len(w))
    options = {**window, "groups": groups}
    gy = rng.standard_normal((n, len(w), *output_size(size, kernel_size, **window)))

    def results() -> list[np.ndarray]:
        leaves = [xpnn.tensor(array, requires_grad=True) for array in (x, w, b)]
        y = primitives.conv(*leaves, **options)
        y.backward(xpnn.tensor(gy))
        gx = primitives.conv_input_gradient(gy, w, size=size, **options)
        gw = primitives.conv_weight_gradient(x, gy, kernel_size=kernel_size, **options)
        return [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves), gx, gw]

    with reference_only():
        expected = results()
    for one, other in zip(results(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_volumes_on_threads(threads: int) -> None:
    before = xpnn.get_num_threads()
    xpnn.set_num_threads(threads)
    try:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 8, 12, 24, 24)).astype("float32")
        w = rng.standard_normal((8, 8, 3, 3, 3)).astype("float32")
        options = {"stride": (1,) * 3, "padding": ((1, 1),) * 3, "dilation": (1,) * 3, "groups": 1}
        assert choose_kernel(find_backend("numpy"), "conv", x, w, None, **options)
        y = primitives.conv(x, w, None, **options)
        with reference_only():
            expected = primitives.conv(x, w, None, **options)
        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)
    finally:
        xpnn.set_num_threads(before)
