"""PyTorch's functions on Tensors against PyTorch itself, by the rows of tests/cases/front.

One test takes one function on one backend through values, element types, derivatives, half precision, the
method, the method in place, arrays of no elements and of no axes. On plain NumPy it makes all checks; on
other libraries, unless --slow is given, values, types and derivatives; on JAX never the second ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases.front import Row, all_rows, checked_elsewhere
from halves import excess, half_types, in_float64
from targets import Target

import xpnn
from xpnn.autograd import functions
from xpnn.backend import XpnnError, cheap_to_read, dtype_name

torch = pytest.importorskip("torch")

TABLE: dict[str, list[Row]] = defaultdict(list)
for each in all_rows():
    TABLE[each.name].append(each)

# Public names of `xpnn` that come from the front; tests/test_front_creation.py has those that make Tensors,
# tests/test_top_level.py windows.
FRONT = sorted(
    name
    for name, value in vars(xpnn).items()
    if getattr(value, "__module__", "").startswith(functions.__name__)
    and getattr(value, "__module__", "").rpartition(".")[2] not in ("creation", "random", "types", "windows")
)

# Methods of the tape, of types and places, of new Tensors and of random numbers: tests of their own hold them
# to account.
ELSEWHERE = """
backward bernoulli bernoulli_ bool cauchy_ clone copy_ cpu data detach detach_ device double dtype
exponential_ fill_ float geometric_ grad grad_fn half int is_leaf item log_normal_ long multinomial ndim
new_empty new_full new_ones new_tensor new_zeros normal_ numpy random_ register_hook requires_grad
requires_grad_ retain_grad shape to tolist type type_as uniform_ zero_ cuda is_cuda element_size nelement
apply_ map_ register_post_accumulate_grad_hook retains_grad to_dense
is_inference is_meta is_mps is_nested is_quantized is_xpu
"""

Failure = (XpnnError, NotImplementedError)


def test_every_function_has_a_row() -> None:
    known = set(TABLE) | set(checked_elsewhere())
    assert not set(FRONT) - known, "functions without a row in tests/cases/front"


def test_every_method_that_pytorch_has_is_checked() -> None:
    known = set(TABLE) | set(checked_elsewhere())
    shared = {name for name in dir(xpnn.Tensor) if not name.startswith("_") and hasattr(torch.Tensor, name)}
    unchecked = {name for name in shared if name not in known and name.removesuffix("_") not in known}
    assert unchecked <= set(ELSEWHERE.split()), "methods without a row in tests/cases/front"


@pytest.mark.parametrize("name", sorted(TABLE))
@pytest.mark.filterwarnings("ignore")
def test_function(name: str, backend: Target, request: pytest.FixtureRequest) -> None:
    every_check = backend.name == "numpy" or (request.config.getoption("--slow") and backend.name != "jax")
    for row in TABLE[name]:
        try:
            check(row, backend, every_check)
        except Exception as error:
            error.add_note(f"in the row {row.name}({', '.join(map(repr, row.inputs))}, {row.options})")
            raise


def check(row: Row, backend: Target, every_check: bool) -> None:
    # JAX compiles each operation for each shape: first derivatives must do there
    order = min(row.gradient, 1) if backend.name == "jax" else row.gradient
    if not check_call(row, row.inputs, backend, ours(row.name), theirs(row.name), order):
        return
    narrow = changed(row.inputs, lambda x: x.astype("float32") if x.dtype.kind == "f" else x)
    if narrow is not row.inputs:
        check_call(row, narrow, backend, ours(row.name), theirs(row.name), 0, 1e-4)
    if not every_check:
        return
    if row.half and any(is_float(x) for x in leaves(row.inputs)):
        check_half(row, backend)
    if is_method(row) and hasattr(torch, row.name):
        check_call(row, row.inputs, backend, method(xpnn.Tensor, row.name), method(torch.Tensor, row.name), 0)
    if row.in_place and hasattr(torch.Tensor, f"{row.name}_"):
        check_in_place(row, backend)
    if row.edges:
        for shape in (lambda x: x[:0], lambda x: x[..., :0], lambda x: x[(0,) * x.ndim]):
            inputs = changed(row.inputs, lambda x, shape=shape: np.asarray(shape(x)) if x.ndim else x)
            check_call(row, inputs, backend, ours(row.name), theirs(row.name), min(order, 1))
    if row.layouts:
        check_layouts(row, backend)


def check_call(
    row: Row,
    inputs: Any,
    backend: Target,
    mine: Callable[..., Any],
    oracle: Callable[..., Any],
    gradient: int,
    rtol: float | None = None,
) -> bool:
    """Values, shapes, element types and derivatives of one call; whether both can compute it.

    What it refuses must be refused, but for arrays of no elements or no axes, which may be.
    """
    rtol = rtol or row.rtol
    x = changed(inputs, lambda x: xpnn.Tensor(backend.array(x)))
    y = changed(inputs, lambda x: torch.from_numpy(x.copy()) if x.ndim else torch.tensor(x))
    for both, grad in ((x, gradient), (y, gradient)):
        for t in leaves(both):
            if grad and "float" in str(t.dtype):
                t.requires_grad_()
    options, their_options = converted(row.options, backend)
    try:
        expected = oracle(*y, **their_options)
    except (RuntimeError, ValueError, TypeError, IndexError):
        # on an accelerator no values are read to refuse them
        sees_values = cheap_to_read(backend.array(0.0))
        with pytest.raises(Failure) if inputs is row.inputs and sees_values else swallowing():
            mine(*x, **options)
        return False
    try:
        result = mine(*x, **options)
    except XpnnError as error:  # the bare standard makes no shapes that depend on values
        if "data-dependent" not in str(error):
            raise
        return False
    compare(result, expected, rtol)
    if not gradient:
        return True
    outputs = [(a, b) for a, b in zip(results(result), results(expected), strict=True) if differentiable(b)]
    my_leaves = [t for t in leaves(x) if t.requires_grad]
    their_leaves = [t for t in leaves(y) if t.requires_grad]
    if not outputs or not my_leaves:
        return True
    try:
        their_first = gradients([b for _, b in outputs], their_leaves, torch.autograd.grad, gradient > 1)
    except RuntimeError:  # it has no derivative
        return True
    mine_first = gradients([a for a, _ in outputs], my_leaves, xpnn.grad, gradient > 1)
    for a, b in zip(mine_first, their_first, strict=True):
        compare(a, b, max(rtol, 1e-8))
    if gradient > 1:
        pairs = [(a, b) for a, b in zip(mine_first, their_first) if b.requires_grad]
        if pairs:
            second = gradients([a for a, _ in pairs], my_leaves, xpnn.grad, False)
            theirs_second = gradients([b for _, b in pairs], their_leaves, torch.autograd.grad, False)
            for a, b in zip(second, theirs_second, strict=True):
                compare(a, b, max(rtol, 1e-7))
    return True


def is_method(row: Row) -> bool:
    """Whether PyTorch has it as a method of its first input; of `where` that is the second."""
    return (
        isinstance(row.inputs[0], np.ndarray)
        and row.name != "where"
        and callable(getattr(torch.Tensor, row.name, None))
    )


def check_half(row: Row, backend: Target) -> None:
    """Float16 and bfloat16 in, the same out, computed in float32 in between."""
    for dtype in half_types(backend):
        their_type = getattr(torch, dtype)

        def rounded(x: Any, their_type: Any = their_type) -> Any:
            return torch.tensor(x).to(their_type) if x.dtype.kind == "f" else torch.tensor(x)

        theirs_half = changed(row.inputs, rounded)
        options, their_options = converted(row.options, backend)
        try:
            expected = theirs(row.name)(*theirs_half, **their_options)
        except (RuntimeError, ValueError, TypeError):
            continue
        wide = changed_tensors(theirs_half, lambda t, half=their_type: t.double() if t.dtype == half else t)
        exact = theirs(row.name)(*wide, **their_options)
        mine = changed_tensors(
            wide,
            lambda t, dtype=dtype: (
                xpnn.Tensor(backend.array(t.numpy())).to(dtype)
                if t.dtype == torch.float64
                else xpnn.Tensor(backend.array(t.numpy()))
            ),
        )
        for a, b, e in zip(
            results(ours(row.name)(*mine, **options)), results(expected), results(exact), strict=True
        ):
            if not isinstance(b, torch.Tensor):
                continue
            assert dtype_name(a.dtype) == str(b.dtype).removeprefix("torch.")
            if b.dtype == their_type and b.numel():
                assert excess(in_float64(a), e.detach().numpy(), dtype) <= 0, (dtype, in_float64(a), e)


def check_in_place(row: Row, backend: Target) -> None:
    """The method that ends in `_`: its values, its element type, and that it returns itself."""
    name = f"{row.name}_"
    x = changed(row.inputs, lambda x: xpnn.Tensor(backend.array(x)))
    y = changed(row.inputs, lambda x: torch.tensor(x))
    options, their_options = converted(row.options, backend)
    if not isinstance(y[0], torch.Tensor):
        return
    try:
        expected = getattr(y[0], name)(*y[1:], **their_options)
    except (RuntimeError, ValueError, TypeError, IndexError):
        with pytest.raises(Failure):
            getattr(x[0], name)(*x[1:], **options)
        return
    result = getattr(x[0], name)(*x[1:], **options)
    assert result is x[0]
    compare(result, expected, row.rtol)


def check_layouts(row: Row, backend: Target) -> None:
    """Raw arrays give raw arrays, and elements that do not lie in a row give the same results."""
    options, _ = converted(row.options, backend)
    expected = ours(row.name)(*changed(row.inputs, lambda x: xpnn.Tensor(backend.array(x))), **options)

    def turned(x: Any) -> Any:
        order = tuple(reversed(range(x.ndim)))
        return xpnn.xp.permute_dims(xpnn.Tensor(backend.array(x.transpose(order).copy())), order)

    for a, b in zip(
        results(ours(row.name)(*changed(row.inputs, turned), **options)), results(expected), strict=True
    ):
        same(a, b)
    if hasattr(xpnn, row.name) and any(isinstance(x, np.ndarray) for x in row.inputs):
        raw = getattr(xpnn, row.name)(*changed(row.inputs, backend.array), **raw_options(options))
        for a, b in zip(results(raw), results(expected), strict=True):
            assert not isinstance(a, xpnn.Tensor)
            same(a, b)


def same(a: Any, b: Any) -> None:
    if isinstance(b, xpnn.Tensor):
        np.testing.assert_allclose(xpnn.to_numpy(a), xpnn.to_numpy(b), rtol=1e-12, atol=1e-13)
    else:
        assert a == b


@pytest.mark.parametrize("name", sorted(set(TABLE) & set(FRONT)))
def test_out_is_refused(name: str) -> None:
    row = TABLE[name][0]
    options, _ = converted(row.options, None)
    with pytest.raises(XpnnError, match="out"):
        getattr(xpnn, name)(*changed(row.inputs, xpnn.Tensor), out=xpnn.tensor([1.0]), **options)


def ours(name: str) -> Callable[..., Any]:
    return getattr(xpnn, name) if hasattr(xpnn, name) else method(xpnn.Tensor, name)


def theirs(name: str) -> Callable[..., Any]:
    return getattr(torch, name) if hasattr(torch, name) else method(torch.Tensor, name)


def method(kind: type, name: str) -> Callable[..., Any]:
    """The method as a function; what it writes into is not a leaf."""

    def call(x: Any, *args: Any, **options: Any) -> Any:
        return getattr(x * 1 if name.endswith("_") else x, name)(*args, **options)

    return call


def changed(inputs: Any, change: Callable[[Any], Any]) -> Any:
    """The inputs with all arrays changed, those in lists too; the same object where nothing changes."""
    if isinstance(inputs, np.ndarray):
        return change(inputs)
    if isinstance(inputs, tuple | list):
        parts = [changed(part, change) for part in inputs]
        return inputs if all(a is b for a, b in zip(parts, inputs)) else type(inputs)(parts)
    return inputs


def changed_tensors(inputs: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(inputs, torch.Tensor):
        return change(inputs)
    if isinstance(inputs, tuple | list):
        return type(inputs)([changed_tensors(part, change) for part in inputs])
    return inputs


def leaves(inputs: Any) -> Iterator[Any]:
    """The arrays or Tensors among the inputs."""
    if isinstance(inputs, np.ndarray | xpnn.Tensor | torch.Tensor):
        yield inputs
    elif isinstance(inputs, tuple | list):
        for part in inputs:
            yield from leaves(part)


def converted(options: dict[str, Any], backend: Target | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options for xpnn and for PyTorch: arrays become Tensors, names of types PyTorch's."""
    array = backend.array if backend else lambda x: x
    mine = {key: changed(value, lambda x: xpnn.Tensor(array(x))) for key, value in options.items()}
    other = {key: changed(value, torch.tensor) for key, value in options.items()}
    if isinstance(other.get("dtype"), str):
        other["dtype"] = getattr(torch, other["dtype"])
    return mine, other


