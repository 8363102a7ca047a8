"""From an array to its library: `namespace`, cached by the array's type.

Every primitive asks once a call, and a dictionary keyed by type answers in a small part of the time of
`array_api_compat.array_namespace`.
"""

from __future__ import annotations

from typing import Any, NoReturn

from xpnn.backend.errors import BackendMismatchError, DTypeError
from xpnn.backend.registry import Array, Backend, at_registration, registered_backends

_SCALARS = (bool, int, float, complex, type(None))

# type of an array -> its Array API namespace, and -> its backend. A type of scalars maps to None; a type
# of `_TENSOR_TYPES` wraps arrays of any library, so that its instances are asked.
_NAMESPACES: dict[type, Any] = dict.fromkeys(_SCALARS)
_BACKEND_OF_TYPE: dict[type, Backend] = {}
_TENSOR_TYPES: set[type] = set()


def namespace(*arrays: Any) -> Any:
    """The Array API namespace of the arrays; numbers and None are passed over.

    For Tensors it is the differentiable namespace of their library, so that a formula written against
    it is recorded on the tape.

    Raises: BackendMismatchError if two arrays come from different libraries; DTypeError for anything
    that is not an array.

    >>> import numpy as np
    >>> namespace(np.ones(3), None, 2.0).__name__
    'array_api_compat.numpy'
    """
    found = None
    for array in arrays:
        try:
            xp = _NAMESPACES[type(array)]
        except KeyError:
            xp = _resolve_namespace(array)
        if xp is found or xp is None:
            continue
        if found is None:
            found = xp
        else:
            found = _join(found, xp, arrays)
    if found is None:
        raise DTypeError(f"expected an array, got {', '.join(type(a).__name__ for a in arrays) or 'nothing'}")
    return found


def backend_of(array: Array) -> Backend:
    """The backend that a raw array belongs to. Raises: DTypeError for anything that is not an array.

    >>> import numpy as np
    >>> backend_of(np.ones(3)).name
    'numpy'
    """
    try:
        return _BACKEND_OF_TYPE[type(array)]
    except KeyError:
        return _resolve_backend(array)


def is_array(value: Any) -> bool:
    """Whether `value` is a raw array of a registered library, or a Tensor.

    >>> import numpy as np
    >>> is_array(np.ones(3)), is_array([1.0]), is_array(1.0)
    (True, False, False)
    """
    kind = type(value)
    if kind in _BACKEND_OF_TYPE or kind in _TENSOR_TYPES:
        return True
    if kind in _SCALARS or issubclass(kind, list | tuple | dict | str):
        return False
    return _find_backend(value) is not None


def register_tensor_type(kind: type) -> None:
    """Say that instances of `kind` wrap arrays of any library and are to be asked for their namespace.

    They have the raw array as `array`, and `off_tape(what)`, which returns it or raises a GradientError if
    `what` would lose a gradient.
    """
    _TENSOR_TYPES.add(kind)


def is_tensor(value: Any) -> bool:
    """Whether `value` wraps an array (an `autograd.Tensor`) rather than being one."""
    return type(value) in _TENSOR_TYPES


def raise_mismatch(first: Array, second: Array) -> NoReturn:
    """Raise the BackendMismatchError that names the library and device of both raw arrays."""
    one, other = _describe(first), _describe(second)
    raise BackendMismatchError(
        f"got arrays of {one} and {other} in one operation",
        hint="Move one of them on purpose: xpnn.asarray(x) for data, model.to(...) for a model",
    )


@at_registration
def _forget(name: str) -> None:
    """Types are looked up anew: they may belong to another backend now."""
    _BACKEND_OF_TYPE.clear()
    _NAMESPACES.clear()
    _NAMESPACES.update(dict.fromkeys(_SCALARS))


def _resolve_namespace(array: Any) -> Any:
    if type(array) in _TENSOR_TYPES:
        return array.__array_namespace__()
    return _resolve_backend(array).xp


def _resolve_backend(array: Any) -> Backend:
    backend = _find_backend(array)
    if backend is None:
        raise DTypeError(
            f"expected an array, got {type(array).__name__}: {array!r:.80}",
            hint="Convert it with xpnn.asarray(...)",
        )
    return backend


def _find_backend(array: Any) -> Backend | None:
    """The backend by the package that the array's type, or a base class of it, was defined in, if any."""
    kind = type(array)
    if kind in _TENSOR_TYPES:
        return backend_of(array.array)
    own = getattr(kind, "_xpnn_backend", None)  # of what kernels trace formulas with, which is no library
    if own is not None:
        _BACKEND_OF_TYPE[kind] = own
        _NAMESPACES[kind] = own.xp
        return own
    for base in kind.__mro__:
        package = base.__module__.partition(".")[0]
        for backend in registered_backends():
            if package in backend.packages and hasattr(array, "shape") and hasattr(array, "dtype"):
                _BACKEND_OF_TYPE[kind] = backend
                _NAMESPACES[kind] = backend.xp
                return backend
    return None


def _join(first: Any, second: Any, arrays: tuple[Any, ...]) -> Any:
    """A Tensor meets a raw array of the same library: the differentiable namespace serves both."""
    if getattr(first, "raw_namespace", None) is second:
        return first
    if getattr(second, "raw_namespace", None) is first:
        return second
    raws = [getattr(a, "array", a) if is_tensor(a) else a for a in arrays if type(a) not in _SCALARS]
    others = [raw for raw in raws if backend_of(raw) is not backend_of(raws[0])]
    return raise_mismatch(raws[0], others[0])


def _describe(array: Array) -> str:
    backend = backend_of(array)
    device = getattr(array, "device", "cpu")
    return f"'{backend.name}' on {device}" if backend.several_devices else f"'{backend.name}'"
