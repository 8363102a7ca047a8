"""The methods of `Tensor` that compute: PyTorch's functions, and those that look like writing in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xpnn.autograd import functions
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions import householder, reduction
from xpnn.autograd.functions.calling import in_place

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor


class NumericMethods(TensorBase):
    """Arithmetic, comparisons, reductions and sorting as methods; each is the function of the same name."""

    __slots__ = ()

    # -- elementwise

    abs = functions.abs
    abs_ = in_place(functions.abs)
    absolute = functions.absolute
    absolute_ = in_place(functions.absolute)
    acos = functions.acos
    acos_ = in_place(functions.acos)
    acosh = functions.acosh
    acosh_ = in_place(functions.acosh)
    add = functions.add
    add_ = in_place(functions.add)
    addcdiv = functions.addcdiv
    addcdiv_ = in_place(functions.addcdiv)
    addcmul = functions.addcmul
    addcmul_ = in_place(functions.addcmul)
    angle = functions.angle
    arccos = functions.arccos
    arccos_ = in_place(functions.arccos)
    arccosh = functions.arccosh
    arccosh_ = in_place(functions.arccosh)
    arcsin = functions.arcsin
    arcsin_ = in_place(functions.arcsin)
    arcsinh = functions.arcsinh
    arcsinh_ = in_place(functions.arcsinh)
    arctan = functions.arctan
    arctan_ = in_place(functions.arctan)
    arctan2 = functions.arctan2
    arctan2_ = in_place(functions.arctan2)
    arctanh = functions.arctanh
    arctanh_ = in_place(functions.arctanh)
    asin = functions.asin
    asin_ = in_place(functions.asin)
    asinh = functions.asinh
    asinh_ = in_place(functions.asinh)
    atan = functions.atan
    atan_ = in_place(functions.atan)
    atan2 = functions.atan2
    atan2_ = in_place(functions.atan2)
    atanh = functions.atanh
    atanh_ = in_place(functions.atanh)
    ceil = functions.ceil
    ceil_ = in_place(functions.ceil)
    clamp = functions.clamp
    clamp_ = in_place(functions.clamp)
    clamp_max = functions.clamp_max
    clamp_max_ = in_place(functions.clamp_max)
    clamp_min = functions.clamp_min
    clamp_min_ = in_place(functions.clamp_min)
    clip = functions.clip
    clip_ = in_place(functions.clip)
    conj = functions.conj
    conj_physical = functions.conj_physical
    conj_physical_ = in_place(functions.conj_physical)
    is_conj = functions.is_conj
    is_neg = functions.is_neg
    resolve_conj = functions.resolve_conj
    resolve_neg = functions.resolve_neg
    copysign = functions.copysign
    copysign_ = in_place(functions.copysign)
    cos = functions.cos
    cos_ = in_place(functions.cos)
    cosh = functions.cosh
    cosh_ = in_place(functions.cosh)
    deg2rad = functions.deg2rad
    deg2rad_ = in_place(functions.deg2rad)
    div = functions.div
    div_ = in_place(functions.div)
    divide = functions.divide
    divide_ = in_place(functions.divide)
    exp = functions.exp
    exp_ = in_place(functions.exp)
    exp2 = functions.exp2
    exp2_ = in_place(functions.exp2)
    expm1 = functions.expm1
    expm1_ = in_place(functions.expm1)
    fix = functions.fix
    fix_ = in_place(functions.fix)
    float_power = functions.float_power
    float_power_ = in_place(functions.float_power)
    floor = functions.floor
    floor_ = in_place(functions.floor)
    floor_divide = functions.floor_divide
    floor_divide_ = in_place(functions.floor_divide)
    fmax = functions.fmax
    fmin = functions.fmin
    fmod = functions.fmod
    fmod_ = in_place(functions.fmod)
    frac = functions.frac
    frac_ = in_place(functions.frac)
    gcd = functions.gcd
    gcd_ = in_place(functions.gcd)
    heaviside = functions.heaviside
    heaviside_ = in_place(functions.heaviside)
    hypot = functions.hypot
    hypot_ = in_place(functions.hypot)
    lcm = functions.lcm
    lcm_ = in_place(functions.lcm)
    ldexp = functions.ldexp
    ldexp_ = in_place(functions.ldexp)
    lerp = functions.lerp
    lerp_ = in_place(functions.lerp)
    log = functions.log
    log_ = in_place(functions.log)
    log10 = functions.log10
    log10_ = in_place(functions.log10)
    log1p = functions.log1p
    log1p_ = in_place(functions.log1p)
    log2 = functions.log2
    log2_ = in_place(functions.log2)
    log_softmax = functions.log_softmax
    logaddexp = functions.logaddexp
    logaddexp2 = functions.logaddexp2
    logit = functions.logit
    logit_ = in_place(functions.logit)
    maximum = functions.maximum
    minimum = functions.minimum
    mul = functions.mul
    mul_ = in_place(functions.mul)
    multiply = functions.multiply
    multiply_ = in_place(functions.multiply)
    nan_to_num = functions.nan_to_num
    nan_to_num_ = in_place(functions.nan_to_num)
    neg = functions.neg
    neg_ = in_place(functions.neg)
    negative = functions.negative
    negative_ = in_place(functions.negative)
    positive = functions.positive
    pow = functions.pow
    pow_ = in_place(functions.pow)
    rad2deg = functions.rad2deg
    rad2deg_ = in_place(functions.rad2deg)
    reciprocal = functions.reciprocal
    reciprocal_ = in_place(functions.reciprocal)
    relu = functions.relu
    relu_ = in_place(functions.relu)
    remainder = functions.remainder
    remainder_ = in_place(functions.remainder)
    round = functions.round
    round_ = in_place(functions.round)
    rsqrt = functions.rsqrt
    rsqrt_ = in_place(functions.rsqrt)
    sgn = functions.sgn
    sgn_ = in_place(functions.sgn)
    sigmoid = functions.sigmoid
    sigmoid_ = in_place(functions.sigmoid)
    sign = functions.sign
    sign_ = in_place(functions.sign)
    signbit = functions.signbit
    sin = functions.sin
    sin_ = in_place(functions.sin)
    sinc = functions.sinc
    sinc_ = in_place(functions.sinc)
    sinh = functions.sinh
    sinh_ = in_place(functions.sinh)
    softmax = functions.softmax
    sqrt = functions.sqrt
    sqrt_ = in_place(functions.sqrt)
    square = functions.square
    square_ = in_place(functions.square)
    sub = functions.sub
    sub_ = in_place(functions.sub)
    subtract = functions.subtract
    subtract_ = in_place(functions.subtract)
    tan = functions.tan
    tan_ = in_place(functions.tan)
    tanh = functions.tanh
    tanh_ = in_place(functions.tanh)
    true_divide = functions.true_divide
    true_divide_ = in_place(functions.true_divide)
    trunc = functions.trunc
    trunc_ = in_place(functions.trunc)
    xlogy = functions.xlogy
    xlogy_ = in_place(functions.xlogy)

    frexp = functions.frexp
    nextafter = functions.nextafter
    nextafter_ = in_place(functions.nextafter)

    # -- comparison

    allclose = functions.allclose
    bitwise_and = functions.bitwise_and
    bitwise_and_ = in_place(functions.bitwise_and)
    bitwise_left_shift = functions.bitwise_left_shift
    bitwise_left_shift_ = in_place(functions.bitwise_left_shift)
    bitwise_not = functions.bitwise_not
    bitwise_not_ = in_place(functions.bitwise_not)
    bitwise_or = functions.bitwise_or
    bitwise_or_ = in_place(functions.bitwise_or)
    bitwise_right_shift = functions.bitwise_right_shift
    bitwise_right_shift_ = in_place(functions.bitwise_right_shift)
    bitwise_xor = functions.bitwise_xor
    bitwise_xor_ = in_place(functions.bitwise_xor)
    eq = functions.eq
    eq_ = in_place(functions.eq)
    equal = functions.equal
    ge = functions.ge
    ge_ = in_place(functions.ge)
    greater = functions.greater
    greater_ = in_place(functions.greater)
    greater_equal = functions.greater_equal
    greater_equal_ = in_place(functions.greater_equal)
    gt = functions.gt
    gt_ = in_place(functions.gt)
    is_nonzero = functions.is_nonzero
    isclose = functions.isclose
    isfinite = functions.isfinite
    isinf = functions.isinf
    isnan = functions.isnan
    isneginf = functions.isneginf
    isposinf = functions.isposinf
    isreal = functions.isreal
    le = functions.le
    le_ = in_place(functions.le)
    less = functions.less
    less_ = in_place(functions.less)
    less_equal = functions.less_equal
    less_equal_ = in_place(functions.less_equal)
    logical_and = functions.logical_and
    logical_and_ = in_place(functions.logical_and)
    logical_not = functions.logical_not
    logical_not_ = in_place(functions.logical_not)
    logical_or = functions.logical_or
    logical_or_ = in_place(functions.logical_or)
    logical_xor = functions.logical_xor
    logical_xor_ = in_place(functions.logical_xor)
    lt = functions.lt
    lt_ = in_place(functions.lt)
    ne = functions.ne
    ne_ = in_place(functions.ne)
    not_equal = functions.not_equal
    not_equal_ = in_place(functions.not_equal)

    # -- reduction

    all = functions.all
    amax = functions.amax
    amin = functions.amin
    aminmax = functions.aminmax
    any = functions.any
    argmax = functions.argmax
    argmin = functions.argmin
    bincount = functions.bincount
    corrcoef = functions.corrcoef
    count_nonzero = functions.count_nonzero
    cov = functions.cov
    cummax = functions.cummax
    cummin = functions.cummin
    cumprod = functions.cumprod
    cumprod_ = in_place(functions.cumprod)
    cumsum = functions.cumsum
    cumsum_ = in_place(functions.cumsum)
    diff = functions.diff
    dist = functions.dist
    histc = functions.histc
    histogram = functions.histogram
    logcumsumexp = functions.logcumsumexp
    logsumexp = functions.logsumexp
    max = functions.max
    mean = functions.mean
    median = functions.median
    min = functions.min
    mode = functions.mode
    nanmean = functions.nanmean
    nanmedian = functions.nanmedian
    nanquantile = functions.nanquantile
    nansum = functions.nansum
    norm = functions.norm
    prod = functions.prod
    quantile = functions.quantile
    renorm = functions.renorm
    renorm_ = in_place(functions.renorm)
    std = functions.std
    sum = functions.sum
    sum_to_size = reduction.sum_to_size
    var = functions.var

    # -- sorting

    argsort = functions.argsort
    kthvalue = functions.kthvalue
    msort = functions.msort
    sort = functions.sort
    topk = functions.topk
    unique = functions.unique
    unique_consecutive = functions.unique_consecutive

    # -- linear algebra of factors

    cholesky_inverse = functions.cholesky_inverse
    cholesky_solve = functions.cholesky_solve
    geqrf = householder.geqrf
    lu = functions.lu
    lu_solve = functions.lu_solve
    orgqr = householder.orgqr
    ormqr = householder.ormqr
    triangular_solve = functions.triangular_solve

    # -- special

    digamma = functions.digamma
    digamma_ = in_place(functions.digamma)
    erf = functions.erf
    erf_ = in_place(functions.erf)
    erfc = functions.erfc
    erfc_ = in_place(functions.erfc)
    erfinv = functions.erfinv
    erfinv_ = in_place(functions.erfinv)
    i0 = functions.i0
    i0_ = in_place(functions.i0)
    igamma = functions.igamma
    igamma_ = in_place(functions.igamma)
    igammac = functions.igammac
    igammac_ = in_place(functions.igammac)
    lgamma = functions.lgamma
    lgamma_ = in_place(functions.lgamma)
    mvlgamma = functions.mvlgamma
    mvlgamma_ = in_place(functions.mvlgamma)

    stft = functions.stft
    istft = functions.istft

    @property
    def real(self) -> Tensor:
        """The real part; a real Tensor itself."""
        return functions.real(self)  # type: ignore

    @property
    def imag(self) -> Tensor:
        """The imaginary part. Raises: DTypeError for real numbers."""
        return functions.imag(self)  # type: ignore

    def polygamma(self, n: int) -> Tensor:
        """The n-th derivative of `digamma`."""
        return functions.polygamma(n, self)

    def polygamma_(self, n: int) -> Self:
        """`polygamma` in place."""
        return self._rebind(functions.polygamma(n, self), "polygamma_")

    def where(self, condition: Any, other: Any) -> Tensor:
        """Its elements where the condition is true, those of `other` elsewhere."""
        return functions.where(condition, self, other)

    def _rebind(self, result: Any, operation: str) -> Any:
        """Become `result` (see `Tensor`)."""
        raise NotImplementedError