def raw_options(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value.array if isinstance(value, xpnn.Tensor) else value for key, value in options.items()}


def results(value: Any) -> list[Any]:
    """What a function returns, as a flat list."""
    if isinstance(value, tuple | list):
        return [part for each in value for part in results(each)]
    return [value]


def compare(result: Any, expected: Any, rtol: float) -> None:
    """Shape, element type and values; the names of named tuples."""
    if hasattr(type(expected), "_fields") or type(expected).__module__ == "torch.return_types":
        names = getattr(expected, "_fields", None) or [
            n for n in dir(expected) if not n.startswith("_") and n not in dir(tuple)
        ]
        assert {n for n in names if n not in ("n_fields", "n_sequence_fields", "n_unnamed_fields")} == set(
            type(result)._fields
        )
    mine, others = results(result), results(expected)
    assert len(mine) == len(others)
    for a, b in zip(mine, others):
        if not isinstance(b, torch.Tensor):
            assert type(a) is type(b), (a, b)
            assert a == pytest.approx(b, rel=rtol, nan_ok=True)
            continue
        assert isinstance(a, xpnn.Tensor), type(a)
        assert a.shape == tuple(b.shape)
        assert dtype_name(a.dtype) == str(b.dtype).removeprefix("torch.")
        narrow = max(rtol, 1e-5) if b.dtype in (torch.float32, torch.complex64) else rtol
        np.testing.assert_allclose(
            xpnn.to_numpy(a.detach()),
            b.numpy(force=True),
            rtol=narrow,
            atol=max(narrow / 100, 1e-12),
        )


