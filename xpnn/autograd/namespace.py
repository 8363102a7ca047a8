"""The Array API namespaces of Tensors: every function of a library, with gradients where there is a rule.

`tensor_namespace(xp)` mirrors the raw namespace `xp` name by name:

- a function with a rule in `ops` is that function; it serves raw arrays too, and gives raw arrays back;
- a function that creates arrays gives Tensors, float32 unless asked otherwise, on the current device;
- any other function of the library is lifted (see `ops.lifting`): called on the raw arrays, its results
  wrapped, and a gradient through it is an error and never silently wrong;
- an element type is the `DType` of its name, as in `t.dtype`, and taken wherever the library takes its own;
- constants are passed through.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor, tensor_namespace_maker
from xpnn.autograd.ops.lifting import lift, tensors_in, unwrap
from xpnn.autograd.primitive import Primitive
from xpnn.backend import (
    Backend,
    DType,
    admit,
    default_dtype,
    dtype_named,
    get_backend,
    get_default_dtype,
    get_device,
    is_array,
    move,
    refusing,
    registered_backends,
    to_numpy,
)

_API_VERSION = "2024.12"

# The functions of the extension `linalg`, and those that are in the main namespace as well.
_LINALG_ALONE = frozenset(
    [
        *("cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matrix_norm", "matrix_power"),
        *("outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "trace", "vector_norm"),
    ]
)
_LINALG = _LINALG_ALONE | {"matmul", "matrix_transpose", "tensordot", "vecdot"}

# Those of the extension `fft` that have a rule.
_FFT = frozenset(
    [
        *(
            "fft",
            "fftn",
            "fftshift",
            "hfft",
            "ifft",
            "ifftn",
            "ifftshift",
            "ihfft",
            "irfft",
            "irfftn",
            "rfft",
        ),
        "rfftn",
    ]
)

# What is in `ops` but in no namespace of the standard.
_NOT_STANDARD = frozenset(
    [
        "complex_of",
        "complex_pairs",
        "eig",
        "eigvals",
        "getitem",
        "lift",
        "pairs_of_complex",
        "setitem",
        "to_device",
        "view_as_type",
    ]
)

# Everything else in `ops`.
_MAIN = frozenset(ops.__all__) - _LINALG_ALONE - _FFT - _NOT_STANDARD

# What creates arrays: of floating-point numbers, of the type of the numbers given, of that of an array.
_FLOATING = frozenset(["empty", "eye", "fftfreq", "linspace", "ones", "rfftfreq", "zeros"])
_BY_VALUE = frozenset(["arange", "full"])
_LIKE = frozenset(["empty_like", "full_like", "ones_like", "zeros_like"])

# The rest of the standard: what has no gradient.
_WITHOUT_RULE = frozenset(
    [
        *("asarray", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or"),
        *("bitwise_right_shift", "bitwise_xor", "bool", "broadcast_shapes", "can_cast", "complex128"),
        *("complex64", "e", "equal", "finfo", "float32", "float64", "from_dlpack", "greater"),
        *("greater_equal", "iinfo", "inf", "int16", "int32", "int64", "int8", "isdtype", "isfinite"),
        *("isin", "isinf", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or"),
        *("logical_xor", "nan", "newaxis", "nextafter", "not_equal", "pi", "result_type", "signbit"),
        *("uint16", "uint32", "uint64", "uint8", "unique_all", "unique_counts", "unique_inverse"),
        "unique_values",
    ]
)

_DTYPES = frozenset(
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float32", "float64", "complex64", "complex128"),
    ]
)

# The standard's extensions, and their functions that have a rule.
_EXTENSIONS: dict[str, frozenset[str]] = {"fft": _FFT, "linalg": _LINALG}


class CurrentNamespace:
    """The object behind `xpnn.xp`: the namespace of the current backend, asked for at each access.

    >>> xp.exp(xp.zeros(2))
    tensor([1., 1.])
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(tensor_namespace(get_backend().xp), name)

    def __array_namespace_info__(self) -> Any:
        return tensor_namespace(get_backend().xp).__array_namespace_info__()

    def __dir__(self) -> list[str]:
        return dir(tensor_namespace(get_backend().xp))

    def __repr__(self) -> str:
        return repr(tensor_namespace(get_backend().xp))


