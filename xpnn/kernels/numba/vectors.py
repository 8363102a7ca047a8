"""Vectors of numbers in the processor's registers, for compiled functions that say what stays there.

    total = load(b, c)
    total = multiply_add(load(x, place), load(w, c), total)
    store(y, place, total)

Arrays say where the first number lies, their shapes nothing. From loops over numbers LLVM makes vectors too,
but it looks in every loop whether arrays overlap, and it leaves sums in memory that are added to again.
"""

from __future__ import annotations

import functools
from typing import Any

from xpnn.backend import optional_import
from xpnn.kernels.numba.compiling import Emitted


@Emitted
def lanes() -> Any:
    """`lanes(array)`: how many numbers of the array's type there are in a vector of this processor."""
    types, _, intrinsic = _numba()

    @intrinsic
    def count(typing_context: Any, array: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(types.intp, numbers_in_vector(array.dtype.bitwidth))

        return types.intp(array), emit

    return count


@Emitted
def load() -> Any:
    """`load(array, place)`: the vector that begins there."""
    _, _, intrinsic = _numba()

    @intrinsic
    def load_vector(typing_context: Any, array: Any, place: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, array, args)
            return builder.load(pointer, align=array.dtype.bitwidth // 8)

        return _vector(array.dtype)(array, place), emit

    return load_vector


@Emitted
def store() -> Any:
    """`store(array, place, vector)`: write it there."""
    types, _, intrinsic = _numba()

    @intrinsic
    def store_vector(typing_context: Any, array: Any, place: Any, vector: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, array, args)
            builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
            return context.get_dummy_value()

        return types.void(array, place, vector), emit

    return store_vector


@Emitted
def store_past_cache() -> Any:
    """`store_past_cache(array, place, vector)`: write to memory, at a multiple of the size of a vector.

    What the cache has no room for anyway needs not be read into it first, as other stores do.
    """
    types, ir, intrinsic = _numba()

    @intrinsic
    def store_vector(typing_context: Any, array: Any, place: Any, vector: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, array, args)
            written = builder.store(args[2], pointer, align=array.dtype.bitwidth * vector.count // 8)
            hint = builder.module.add_metadata([ir.IntType(32)(1)])
            written.set_metadata("nontemporal", hint)
            return context.get_dummy_value()

        return types.void(array, place, vector), emit

    return store_vector


@Emitted
def multiply_add() -> Any:
    """`multiply_add(a, b, c)`: a b + c of vectors."""
    _, ir, intrinsic = _numba()
    cgutils = optional_import("numba.core.cgutils", extra="numba")

    @intrinsic
    def fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            name = f"llvm.fmuladd.v{a.count}f{a.element.bitwidth}"
            kind = ir.FunctionType(args[0].type, [args[0].type] * 3)
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

        return a(a, b, c), emit

    return fused


@functools.cache
def numbers_in_vector(bits: int) -> int:
    """How many numbers of so many bits there are in a vector of this processor."""
    features = optional_import("llvmlite.binding", extra="numba").get_host_cpu_features()
    return (512 if features.get("avx512f") else 256 if features.get("avx") else 128) // bits


def _numba() -> tuple[Any, Any, Any]:
    types = optional_import("numba.core.types", extra="numba")
    ir = optional_import("llvmlite.ir", extra="numba")
    return types, ir, optional_import("numba.extending", extra="numba").intrinsic


def _pointer(context: Any, builder: Any, array: Any, args: Any) -> Any:
    """To the vector at array[place:], of args (array, place, ...)."""
    first = context.make_array(array)(context, builder, args[0]).data
    vector = context.get_value_type(_vector(array.dtype))
    return builder.bitcast(builder.gep(first, [args[1]]), vector.as_pointer())


@functools.cache
def _vector(element: Any) -> Any:
    """Numba's type of vectors of `element`."""
    return _vector_type()(element, numbers_in_vector(element.bitwidth))


@functools.cache
def _vector_type() -> Any:
    types, ir, _ = _numba()
    models = optional_import("numba.extending", extra="numba")

    class Vector(types.Type):  # type: ignore[name-defined]
        def __init__(self, element: Any, count: int) -> None:
            super().__init__(name=f"Vector({element}, {count})")
            self.element, self.count = element, count

    @models.register_model(Vector)
    class VectorModel(models.models.PrimitiveModel):  # type: ignore[name-defined]
        def __init__(self, manager: Any, kind: Any) -> None:
            element = manager[kind.element].get_value_type()
            super().__init__(manager, kind, ir.VectorType(element, kind.count))

    return Vector
