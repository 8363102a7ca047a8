"""M d M^T of small tiles d with a constant matrix M, for vectors of channels at a time.

The matrix becomes instructions: what it multiplies by zero isn't there. A tile is read, transformed along
both axes in registers and written; NumPy's products with the matrix pass over memory twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import optional_import
from xpnn.kernels.numba.compiling import Emitted
from xpnn.kernels.numba.products import lanes


def transform(matrix: np.ndarray, source: str) -> Emitted:
    """Instructions for M of (after, before) cells, whose numbers stand in the file `source`.

    They are called with `(channels, source, row, column, target, row, column, plus)`.

    Arrays say where the first number of the first cell lies; next to them stand the distances from one row
    and one column of cells to the next, in numbers. `plus` is a vector of channels that is added to all
    cells.
    """

    def make() -> Any:
        cgutils = optional_import("numba.core.cgutils", extra="numba")
        types = optional_import("numba.core.types", extra="numba")
        intrinsic = optional_import("numba.extending", extra="numba").intrinsic

        @intrinsic
        def apply(
            typing_context: Any, channels: Any, source: Any, source_row: Any, source_column: Any,
            target: Any, target_row: Any, target_column: Any, plus: Any,
        ) -> Any:  # fmt: skip
            given = (channels, source, source_row, source_column, target, target_row, target_column, plus)

            def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                def data(i: int) -> Any:
                    return context.make_array(signature.args[i])(context, builder, args[i]).data

                with cgutils.for_range_slice(builder, _index(0), args[0], _index(lanes())) as (channel, _):
                    cells = _Cells(builder, data(1), args[2], args[3], channel)
                    values = [[cells.load(i, j) for j in columns] for i in columns]
                    added = _Cells(builder, data(7), _index(0), _index(0), channel).load(0, 0)
                    half = [_combine(builder, matrix, row) for row in zip(*values)]
                    cells = _Cells(builder, data(4), args[5], args[6], channel)
                    for i, row in enumerate(zip(*half)):
                        for j, value in enumerate(_combine(builder, matrix, row)):
                            cells.store(i, j, builder.fadd(value, added))
                return context.get_dummy_value()

            return types.void(*given), emit

        return apply

    columns = range(matrix.shape[1])
    return Emitted(make, source)


class _Cells:
    """Vectors of the channels from `channel` on, of cells that lie `row` and `column` apart."""

    def __init__(self, builder: Any, base: Any, row: Any, column: Any, channel: Any) -> None:
        self.builder, self.row, self.column = builder, row, column
        self.base = builder.gep(base, [channel])

    def at(self, i: int, j: int) -> Any:
        builder = self.builder
        place = builder.add(builder.mul(self.row, _index(i)), builder.mul(self.column, _index(j)))
        return builder.bitcast(builder.gep(self.base, [place]), _vector().as_pointer())

    def load(self, i: int, j: int) -> Any:
        return self.builder.load(self.at(i, j), align=4)

    def store(self, i: int, j: int, value: Any) -> None:
        self.builder.store(value, self.at(i, j), align=4)


def _combine(builder: Any, matrix: np.ndarray, values: Any) -> list[Any]:
    """matrix @ values, where values are vectors."""
    ir = optional_import("llvmlite.ir", extra="numba")
    cgutils = optional_import("numba.core.cgutils", extra="numba")

    vector = _vector()
    fused = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes()}f32"
    )
    results = []
    for row in matrix:
        total = ir.Constant(vector, [0.0] * lanes())
        terms = [(float(factor), value) for factor, value in zip(row, values) if factor]
        for n, (factor, value) in enumerate(sorted(terms, key=lambda term: term[0] != 1)):
            if n == 0 and factor == 1:
                total = value
            else:
                total = builder.call(fused, [ir.Constant(vector, [factor] * lanes()), value, total])
        results.append(total)
    return results


def _index(value: int) -> Any:
    ir = optional_import("llvmlite.ir", extra="numba")

    return ir.IntType(64)(value)


def _vector() -> Any:
    ir = optional_import("llvmlite.ir", extra="numba")

    return ir.VectorType(ir.FloatType(), lanes())
