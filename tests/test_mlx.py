"""MLX: the standard's functions by its adapter, copies, devices, and steps that are computed at their end."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import ArgumentError, available_backends, backend_of, find_backend, use_backend

STATUS = available_backends()["mlx"]
pytestmark = pytest.mark.skipif(not STATUS.available, reason=STATUS.detail)

VALUES = np.asarray([[2.0, 1.0, 3.0], [1.0, 1.0, -0.5]])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("sum", {"axis": 1}), ("prod", {"axis": 0, "keepdims": True}), ("argmax", {"axis": 1})),
        *(
            ("argsort", {"axis": 1}),
            ("argsort", {"axis": 1, "descending": True}),
            ("sort", {"descending": True}),
        ),
        *(("cumulative_sum", {"axis": 1}), ("cumulative_sum", {"axis": 0, "include_initial": True})),
        *(("cumulative_prod", {"axis": 1, "include_initial": True}), ("matrix_transpose", {})),
        *(("count_nonzero", {"axis": 0}), ("zeros_like", {}), ("flip", {"axis": 0}), ("nonzero", {})),
    ],
)
def test_functions_of_one_array(name: str, options: dict, dtype: str) -> None:
    found, expected = [
        getattr(xp, name)(xp.asarray(VALUES.astype(dtype)), **options)
        for xp in (find_backend("mlx").xp, find_backend("numpy").xp)
    ]
    if dtype == "bool" and name == "sort":
        return  # which the standard leaves open
    for one, other in zip(found, expected) if name == "nonzero" else [(found, expected)]:
        np.testing.assert_allclose(xpnn.to_numpy(one), other, rtol=1e-6, strict=True)


@pytest.mark.parametrize("name", ["exp", "sin", "cos", "log", "tanh", "sqrt"])
def test_float64_has_its_digits(name: str) -> None:
    xp = find_backend("mlx").xp
    found = xpnn.to_numpy(getattr(xp, name)(xp.asarray(VALUES[0])))
    np.testing.assert_allclose(found, getattr(np, name)(VALUES[0]), rtol=1e-14, strict=True)
    found = xpnn.to_numpy(xp.logaddexp(*map(xp.asarray, VALUES)))
    np.testing.assert_allclose(found, np.logaddexp(*VALUES), rtol=1e-14, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_derivatives_by_mlx_itself(dtype: str) -> None:
    """Of functions that NumPy computes in float64: of first and second order, by `grad` and by `jvp`."""
    mx, xp = importlib.import_module("mlx.core"), find_backend("mlx").xp
    x, column = [xp.asarray(np.asarray(values, dtype)) for values in ([0.3, -1.2, 2.0], [[0.5], [-0.7]])]
    sigmoid = 1 / (1 + np.exp(-(np.asarray([[0.3, -1.2, 2.0]]) - np.asarray([[0.5], [-0.7]]))))
    host = np.asarray([0.3, -1.2, 2.0])
    for function, first, second in (
        (xp.exp, np.exp(host), np.exp(host)),
        (xp.sin, np.cos(host), -np.sin(host)),
        (xp.cos, -np.sin(host), -np.cos(host)),
        (lambda x: xp.logaddexp(x, column), sigmoid.sum(0), (sigmoid * (1 - sigmoid)).sum(0)),
    ):
        slope = mx.grad(lambda x, function=function: xp.sum(function(x)))
        close = {"rtol": 1e-4 if dtype == "float32" else 1e-12}
        np.testing.assert_allclose(xpnn.to_numpy(slope(x)), first, **close)
        np.testing.assert_allclose(
            xpnn.to_numpy(mx.grad(lambda x, slope=slope: xp.sum(slope(x)))(x)), second, **close
        )
        _, (pushed,) = mx.jvp(function, [x], [xp.ones_like(x)])
        rows = xpnn.to_numpy(pushed).reshape(-1, 3).sum(0)
        np.testing.assert_allclose(rows, first, **close)


@pytest.mark.parametrize("take", ["take", "take_along_axis"])
def test_indices_that_are_computed_have_no_gradient(take: str) -> None:
    mx, xp = importlib.import_module("mlx.core"), find_backend("mlx").xp

    def chosen(x: object) -> object:
        places = xp.where(x > 1, xp.astype(x, xp.int32), 0)
        return xp.sum(getattr(xp, take)(x, places, axis=0) * xp.asarray([1.0, 2.0, 4.0]))

    assert mx.grad(chosen)(xp.asarray([0.0, 1.0, 2.0])).tolist() == [3.0, 0.0, 4.0]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "complex64"])
@pytest.mark.parametrize("name", ["matmul", "vecdot", "tensordot"])
def test_products(name: str, dtype: str) -> None:
    square = np.arange(9).reshape(3, 3).astype(dtype)
    xp = find_backend("mlx").xp
    found = getattr(xp, name)(xp.asarray(square), xp.asarray(square))
    np.testing.assert_array_equal(xpnn.to_numpy(found), getattr(np, name)(square, square), strict=True)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "complex128", "int64", "uint8", "bool", ">f4"]
)
def test_arrays_of_numpy(dtype: str) -> None:
    xp = find_backend("mlx").xp
    for values in (
        VALUES.astype(dtype),
        VALUES.astype(dtype)[::-1, ::2],
        np.asarray(1, dtype),
        VALUES[:0].astype(dtype),
    ):
        found = xpnn.to_numpy(xp.asarray(values))
        kept = {"complex128": "complex64", ">f4": "float32"}.get(dtype, dtype)
        np.testing.assert_array_equal(found, values.astype(kept), strict=True)


def test_pickles_and_copies() -> None:
    with use_backend("mlx"):
        layer = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        x = xpnn.randn(4, 3)
        expected = xpnn.to_numpy(layer(x))
        for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
            assert all(backend_of(value.array).name == "mlx" for value in other.state_dict().values())
            np.testing.assert_array_equal(xpnn.to_numpy(other(x)), expected)
        array = copy.deepcopy(x.array)
        array[0, 0] = 7.0
        assert x[0, 0].item() != 7.0
        assert xpnn.tensor([1.0, 2.5], dtype="bfloat16").tolist() == [1.0, 2.5]


def test_devices() -> None:
    backend = find_backend("mlx")
    with use_backend("mlx"):
        word = xpnn.zeros(2).device
        assert word.type in ("cpu", "gpu")
        assert (xpnn.zeros(2, device=word) + xpnn.ones(2, device=word.type)).tolist() == [1.0, 1.0]
    other = "gpu" if word.type == "cpu" else "cpu"
    with pytest.raises(
        ArgumentError, match=rf"computes on {word.type}, .*set_default_device\(mlx.core.{other}\)"
    ):
        backend.find_device(other)


def test_a_step_is_computed_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the graph of delayed operations would grow from step to step."""
    computed = []
    backend = find_backend("mlx")
    compute = backend.end_of_step
    monkeypatch.setitem(
        backend.__dict__, "end_of_step", lambda arrays: computed.append(len(arrays)) or compute(arrays)
    )
    with use_backend("mlx"):
        layer = nn.Linear(3, 2)
        optimizer = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            layer(xpnn.ones(4, 3)).square().sum().backward()
            optimizer.step()
    assert computed == [4, 4]  # two parameters and their directions
