"""`xp.special`, as SciPy finds it in the namespace of Tensors, and what of SciPy passes gradients on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import ArgumentError
from xpnn.testing import assert_close, gradcheck, gradgradcheck

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

import scipy
import sklearn
from scipy import special as scipy_special

POSITIVE = np.asarray([[0.3, 1.7], [2.9, 4.2]])
SIGNED = np.asarray([[-1.3, 0.4], [2.2, -0.7]])
COUNTS = np.asarray([[0.0, 1.0], [2.5, 4.0]])

CALLS: dict[str, tuple[Any, ...]] = {
    "rel_entr": (POSITIVE, POSITIVE[::-1]),
    "kl_div": (POSITIVE, POSITIVE[::-1]),
    "betaln": (POSITIVE, POSITIVE[::-1]),
    "boxcox": (POSITIVE, SIGNED),
    "boxcox1p": (POSITIVE, SIGNED),
    "inv_boxcox": (POSITIVE, POSITIVE[::-1]),
    "inv_boxcox1p": (POSITIVE, POSITIVE[::-1]),
    "exprel": (SIGNED,),
    "exp10": (SIGNED,),
    "cosm1": (SIGNED,),
    "cbrt": (SIGNED,),
    "huber": (POSITIVE, SIGNED),
    "pseudo_huber": (POSITIVE, SIGNED),
    "gdtr": (1.5, 2.0, POSITIVE),
    "gdtrc": (1.5, 2.0, POSITIVE),
    "pdtr": (2, POSITIVE),
    "pdtrc": (2, POSITIVE),
    **dict.fromkeys(("psi", "gammaln", "j0", "j1", "y0", "y1", "k0", "k0e", "k1", "k1e"), (POSITIVE,)),
    **dict.fromkeys(("erf", "erfc", "erfcx", "expit", "i0", "i0e", "i1", "i1e", "log_ndtr"), (SIGNED,)),
    **dict.fromkeys(("entr", "erfinv", "logit", "ndtri"), (1 / (1 + POSITIVE),)),
    **dict.fromkeys(("xlogy", "xlog1py"), (POSITIVE, POSITIVE[::-1])),
    "gammainc": (2.0, POSITIVE),
    "gammaincc": (2.0, POSITIVE),
}
ADDED = list(CALLS)[:17]


@pytest.mark.parametrize("name", CALLS)
def test_values_are_those_of_scipy(name: str, backend: Target) -> None:
    inputs = CALLS[name]
    expected = getattr(scipy_special, name)(*inputs)
    args = [xpnn.Tensor(backend.array(x)) if isinstance(x, np.ndarray) else x for x in inputs]
    found = getattr(xpnn.xp.special, name)(*args)
    assert isinstance(found, xpnn.Tensor)
    assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ADDED)
def test_gradients(name: str) -> None:
    function = getattr(xpnn.xp.special, name)
    fixed = [x for x in CALLS[name] if not isinstance(x, np.ndarray)]
    tensors = [xpnn.tensor(x, requires_grad=True) for x in CALLS[name] if isinstance(x, np.ndarray)]
    assert gradcheck(lambda *xs: function(*fixed, *xs), tensors)
    assert gradgradcheck(lambda *xs: function(*fixed, *xs), tensors)


EDGES = {
    "rel_entr": ([0.0, 0.0, 1.0, -1.0, np.nan, 2.0], [0.0, 3.0, 0.0, 2.0, 1.0, -1.0]),
    "kl_div": ([0.0, 0.0, 1.0, -1.0, np.nan, 2.0], [0.0, 3.0, 0.0, 2.0, 1.0, -1.0]),
    "boxcox": ([2.0, 3.0, 0.5, 0.0, 0.0, 0.0, np.inf, np.inf], [0.0, 1e-12, 1e-4, 2.0, 0.0, -1.0, 1.0, -2.0]),
    "boxcox1p": ([1e-12, 3.0, 0.5, -1.0], [0.0, 1e-12, 1e-4, 2.0]),
    "inv_boxcox": ([2.0, 3.0, -0.5], [0.0, 1e-12, 1e-4]),
    "inv_boxcox1p": ([1e-12, 3.0, -0.5], [0.0, 1e-12, 1e-4]),
    "exprel": ([0.0, 1e-12, -1e-3, 9.9e-4, 1.1e-3, -800.0, np.inf],),
    "cosm1": ([0.0, 1e-9, 3.0],),
    "cbrt": ([0.0, -27.0, 1e-30],),
    "huber": ([0.0, 2.0, -1.0, 1.0], [3.0, -2.0, 1.0, -5.0]),
    "pseudo_huber": ([0.0, 2.0, -1.0, 1.0], [3.0, 1e-9, 1.0, -5.0]),
    "betaln": ([1e6, 1e-3, 20.0], [2.0, 1e-3, 30.0]),
    "pdtr": ([0.0, 2.7, 3.0, -1.0], [1.0, 2.0, 0.0, 1.0]),
    "pdtrc": ([0.0, 2.7, 3.0, -1.0], [1.0, 2.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    inputs = [np.asarray(x) for x in EDGES[name]]
    expected = getattr(scipy_special, name)(*inputs)
    with np.errstate(divide="ignore"):  # NumPy warns of the logarithm of 0
        found = getattr(xpnn.xp.special, name)(*map(xpnn.tensor, inputs))
    assert_close(found, expected, rtol=1e-8, atol=1e-300, equal_nan=True)


def test_gradients_where_a_formula_has_a_limit() -> None:
    """d/dl of (x^l - 1) / l at l = 0 is ln(x)^2 / 2, and of its inverse -e^y y^2 / 2."""
    for name, expected in (("boxcox", np.log(3.0) ** 2 / 2), ("inv_boxcox", -np.exp(3.0) * 4.5)):
        power = xpnn.tensor([0.0], dtype="float64", requires_grad=True)
        getattr(xpnn.xp.special, name)(xpnn.tensor([3.0], dtype="float64"), power).sum().backward()
        assert power.grad.item() == pytest.approx(expected, rel=1e-12)


def test_element_types() -> None:
    special = xpnn.xp.special
    for dtype in ("float16", "float32", "float64"):
        x = xpnn.tensor([0.5, 2.0], dtype=dtype)
        for name in ADDED:
            count = 3 if name.startswith("gdtr") else 1 if len(CALLS[name]) == 1 else 2
            assert getattr(special, name)(*[x] * count).dtype == dtype, name
    assert special.rel_entr(xpnn.tensor([1, 2]), 2.0).dtype == "float32"
    assert special.betaln(xpnn.tensor([1e5]), xpnn.tensor([2.0])).item() == pytest.approx(
        -23.0258509, rel=1e-6
    )
    assert special.rel_entr(np.ones(2), np.ones(2)).tolist() == [0.0, 0.0]
    with pytest.raises((ArgumentError, TypeError)):
        special.rel_entr(xpnn.tensor([1.0]), "two")


def test_what_flows_through_scipy_and_scikit_learn() -> None:
    """No call gives a wrong value or gradient, and those that ci/SCIPY.md calls right still are."""
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, here / "scipy_flow.py", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), *sys.path])},
    )
    found = json.loads(run.stdout)
    assert [name for name, (how, _) in found.items() if how == "wrong"] == []
    shown = (here.parent / "ci" / "SCIPY.md").read_text()
    if f"SciPy {scipy.__version__} and scikit-learn {sklearn.__version__}" in shown:
        listed = shown.partition("## Right")[2].partition("## Refused")[0]
        assert listed.split("`")[1::2] == [name for name, (how, _) in found.items() if how == "right"]