@tensor_namespace_maker
def tensor_namespace(xp: Any) -> TensorNamespace:
    """The differentiable namespace of the Tensors that hold arrays of the raw namespace `xp`.

    >>> tensor_namespace(get_backend().xp).ones(2)
    tensor([1., 1.])
    """
    try:
        return _namespaces[xp]
    except KeyError:
        return _namespaces.setdefault(xp, TensorNamespace(xp))


class TensorNamespace:
    """A raw namespace as Tensors see it; names are resolved at their first use.

    Attributes:
        raw_namespace: the namespace of the raw arrays.
    """

    def __init__(self, raw_namespace: Any) -> None:
        self.raw_namespace = raw_namespace
        self.__name__ = f"{__name__} over {raw_namespace.__name__}"
        self.__array_api_version__ = getattr(raw_namespace, "__array_api_version__", _API_VERSION)

    def __getattr__(self, name: str) -> Any:
        value: Any
        if name in _FLOATING or name in _BY_VALUE or name in _LIKE:
            value = _creator(self.raw_namespace, name, getattr(self.raw_namespace, name))
        elif name in _added:
            value = _added[name]
        elif name in _EXTENSIONS:
            value = Extension(self.raw_namespace, getattr(self.raw_namespace, name), _EXTENSIONS[name])
        else:
            value = _resolve(self.raw_namespace, name, _MAIN)
        setattr(self, name, value)
        return value

    @refusing
    def asarray(self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        """A Tensor of numbers, nested lists, or an array; what is on the tape stays on it.

        Raises: GradientError for a Tensor of another library that requires a gradient.

        >>> xp.asarray([1.0, 2.0])
        tensor([1., 2.])
        """
        if isinstance(obj, list | tuple) and next(tensors_in(obj), None) is not None:
            return ops.stack([self.asarray(part, dtype=dtype, device=device) for part in obj])
        if isinstance(obj, TensorBase) and obj.__array_namespace__() is self:
            if dtype is not None and obj.array.dtype != dtype:
                obj = ops.astype(obj, dtype)
            elif copy:
                obj = ops.astype(obj, obj.array.dtype)
            return obj if device is None else ops.to_device(obj, device)
        if device is not None or not is_array(obj):
            device = _default_device(self.raw_namespace, device)
        if not is_array(obj):
            # to_numpy makes float32 of Python's floats, which loses digits where another dtype is asked for
            named = None if dtype is None else dtype_named(dtype, self.raw_namespace)
            obj = to_numpy(obj) if named is None else self.raw_namespace.asarray(obj, dtype=named)
        raw = move(admit(obj, "asarray()"), _backend_with(self.raw_namespace), device, dtype)
        return new_tensor(self.raw_namespace.asarray(raw, copy=True) if copy else raw)

    @refusing
    def from_dlpack(self, x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
        """A Tensor of the array that another library exports, without a copy where that can be.

        >>> import numpy as np
        >>> xp.from_dlpack(np.ones(2))
        tensor([1., 1.], dtype=xpnn.float64)
        """
        asked = {"device": device, "copy": copy}
        options = {name: value for name, value in asked.items() if value is not None}
        return new_tensor(self.raw_namespace.from_dlpack(x, **options))

    def __array_namespace_info__(self) -> NamespaceInfo:
        return NamespaceInfo(self.raw_namespace)

    def __dir__(self) -> list[str]:
        created = (_FLOATING - {"fftfreq", "rfftfreq"}) | _BY_VALUE | _LIKE
        return sorted(_MAIN | created | _WITHOUT_RULE | set(_EXTENSIONS) | set(_added))

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


class Extension:
    """A sub-namespace as Tensors see it, such as `linalg` and `fft`."""

    def __init__(self, main: Any, raw_namespace: Any, with_rule: frozenset[str]) -> None:
        self.raw_namespace = raw_namespace
        self.__name__ = f"{__name__} over {raw_namespace.__name__}"
        self._main = main
        self._with_rule = with_rule

    def __getattr__(self, name: str) -> Any:
        if name in _FLOATING:
            value = _creator(self._main, name, getattr(self.raw_namespace, name))
        else:
            value = _resolve(self.raw_namespace, name, self._with_rule)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.raw_namespace), *self._with_rule})

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


