"""Products of matrices in the processor's registers: the core of compiled convolutions and of the LSTM.

A block of up to 12 rows and two vectors of columns of the result stays in registers while all that is added
to it is multiplied: each step loads two vectors of one matrix and broadcasts a number of the other to each
row. Where its operands lie in memory is free, so that the windows of an image, a matrix's transpose or every
second cell are multiplied without being copied first; a BLAS would copy even what lies well.

The instructions are written down for LLVM, because from a loop it would not choose them. Where a processor
with AVX-512 can do 256 billion operations a second, one thread makes 205 of matrices of 32 columns and as
many steps, 254 of 128, and with one vector of 16 columns 120 to 190.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnn.backend import optional_import
from xpnn.kernels.numba.compiling import Emitted, shared
from xpnn.kernels.numba.vectors import numbers_in_vector

# Columns of a block are one vector or two.
_MOST_VECTORS = 2


# The one place of `add_products` for matrices that lie in one piece.
NOWHERE = np.zeros((1, 2), dtype=np.int64)


@functools.cache
def lanes() -> int:
    """Numbers of float32 in a vector of this processor."""
    return numbers_in_vector(32)


@functools.cache
def most_rows() -> int:
    """Of a block: two vectors for each, those of the other matrix, and a broadcast one fit the registers."""
    features = optional_import("llvmlite.binding", extra="numba").get_host_cpu_features()
    return 6 if features.get("avx") and not features.get("avx512f") else 12


def _heights() -> tuple[int, ...]:
    """Rows of the blocks that there are instructions for."""
    most = most_rows()
    return tuple(sorted({most, most * 2 // 3, most // 3, 2, 1}))


# What any processor's vectors divide: asked for before LLVM is loaded.
MOST_LANES = 16


def panel_width(columns: int) -> int:
    """Columns of the blocks for a matrix of so many; 0 where none divides it."""
    return next((width for width in (2 * lanes(), lanes()) if columns % width == 0), 0)


@Emitted
def _most_rows() -> Any:
    types = optional_import("numba.core.types", extra="numba")
    intrinsic = optional_import("numba.extending", extra="numba").intrinsic

    @intrinsic
    def constant(typing_context: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(types.intp, most_rows())

        return types.intp(), emit

    return constant


@Emitted
def _block() -> Any:
    """The instructions of `add_products` for any number of rows of a block."""
    ir = optional_import("llvmlite.ir", extra="numba")
    types = optional_import("numba.core.types", extra="numba")
    intrinsic = optional_import("numba.extending", extra="numba").intrinsic

    @intrinsic
    def block(
        typing_context: Any, vectors: Any, first: Any, rows: Any, a: Any, a_row: Any, a_step: Any,
        b: Any, b_step: Any, places: Any, run: Any, start: Any, start_row: Any, c: Any, c_row: Any,
    ) -> Any:  # fmt: skip
        given = (vectors, first, rows, a, a_row, a_step, b, b_step, places, run, start, start_row, c, c_row)

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def array(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, args[i])

            def from_first(i: int, row: Any) -> Any:
                return builder.gep(array(i).data, [builder.mul(args[1], row)])

            runs = builder.extract_value(array(8).shape, 0)
            operands = _Operands(
                (from_first(3, args[4]), args[4], args[5]), (array(6).data, args[7]),
                (array(8).data, runs, args[9]), (from_first(10, args[11]), args[11]),
                (from_first(12, args[13]), args[13]),
            )  # fmt: skip
            done = builder.append_basic_block("done")
            which = builder.add(builder.mul(args[0], ir.IntType(64)(64)), args[2])
            switch = builder.switch(which, done)
            for n_vectors in range(1, _MOST_VECTORS + 1):
                for n_rows in _heights():
                    case = builder.append_basic_block(f"rows{n_rows}")
                    switch.add_case(ir.IntType(64)(64 * n_vectors + n_rows), case)
                    builder.position_at_end(case)
                    _emit_block(builder, operands, n_rows, n_vectors)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*given), emit

    return block


class _Operands:
    """Pointers to numbers, and distances between them in numbers."""

    def __init__(self, a: Any, b: Any, places: Any, start: Any, c: Any) -> None:
        self.a, self.a_row, self.a_step = a
        self.b, self.b_step = b
        self.places, self.runs, self.run = places
        self.start, self.start_row = start
        self.c, self.c_row = c


def _emit_block(builder: Any, of: _Operands, rows: int, vectors: int) -> None:
    """c = start + the products of all runs, for one size of block.

    `start` comes last, so that a long sum can be made of short ones, whose rounding errors are small.
    """
    ir = optional_import("llvmlite.ir", extra="numba")
    cgutils = optional_import("numba.core.cgutils", extra="numba")

    index, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), lanes())
    undefined = ir.Constant(vector, ir.Undefined)
    first_lanes = ir.Constant(ir.VectorType(ir.IntType(32), lanes()), [0] * lanes())
    fused = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes()}f32"
    )
    cells = [(i, j) for i in range(rows) for j in range(vectors)]

    def vector_at(base: Any, row: Any, i: int, j: int) -> Any:
        place = builder.add(builder.mul(row, index(i)), index(j * lanes()))
        return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

    def load(pointer: Any) -> Any:
        return builder.load(pointer, align=4)

    def broadcast(pointer: Any) -> Any:
        one = builder.insert_element(undefined, builder.load(pointer), ir.IntType(32)(0))
        return builder.shuffle_vector(one, undefined, first_lanes)

    totals = {cell: cgutils.alloca_once(builder, vector) for cell in cells}
    for total in totals.values():
        builder.store(ir.Constant(vector, [0.0] * lanes()), total)
    with cgutils.for_range(builder, of.runs) as runs:
        place = builder.gep(of.places, [builder.mul(runs.index, index(2))])
        a = builder.gep(of.a, [builder.load(place)])
        b = builder.gep(of.b, [builder.load(builder.gep(place, [index(1)]))])
        with cgutils.for_range(builder, of.run) as loop:
            # Loads stay in their step: LLVM would start several at a time, for which there are no registers.
            builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
            a_k = builder.gep(a, [builder.mul(loop.index, of.a_step)])
            b_k = builder.gep(b, [builder.mul(loop.index, of.b_step)])
            of_b = [load(vector_at(b_k, of.b_step, 0, j)) for j in range(vectors)]
            for i in range(rows):
                of_a = broadcast(builder.gep(a_k, [builder.mul(of.a_row, index(i))]))
                for j in range(vectors):
                    total = totals[i, j]
                    builder.store(builder.call(fused, [of_a, of_b[j], builder.load(total)]), total)
    for cell, total in totals.items():
        result = builder.fadd(load(vector_at(of.start, of.start_row, *cell)), builder.load(total))
        builder.store(result, vector_at(of.c, of.c_row, *cell), align=4)


@Emitted
def copy_numbers() -> Any:
    """Instructions `(source, target, count)`: copy so many numbers from where one array begins to another.

    An assignment of slices looks at each number by itself: a quarter of the speed.
    """
    ir = optional_import("llvmlite.ir", extra="numba")
    cgutils = optional_import("numba.core.cgutils", extra="numba")
    types = optional_import("numba.core.types", extra="numba")
    intrinsic = optional_import("numba.extending", extra="numba").intrinsic

    @intrinsic
    def copy(typing_context: Any, source: Any, target: Any, count: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first, second = (
                context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 1)
            )
            cgutils.raw_memcpy(builder, second, first, args[2], ir.IntType(64)(4))
            return context.get_dummy_value()

        return types.void(source, target, count), emit

    return copy


@shared
def add_products(
    vectors: Any, rows: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any,
    places: Any, run: Any, start: Any, start_row: Any, c: Any, c_row: Any,
) -> None:  # fmt: skip
    """c[i, j] = start[i, j] + the sum over places (p, q), and k < run, of a[p + i, k] b[q + k, j].

    Arrays say where the first number lies, their shapes nothing; next to them stand the distances, in
    numbers, from one row i (0 for one row that serves all) or step k to the next. Columns j lie next to each
    other: `vectors` vectors.
    """
    third, at = _most_rows() // 3, 0
    while at < rows:
        left = rows - at
        height = 3 * third
        if left < height or left == 4 * third:
            height = 2 * third if left >= 2 * third else third if left >= third else min(left, 2)
        _block(vectors, at, height, a, a_row, a_step, b, b_step, places, run, start, start_row, c, c_row)
        at += height
