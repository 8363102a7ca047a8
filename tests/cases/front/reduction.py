"""Sums, means, extremes, quantiles and running sums."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, COUNTS, CUBE, NAN, ODD, POSITIVE, SCALAR, WHOLE, X, Y, row, rows

VALUES = {"gradient": 0, "edges": False, "half": False, "in_place": False}
EXACT = {"half": False}  # the oracle in half precision picks other elements
HOLES = np.asarray([[1.0, NAN, -2.0, 0.5], [NAN, NAN, 3.0, 1.5]])
TIED = np.asarray([[1.0, 3.0, 3.0, -1.0], [2.0, 2.0, 0.0, 2.0]])
REPEATED = np.asarray([[2, 1, 2, 1, 3], [5, 5, 4, 4, 4]])
SMALL = WHOLE.astype("uint8")
WEIGHTS = np.asarray([1.0, 2.0, 0.5])

SUMS = "sum mean prod var std"
EXTREMES = "max min"

ROWS = [
    row("sum_to_size", CUBE, 3, 1, checks={"edges": False}),
    row("sum_to_size", CUBE, (2, 1, 4), checks={"edges": False}),
    row("sum_to_size", WHOLE, 3, checks={"edges": False}),
    row("sum_to_size", X, 2, 2),
    *rows(f"{SUMS} {EXTREMES} amax amin nansum nanmean", X),
    *rows("sum mean nansum nanmean var std amax amin logsumexp norm var_mean std_mean", CUBE, dim=(0, 2)),
    *rows("sum mean nansum nanmean amax amin logsumexp norm", CUBE, dim=[-1], keepdim=True),
    *rows("sum mean prod var std var_mean std_mean logsumexp amax", CUBE, dim=1, keepdim=True),
    *rows("sum mean amax", CUBE, dim=()),
    *rows("sum nansum cumsum cumprod prod", X, dim=0, dtype="float32", checks=VALUES),
    *rows("sum prod cumsum cumprod mean", WHOLE, dim=-1, dtype="float64"),
    *rows("sum prod nansum cumsum cumprod logsumexp count_nonzero", WHOLE, dim=1),
    *rows("sum prod all any nansum", SMALL),
    *rows("all any amax", SMALL, dim=1),
    *rows("sum prod all any count_nonzero max min amax amin", BITS),
    *rows("sum all any cumsum amax", BITS, dim=1),
    *rows("mean var std norm", WHOLE),
    *rows("sum mean", X, dim=2),
    row("mean", X, dtype="int64"),
    *rows("var std var_mean std_mean", X, dim=1, unbiased=False),
    *rows("var std var_mean std_mean", X, True),
    *rows("var std", X, False),
    *rows("var std", X, 0, True, True),
    *rows("var std var_mean", X, dim=1, correction=0),
    *rows("var std", X, correction=2),
    *rows("var std", X, dim=0, correction=2, checks=VALUES),
    *rows("nansum nanmean nanmedian", HOLES, dim=1, checks={**EXACT, "edges": False}),
    *rows("nansum nanmean nanmedian median sum max min amax amin", HOLES, checks=VALUES),
    *rows("max min argmax argmin cummax cummin", HOLES, dim=1, checks=VALUES),
    *rows("max min argmax argmin", X, dim=1),
    *rows("max min argmax argmin", WHOLE, dim=-2, keepdim=True),
    *rows("max min", X, Y),
    *rows("max min amax amin argmax argmin", TIED, checks={"edges": False}),
    *rows("amax amin max min argmax argmin", TIED, dim=1, checks={"gradient": 1}),
    *rows("argmax argmin", X),
    *rows("argmax argmin", X, keepdim=True),
    row("aminmax", X),
    row("aminmax", X, dim=1, keepdim=True),
    *rows("all any", X),
    *rows("all any", BITS, dim=()),
    *rows("all any", CUBE > 0, dim=(0, 1), keepdim=True),
    *rows("count_nonzero", X),
    *rows("count_nonzero", WHOLE, dim=(0, 1)),
    *rows("cumsum cumprod logcumsumexp", X, dim=1),
    *rows("cumsum logcumsumexp", CUBE, dim=0),
    *rows("cummax cummin", CUBE, dim=1, checks=EXACT),
    *rows("cummax cummin", TIED, dim=-1, checks={"gradient": 1}),
    *rows("cummax cummin", WHOLE, dim=0),
    row("logsumexp", X, dim=1),
    row("logsumexp", 1000 * X, dim=(0, 1), checks=EXACT),
    row("logsumexp", np.asarray([-np.inf, -np.inf]), dim=0, checks=VALUES),
    *rows("norm", X),
    *rows("norm", X, 1),
    *rows("norm", X, 3, dim=1, checks={"edges": False}),
    *rows("norm", X, 0, dim=1, checks={"gradient": 0}),
    *rows("norm", X, "fro", dim=(0, 1)),
    *rows("norm", X, "nuc", checks={"edges": False, "half": False}),
    *rows("norm", CUBE, "nuc", dim=(0, 2), keepdim=True, checks={"edges": False, "half": False}),
    *rows("norm", X, np.inf, dim=0),
    *rows("norm", X, -np.inf, dim=1, keepdim=True),
    *rows("norm", X, 2, dtype="float64", checks=VALUES),
    row("dist", X, Y),
    row("dist", X, Y, 1),
    row("renorm", X, 2, 0, 1.0, checks={"edges": False}),
    row("renorm", CUBE, 1, 1, 2.0, checks={"edges": False}),
    *rows("median nanmedian", X, checks=EXACT),
    *rows("median nanmedian", TIED, checks={"gradient": 1}),
    *rows("median nanmedian", CUBE, dim=2, checks=EXACT),
    *rows("median nanmedian", WHOLE, dim=1, keepdim=True),
    row("mode", REPEATED),
    row("mode", REPEATED, dim=0, keepdim=True),
    row("mode", TIED, dim=1, checks={"gradient": 1, "half": False}),
    *rows("quantile nanquantile", X, 0.4, checks=EXACT),
    *rows(
        "quantile nanquantile",
        CUBE,
        np.asarray([0.1, 0.5, 1.0]),
        dim=1,
        checks={"half": False, "edges": False, "gradient": 0},
    ),
    *rows("quantile nanquantile", CUBE, 0.3, dim=0, keepdim=True, checks=EXACT),
    *rows("quantile nanquantile", HOLES, 0.3, dim=1, checks=VALUES),
    *[
        each
        for interpolation in ("lower", "higher", "midpoint", "nearest")
        for each in rows("quantile", X, 0.3, dim=1, interpolation=interpolation, checks=EXACT)
    ],
    row("quantile", X, 1.5),
    row("diff", X),
    row("diff", CUBE, n=2, dim=1),
    row("diff", BITS),
    row("diff", X, n=0, prepend=Y, checks={"edges": False}),
    row("diff", X, n=-1),
    row(
        "diff", WHOLE, prepend=np.asarray([[0], [1]]), append=np.asarray([[9], [9]]), checks={"edges": False}
    ),
    *rows("trapezoid trapz cumulative_trapezoid", X),
    row("trapezoid", np.asarray([200, 100, 3], "uint8"), checks={"edges": False}),
    *rows("trapezoid cumulative_trapezoid", CUBE, dx=0.5, dim=1),
    *rows("trapezoid cumulative_trapezoid", X, np.asarray([0.0, 1.0, 3.0]), checks={"edges": False}),
    *rows("trapezoid cumulative_trapezoid", X, POSITIVE.cumsum(1)),
    row("histc", X, bins=4, min=-2, max=2, checks=EXACT),
    row("histc", X, bins=3, checks=EXACT),
    row("bincount", COUNTS[0]),
    row("bincount", COUNTS[0], WEIGHTS, minlength=12, checks={"edges": False}),
    row("bincount", COUNTS),
    row("bincount", -COUNTS[0]),
    *rows("cov corrcoef", X, checks={"edges": False}),
    row("cov", CUBE[0], correction=0, checks={"edges": False}),
    row("cov", X, fweights=np.asarray([1, 2, 3]), checks={"edges": False, "half": False}),
    row("cov", X, aweights=WEIGHTS, checks={"edges": False, "half": False, "gradient": 0}),
    row("cov", X[0]),
    row("cov", X, fweights=np.asarray([1.0, 2.0, 3.0])),
    row("cov", X, fweights=np.asarray([1, 2])),
    row("cov", X, fweights=np.asarray([1, -2, 3])),
    row("cov", X, aweights=-WEIGHTS),
    row("logcumsumexp", X, dim=2),
    *rows("cov corrcoef", X[:1], checks={"edges": False, "in_place": False}),
    row("sum", SCALAR),
    row("max", ODD, dim=0, checks=VALUES),
]
