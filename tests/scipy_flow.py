"""Which functions of SciPy and scikit-learn take Tensors, and pass right gradients on.

    SCIPY_ARRAY_API=1 python tests/scipy_flow.py > ci/SCIPY.md

Each call is made with float64 Tensors that require a gradient. It is *right* if the values are those of NumPy
arrays and the gradient that of numerical differentiation; *refused* if it raises an error or has NaN for
a gradient. Another value or gradient is *wrong*, and there must be none.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # SciPy reads it when it is imported

import numpy as np
import scipy
import sklearn
from scipy import cluster, differentiate, fft, integrate, ndimage, optimize, signal, special, stats
from scipy.spatial.transform import Rotation
from sklearn import metrics, preprocessing
from sklearn.metrics import pairwise

import xpnn
from xpnn.testing import numerical_gradient

ROWS = np.random.default_rng(0).normal(size=(3, 6))
OTHER = np.random.default_rng(1).normal(size=(3, 6))
POSITIVE = ROWS**2 + 0.5

Call = Callable[[Any, Any], Any]


def elementwise(name: str, *before: float) -> Call:
    return lambda x, like: getattr(special, name)(*before, x)


def calls() -> Iterator[tuple[str, np.ndarray, Call]]:
    """The name of a call, what it is differentiated by, and the call; `like` makes arrays of the same kind."""
    for name in ("expit", "erf", "erfc", "erfcx", "log_ndtr", "ndtr", "i0", "i0e", "i1", "i1e", "exprel"):
        yield f"special.{name}", ROWS, elementwise(name)
    for name in ("cosm1", "exp10", "cbrt", "sinc"):
        yield f"special.{name}", ROWS, elementwise(name)
    for name in ("gammaln", "psi", "entr", "j0", "j1", "y0", "y1", "k0", "k0e", "k1", "k1e", "gamma"):
        yield f"special.{name}", POSITIVE, elementwise(name)
    for name in ("logit", "ndtri", "erfinv"):
        yield f"special.{name}", 1 / (1 + POSITIVE), elementwise(name)
    for name in ("xlogy", "xlog1py", "rel_entr", "kl_div", "betaln", "boxcox", "boxcox1p", "huber"):
        yield (
            f"special.{name}",
            POSITIVE,
            lambda x, like, name=name: getattr(special, name)(x, like(POSITIVE[::-1])),
        )
    for name in (
        "gammainc",
        "gammaincc",
        "chdtr",
        "chdtrc",
        "pdtr",
        "pdtrc",
        "polygamma",
        "betainc",
        "stdtr",
    ):
        before = (2.0, 3.0) if name == "betainc" else (2,) if name == "polygamma" else (2.0,)
        yield (
            f"special.{name}",
            1 / (1 + POSITIVE),
            lambda x, like, name=name, before=before: getattr(special, name)(
                *[like(np.full(x.shape, value)) if name != "polygamma" else value for value in before], x
            ),
        )
    yield "special.logsumexp", ROWS, lambda x, like: special.logsumexp(x, axis=1)
    yield "special.softmax", ROWS, lambda x, like: special.softmax(x, axis=1)
    yield "special.log_softmax", ROWS, lambda x, like: special.log_softmax(x, axis=1)

    for name in (
        "zscore",
        "zmap",
        "skew",
        "kurtosis",
        "variation",
        "sem",
        "tmean",
        "tvar",
        "tstd",
        "kstat",
        "kstatvar",
    ):
        if name == "zmap":
            yield "stats.zmap", ROWS, lambda x, like: stats.zmap(x, like(OTHER), axis=1)
        else:
            yield f"stats.{name}", ROWS, lambda x, like, name=name: getattr(stats, name)(x, axis=1)
    for name in ("gmean", "hmean", "gstd"):
        yield f"stats.{name}", POSITIVE, lambda x, like, name=name: getattr(stats, name)(x, axis=1)
    yield "stats.pmean", POSITIVE, lambda x, like: stats.pmean(x, 3, axis=1)
    yield "stats.moment", ROWS, lambda x, like: stats.moment(x, 3, axis=1)
    yield "stats.lmoment", ROWS, lambda x, like: stats.lmoment(x, axis=1)
    yield "stats.entropy", POSITIVE, lambda x, like: stats.entropy(x, axis=1)
    yield "stats.differential_entropy", ROWS, lambda x, like: stats.differential_entropy(x, axis=1)
    yield "stats.boxcox_llf", POSITIVE, lambda x, like: stats.boxcox_llf(0.5, x, axis=1)
    yield "stats.ttest_1samp statistic", ROWS, lambda x, like: stats.ttest_1samp(x, 0.3, axis=1).statistic
    yield "stats.ttest_ind statistic", ROWS, lambda x, like: stats.ttest_ind(x, like(OTHER), axis=1).statistic
    yield "stats.ttest_rel statistic", ROWS, lambda x, like: stats.ttest_rel(x, like(OTHER), axis=1).statistic
    yield "stats.pearsonr statistic", ROWS, lambda x, like: stats.pearsonr(x, like(OTHER), axis=1).statistic
    yield "stats.jarque_bera statistic", ROWS, lambda x, like: stats.jarque_bera(x, axis=1).statistic
    yield (
        "stats.power_divergence",
        POSITIVE,
        lambda x, like: stats.power_divergence(x, x.mean(axis=1, keepdims=True) + 0 * x, axis=1).statistic,
    )
    yield "stats.directional_stats", ROWS, lambda x, like: stats.directional_stats(x).mean_direction
    yield "stats.Normal().logpdf", ROWS, lambda x, like: stats.Normal().logpdf(x)
    yield "stats.quantile", ROWS, lambda x, like: stats.quantile(x, like(np.asarray(0.3)), axis=1)

    yield "integrate.trapezoid", ROWS, lambda x, like: integrate.trapezoid(x, dx=0.1, axis=1)
    yield "integrate.simpson", ROWS, lambda x, like: integrate.simpson(x, dx=0.1, axis=1)
    yield (
        "integrate.cumulative_trapezoid",
        ROWS,
        lambda x, like: integrate.cumulative_trapezoid(x, dx=0.1, axis=1),
    )
    yield (
        "integrate.cumulative_simpson",
        ROWS,
        lambda x, like: integrate.cumulative_simpson(x, dx=0.1, axis=1),
    )
    yield "optimize.rosen", ROWS, lambda x, like: optimize.rosen(x)
    yield "optimize.rosen_der", ROWS[0], lambda x, like: optimize.rosen_der(x)
    yield "optimize.rosen_hess_prod", ROWS[0], lambda x, like: optimize.rosen_hess_prod(x, like(OTHER[0]))
    yield (
        "differentiate.derivative",
        ROWS[0],
        lambda x, like: differentiate.derivative(lambda t: t * t * t, x).df,
    )
    yield "signal.detrend", ROWS, lambda x, like: signal.detrend(x, axis=1, type="constant")
    yield "signal.fftconvolve", ROWS[0], lambda x, like: signal.fftconvolve(x, like(OTHER[0]))
    yield "signal.convolve", ROWS[0], lambda x, like: signal.convolve(x, like(OTHER[0]), method="fft")
    yield "signal.hilbert", ROWS, lambda x, like: abs(signal.hilbert(x, axis=1))
    yield "ndimage.gaussian_filter", ROWS, lambda x, like: ndimage.gaussian_filter(x, 1.0)
    for name in ("rfft", "fft", "irfft", "ifft", "hfft"):
        yield f"fft.{name}", ROWS, lambda x, like, name=name: abs(getattr(fft, name)(x, axis=1))
    yield "fft.dct", ROWS, lambda x, like: fft.dct(x, axis=1)
    yield "fft.fftshift", ROWS, lambda x, like: fft.fftshift(x, axes=1)
    yield "cluster.vq.whiten", ROWS, lambda x, like: cluster.vq.whiten(x)
    yield (
        "Rotation.from_rotvec.apply",
        ROWS[:, :3],
        lambda x, like: Rotation.from_rotvec(x).apply(like(OTHER[:, :3])),
    )

    for name in ("mean_squared_error", "mean_absolute_error", "root_mean_squared_error", "r2_score"):
        yield (
            f"sklearn {name}",
            ROWS,
            lambda x, like, name=name: getattr(metrics, name)(like(OTHER), x, multioutput="raw_values"),
        )
    for name in (
        "mean_squared_log_error",
        "mean_absolute_percentage_error",
        "max_error",
        "explained_variance_score",
    ):
        shape = POSITIVE[0] if name == "max_error" else POSITIVE
        yield (
            f"sklearn {name}",
            shape,
            lambda x, like, name=name, y=POSITIVE[::-1]: getattr(metrics, name)(
                like(y[0] if name == "max_error" else y),
                x,
                **({} if name == "max_error" else {"multioutput": "raw_values"}),
            ),
        )
    for name in ("euclidean_distances", "cosine_similarity", "rbf_kernel", "linear_kernel", "polynomial_kernel",
                 "sigmoid_kernel", "laplacian_kernel", "cosine_distances", "paired_euclidean_distances",
                 "paired_cosine_distances", "manhattan_distances"):  # fmt: skip
        yield f"sklearn {name}", ROWS, lambda x, like, name=name: getattr(pairwise, name)(x, like(OTHER))
    for name in ("additive_chi2_kernel", "chi2_kernel"):
        yield (
            f"sklearn {name}",
            POSITIVE,
            lambda x, like, name=name: getattr(pairwise, name)(x, like(POSITIVE[::-1])),
        )
    for name in ("scale", "minmax_scale", "maxabs_scale", "normalize"):
        yield f"sklearn {name}", ROWS, lambda x, like, name=name: getattr(preprocessing, name)(x)
    for name in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "Normalizer"):
        yield (
            f"sklearn {name}",
            ROWS,
            lambda x, like, name=name: getattr(preprocessing, name)().fit_transform(x),
        )
    yield (
        "sklearn log_loss",
        1 / (1 + POSITIVE[:, 0]),
        lambda x, like: metrics.log_loss(like(np.asarray([0, 1, 1])), x),
    )


def outcome(values: np.ndarray, call: Call) -> tuple[str, str]:
    """What comes of a call, "right", "refused" or "wrong", and why."""

    def with_numpy(array: np.ndarray) -> np.ndarray:
        return np.asarray(call(array, np.asarray))

    try:
        expected = with_numpy(values)
        weights = np.random.default_rng(2).normal(size=expected.shape)
        slopes = numerical_gradient(
            lambda x: xpnn.tensor((with_numpy(x.numpy()) * weights).sum()), xpnn.tensor(values)
        )
    except Exception as error:
        return "left out", f"NumPy: {type(error).__name__}: {error}"
    x = xpnn.tensor(values, requires_grad=True)
    try:
        y = call(x, xpnn.tensor)
        if isinstance(y, float):
            return "refused", "returns a number, not a Tensor"
        (gradient,) = xpnn.grad([(y * xpnn.tensor(weights)).sum()], [x])
    except Exception as error:
        return "refused", f"{type(error).__name__}: {error}".split("\n")[0][:120]
    if not np.allclose(y.numpy(force=True), expected, rtol=1e-7, atol=1e-10):
        return "wrong", "its value"
    if np.isnan(gradient.numpy()).any():
        return "refused", "its gradient is NaN: of a division by 0 whose result it masks"
    if not np.allclose(gradient.numpy(), xpnn.to_numpy(slopes), rtol=1e-4, atol=1e-6):
        return "wrong", "its gradient"
    return "right", ""


def outcomes() -> dict[str, tuple[str, str]]:
    with warnings.catch_warnings(action="ignore"), sklearn.config_context(array_api_dispatch=True):
        return {name: outcome(np.ascontiguousarray(values), call) for name, values, call in calls()}


def table(found: dict[str, tuple[str, str]]) -> str:
    """In Markdown: a line for SciPy, one for scikit-learn, and what refuses, with its reason."""
    lines = [
        "# SciPy and scikit-learn on Tensors",
        "",
        f"Made by `tests/scipy_flow.py` with SciPy {scipy.__version__} and scikit-learn {sklearn.__version__}:",
        "calls whose values are NumPy's and whose gradients are right to 1e-4 of numerical ones.",
        "",
        "| library | right | refused | wrong |",
        "|---|---|---|---|",
    ]
    for library in ("SciPy", "scikit-learn"):
        of_it = [
            how for name, (how, _) in found.items() if name.startswith("sklearn") == (library != "SciPy")
        ]
        lines.append(
            f"| {library} | {of_it.count('right')} | {of_it.count('refused')} | {of_it.count('wrong')} |"
        )
    right = [name for name, (how, _) in found.items() if how == "right"]
    lines += ["", "## Right", "", ", ".join(f"`{name}`" for name in right), "", "## Refused", ""]
    lines += [f"- `{name}`: {why}" for name, (how, why) in found.items() if how == "refused"]
    return "\n".join(lines)


if __name__ == "__main__":
    results = outcomes()
    print(json.dumps(results) if "--json" in sys.argv else table(results))
