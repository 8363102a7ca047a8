"""What copies where others give views."""

from __future__ import annotations

from cases.front import CUBE, WHOLE, X, row, rows

PLAIN = {"edges": False}

ROWS = [
    *rows("alias_copy t_copy squeeze_copy unbind_copy", X),
    row("detach_copy", X, checks={"gradient": 0}),
    row("diagonal_copy", CUBE, 1, 0, 2, checks=PLAIN),
    row("expand_copy", X, (2, 2, 3), checks=PLAIN),
    row("narrow_copy", X, 1, 1, 2, checks=PLAIN),
    row("narrow_copy", X, 1, 2, 2),
    row("permute_copy", CUBE, (2, 0, 1), checks=PLAIN),
    row("select_copy", X, 1, -1, checks=PLAIN),
    row("split_copy", CUBE, 2, 1, checks=PLAIN),
    row("split_with_sizes_copy", X, [1, 2], 1, checks=PLAIN),
    row("squeeze_copy", CUBE[:1], 0, checks=PLAIN),
    row("transpose_copy", CUBE, 0, 2, checks=PLAIN),
    row("unfold_copy", CUBE, 2, 2, 1, checks=PLAIN),
    row("unsafe_chunk", CUBE, 2, 1, checks=PLAIN),
    row("unsafe_split", WHOLE, 2, 1, checks=PLAIN),
    row("unsafe_split_with_sizes", X, [1, 2], 1, checks=PLAIN),
    row("unsqueeze_copy", X, 1, checks=PLAIN),
    row("view_as_complex_copy", X[:, :2].copy(), checks={**PLAIN, "half": False, "gradient": 0}),
    row("view_as_real_copy", X + 1j * X, checks={**PLAIN, "gradient": 0}),
    row("view_copy", CUBE, (6, 4), checks={**PLAIN, "layouts": False}),
    row("view_copy", X, (4,)),
]