class NamespaceInfo:
    """What the standard lets a program ask of a library: its own answers, with float32 as the default."""

    def __init__(self, raw_namespace: Any) -> None:
        self._raw_namespace = raw_namespace
        self._info = raw_namespace.__array_namespace_info__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._info, name)

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """The element types that are chosen where none is asked for, by kind."""
        own = {kind: DType(dtype) for kind, dtype in self._info.default_dtypes(device=device).items()}
        narrow = get_default_dtype()
        return {**own, "real floating": narrow, "complex floating": narrow.to_complex()}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """The element types that there are, by name."""
        return {name: DType(dtype) for name, dtype in self._info.dtypes(device=device, kind=kind).items()}


def add_extension(name: str, functions: Any) -> None:
    """Make an object with functions that take Tensors of any library a part of all their namespaces.

    Args:
        name: what it is called there.
        functions: a module, or any other object.
    """
    _added[name] = functions


def _resolve(raw_namespace: Any, name: str, with_rule: frozenset[str]) -> Any:
    """What `name` of a raw namespace is to Tensors."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name in with_rule:
        value = getattr(ops, name)
        return value if isinstance(value, Primitive) else refusing(value, name)
    value = getattr(raw_namespace, name)
    if isinstance(value, ModuleType):
        return Extension(raw_namespace, value, frozenset())
    if name in _DTYPES:
        return DType(value)
    if name == "result_type":
        return refusing(lambda *operands: DType(value(*unwrap(operands, raw_namespace))), name)
    own = functools.partial(_type_of, raw_namespace=raw_namespace)
    if name == "can_cast":
        return refusing(lambda from_, to: value(own(from_), own(to)), name)
    if name in ("finfo", "iinfo"):
        return refusing(lambda type: value(own(type)), name)
    if callable(value) and not isinstance(value, type):
        return refusing(lift(value, name, raw_namespace), name)
    return value


def _type_of(value: Any, raw_namespace: Any) -> Any:
    """The library's element type that a question is about: a Tensor stands for its own."""
    return value.array.dtype if isinstance(value, TensorBase) else unwrap(value, raw_namespace)


def _creator(raw_namespace: Any, name: str, function: Callable) -> Callable[..., Any]:
    """A creation function of the library that gives Tensors, with float32 and the current device."""
    lifted = lift(function, name, raw_namespace)

    @refusing
    @functools.wraps(function, updated=())
    def create(*args: Any, **options: Any) -> Any:
        if name in _LIKE:  # only the shape and element type of the Tensor count, not its values
            args = (unwrap(args[0]), *args[1:])
        else:
            numbers = (*args, *options.values())
            dtype = options.get("dtype")
            if dtype is None and name not in _FLOATING and any(isinstance(n, complex) for n in numbers):
                options["dtype"] = dtype_named(get_default_dtype().to_complex(), raw_namespace)
            elif dtype is None and (name in _FLOATING or any(isinstance(n, float) for n in numbers)):
                options["dtype"] = default_dtype(raw_namespace)
            device = _default_device(raw_namespace, options.pop("device", None))
            if device is not None:
                options["device"] = device
        if isinstance(options.get("dtype"), str | DType):
            options["dtype"] = dtype_named(options["dtype"], raw_namespace)
        result = lifted(*args, **options)
        return result if isinstance(result, TensorBase) else new_tensor(result)

    return create


def _default_device(raw_namespace: Any, device: Any) -> Any:
    """The device of new arrays: the current one if this is the current backend."""
    if device is None:
        return get_device() if get_backend().xp is raw_namespace else None
    return _backend_with(raw_namespace).find_device(device)


def _backend_with(raw_namespace: Any) -> Backend:
    """The backend of a raw namespace; it is loaded, because arrays of it are at hand."""
    return next(b for b in registered_backends() if vars(b).get("xp") is raw_namespace)


_namespaces: dict[Any, TensorNamespace] = {}
_added: dict[str, Any] = {}

xp = CurrentNamespace()