def gradients(outputs: list[Any], inputs: list[Any], grad: Callable[..., Any], create: bool) -> list[Any]:
    """The gradients of the sum of all outputs, each element weighted in its own way."""
    total: Any = 0.0
    for y in outputs:
        weights = np.cos(np.arange(max(y.numel(), 1)) + 1.0)[: y.numel()].reshape(tuple(y.shape))
        if isinstance(y, torch.Tensor):
            total = total + (y * torch.from_numpy(weights)).nansum()
        else:
            like = xpnn.Tensor(xpnn.asarray(weights)).to(dtype=y.dtype)
            product = xpnn.xp.multiply(y, like)
            total = total + xpnn.xp.sum(xpnn.xp.where(xpnn.xp.isnan(product.detach()), 0.0, product))
    if not total.requires_grad:
        return [0 * x.detach() for x in inputs]
    found = grad(total, inputs, create_graph=create, allow_unused=True)
    zeros = [0 * x for x in inputs]
    return [z if g is None else g for g, z in zip(found, zeros)]


def differentiable(y: Any) -> bool:
    return isinstance(y, torch.Tensor) and y.requires_grad


def is_float(x: np.ndarray) -> bool:
    return x.dtype.kind == "f"


class swallowing:  # noqa: N801 - stands where pytest.raises may
    """Takes the errors of xpnn; others go on."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, Failure)
