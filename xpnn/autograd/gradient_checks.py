"""Gradients from the tape against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import carries_gradient
from xpnn.autograd.gradients import grad
from xpnn.autograd.mode import enable_grad
from xpnn.autograd.numerical import check_float64, nudged
from xpnn.autograd.tensor import Tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    GradientError,
    backend_of,
    device_of,
    dtype_name,
    is_array,
    is_complex,
    is_tensor,
    move,
    namespace,
    to_numpy,
)
from xpnn.backend.idioms import zeros_like_shape
from xpnn.backend.random import RandomStream

_ALL_SUBSETS = 4  # up to so many inputs, every subset of them is tried


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_subsets: bool = True,
    fast_mode: bool = False,
    **options: Any,
) -> bool:
    """Compare the gradients that the tape gives with central finite differences.

    For every output y and input x, each element of the Jacobian must satisfy
    `|analytical - numerical| <= atol + rtol * |numerical|`, where
    `numerical = (y(x + eps) - y(x - eps)) / (2 * eps)`. The inputs must come out of it unchanged.

    Args:
        func: takes Tensors and returns a Tensor or a tuple of them. Outputs that do not depend on the
            inputs, or cannot have a gradient, are left out.
        inputs: an array or Tensor, or a tuple of them, of any backend. All floating and complex raw arrays
            are checked, and those Tensors that require a gradient; they must be float64 or complex128, whose
            two parts are checked apart, along a last axis of positions. Whatever else is in the tuple is
            handed to `func` as it is.
        eps: the step of the differences.
        atol, rtol: the tolerances.
        raise_exception: whether a failure raises; otherwise the answer is False.
        nondet_tol: the greatest difference allowed between two sweeps over the same inputs.
        check_subsets: whether each input's gradient must also be the same when only some of the inputs
            require one.
        fast_mode: compare one random projection `v^T J u` of each input's Jacobian instead of all its
            elements; a projection that differs is followed by the full check, for its message.
        options: PyTorch's other ones, about checks that are always, or never, made; they change nothing.

    Raises: GradientError that names the input, the position and both values; DTypeError for inputs that
    are not float64.

    See: torch.autograd.gradcheck, whose names and defaults these are.

    >>> from xpnn import asarray
    >>> gradcheck(lambda x: x**3, asarray([1.0, 2.0], dtype="float64"))
    True
    """
    subject = _Subject(func, inputs)
    try:
        if not (fast_mode and _projections_agree(subject, eps, atol, rtol)):
            _compare_jacobians(subject, eps, atol, rtol)
        _compare_sweeps(subject, nondet_tol)
        if check_subsets:
            _compare_subsets(subject, atol, rtol)
    except _WrongGradientError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    **options: Any,
) -> bool:
    """Compare the second derivatives that the tape gives with differences of its first ones.

    It is `gradcheck` of `(inputs, grad_outputs) -> grad(func(inputs), inputs, grad_outputs)`.

    Args:
        func, inputs: as in `gradcheck`.
        grad_outputs: the gradients that come from above, a float64 or complex128 array for each output
            that has a gradient; None takes fixed random ones.
        eps, atol, rtol, raise_exception, nondet_tol, fast_mode, options: as in `gradcheck`.

    Raises: as `gradcheck`.

    See: torch.autograd.gradgradcheck.

    >>> from xpnn import asarray
    >>> gradgradcheck(lambda x: x**3, asarray([1.0, 2.0], dtype="float64"))
    True
    """
    subject = _Subject(func, inputs)
    if grad_outputs is None:
        seeds = [subject.like_input(seed) for seed in subject.seeds]
    else:
        seeds = [_raw(_pairs(g)) if is_complex(_raw(g)) else _raw(g) for g in _as_tuple(grad_outputs)]
    if len(seeds) != len(subject.seeds):
        raise ArgumentError(
            f"expects {len(subject.seeds)} grad_outputs, one per differentiable output, got {len(seeds)}",
            subject="gradgradcheck",
        )

    def gradients(*args: Any) -> tuple[Any, ...]:
        leaves = [args[i] for i in subject.checked]
        results = _differentiable(subject.func(*args[: len(subject.args)]))
        return subject.gradients(results, leaves, args[len(subject.args) :], create_graph=True)

    return gradcheck(
        gradients,
        (*subject.args, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_subsets=False,
        fast_mode=fast_mode,
    )


class _WrongGradientError(GradientError):
    """A gradient that is wrong, as against one that could not be computed."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, subject="gradcheck")


class _Subject:
    """The function under test at one point.

    Attributes:
        func: the function, of pairs of real numbers in place of complex arguments and outputs.
        args: all the arguments.
        checked: the positions of those that a gradient is checked of.
        values: these arguments as float64 NumPy arrays, the point at which derivatives are taken.
        seeds: a fixed random gradient from above for each output that has a gradient.
    """

    def __init__(self, func: Callable[..., Any], inputs: Any) -> None:
        given = _as_tuple(inputs)
        self.checked = [i for i, arg in enumerate(given) if _is_checked(arg)]
        complex_ = frozenset(i for i in self.checked if is_complex(_raw(given[i])))
        self.func = _over_pairs(func, complex_)
        self.args = tuple([_pairs(arg) if i in complex_ else arg for i, arg in enumerate(given)])
        if not self.checked:
            raise GradientError(
                "needs an input that requires a gradient, got none",
                subject="gradcheck",
                hint="Pass float64 arrays, or Tensors with requires_grad=True",
            )
        for i in self.checked:
            check_float64(self.args[i], "gradcheck", f"input {i}")
        self.values = [to_numpy(self.args[i]).copy() for i in self.checked]
        _, outputs = self.run()
        if not outputs:
            raise GradientError("finds no output that depends on the inputs", subject="gradcheck")
        self.seeds = [_direction(y.shape, i) for i, y in enumerate(outputs)]

    def run(
        self, values: Sequence[Array] | None = None, tracked: Sequence[int] | None = None
    ) -> tuple[list[Any], tuple[Any, ...]]:
        """Call the function at `values`; the leaves, and the outputs that have a gradient.

        Only the leaves at the places `tracked` require a gradient; None is all of them.
        """
        args = list(self.args)
        leaves = []
        for place, (i, value) in enumerate(zip(self.checked, values or self.values, strict=True)):
            data = move(value.copy(), backend_of(_raw(args[i])), device_of(args[i]))
            args[i] = Tensor(data, requires_grad=tracked is None or place in tracked)
            leaves.append(args[i])
        with enable_grad():
            return leaves, _differentiable(self.func(*args))

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The outputs at `values`, on the host."""
        return [to_numpy(y) for y in self.run(values)[1]]

    def gradients(
        self, outputs: Sequence[Any], leaves: Sequence[Any], seeds: Sequence[Any], create_graph: bool = False
    ) -> tuple[Any, ...]:
        """The gradients of `leaves`; zeros for one that the outputs do not depend on."""
        found = grad(outputs, leaves, seeds, retain_graph=True, create_graph=create_graph, allow_unused=True)
        pairs = zip(found, leaves, strict=True)
        return tuple(Tensor(zeros_like_shape(x.array, x.shape)) if g is None else g for g, x in pairs)

    def sweep(self, leaves: Sequence[Any], outputs: Sequence[Any], seeds: Sequence[Array]) -> list[Array]:
        """The gradients of `leaves` on the host, each held to have its leaf's shape and element type."""
        found = self.gradients(outputs, leaves, [Tensor(self.like_input(seed)) for seed in seeds])
        for i, x, g in zip(self.checked, leaves, found, strict=False):
            if g.shape != x.shape or g.dtype != x.dtype or g.device != x.device:
                raise _WrongGradientError(
                    f"found a gradient of shape {g.shape}, {dtype_name(g.dtype)} on {g.device} for input {i} "
                    f"of shape {x.shape}, {dtype_name(x.dtype)} on {x.device}"
                )
        return [to_numpy(g) for g in found]

    def like_input(self, values: Array) -> Array:
        """A NumPy array in the library and on the device of the inputs."""
        first = self.args[self.checked[0]]
        return move(values, backend_of(_raw(first)), device_of(first))


def _projections_agree(subject: _Subject, eps: float, atol: float, rtol: float) -> bool:
    """Whether `v^T J u` is the same from the tape and from differences, for random u and v."""
    found = subject.sweep(*subject.run(), subject.seeds)
    for place, (value, gradient) in enumerate(zip(subject.values, found, strict=True)):
        along = _direction(value.shape, len(subject.seeds) + place)
        differences = zip(subject.seeds, _difference(subject, place, eps * along), strict=True)
        numerical = sum(float((seed * difference).sum()) for seed, difference in differences) / (2 * eps)
        if not _close(float((along * gradient).sum()), numerical, atol, rtol):
            return False
    return True


def _compare_jacobians(subject: _Subject, eps: float, atol: float, rtol: float) -> None:
    """Hold every element of every Jacobian against differences: one sweep per element of the outputs,
    two calls per element of the inputs.
    """
    leaves, outputs = subject.run()
    for o, output in enumerate(outputs):
        rows = []
        for j in range(output.size):
            seeds = [_zeros(y.shape) for y in outputs]
            seeds[o] = nudged(seeds[o], j, 1.0)
            rows.append(subject.sweep(leaves, outputs, seeds))
        for place, value in enumerate(subject.values):
            steps = [nudged(_zeros(value.shape), k, eps) for k in range(value.size)]
            columns = [_difference(subject, place, step)[o] / (2 * eps) for step in steps]
            pairs = [
                (float(row[place].reshape(-1)[k]), float(column.reshape(-1)[j]), j, k)
                for j, row in enumerate(rows)
                for k, column in enumerate(columns)
            ]
            wrong = [pair for pair in pairs if not _close(*pair[:2], atol, rtol)]
            if wrong:
                analytical, numerical, j, k = max(wrong, key=lambda pair: abs(pair[0] - pair[1]))
                raise _WrongGradientError(
                    f"finds the gradient of output {o} with respect to input {subject.checked[place]} wrong "
                    f"at input position {_index(k, value.shape)}, output position {_index(j, output.shape)}: "
                    f"analytical {analytical:.9g}, numerical {numerical:.9g}. This is the worst of "
                    f"{len(wrong)} among {len(pairs)} elements of the Jacobian that differ by more than "
                    f"{atol:g} + {rtol:g} * |numerical|"
                )


def _compare_sweeps(subject: _Subject, tolerance: float) -> None:
    """Two sweeps must give the same, and neither they nor the forward may change the inputs."""
    leaves, outputs = subject.run()
    first, second = (subject.sweep(leaves, outputs, subject.seeds) for _ in range(2))
    everything = zip(subject.checked, subject.values, leaves, first, second, strict=True)
    for i, value, leaf, one, other in everything:
        if value.size and float(abs(one - other).max()) > tolerance:
            raise _WrongGradientError(f"finds that two sweeps give different gradients for input {i}")
        if not bool((to_numpy(leaf) == value).all()):
            raise _WrongGradientError(f"finds input {i} changed: the function or its backward writes into it")


def _compare_subsets(subject: _Subject, atol: float, rtol: float) -> None:
    """Each input's gradient must not depend on which of the others require one."""
    full = subject.sweep(*subject.run(), subject.seeds)
    for subset in _subsets(len(subject.checked)):
        leaves, outputs = subject.run(tracked=subset)
        if len(outputs) != len(subject.seeds):
            continue  # some output depends on none of these inputs
        found = subject.sweep([leaves[place] for place in subset], outputs, subject.seeds)
        for place, gradient in zip(subset, found, strict=True):
            if not bool((abs(gradient - full[place]) <= atol + rtol * abs(full[place])).all()):
                alone = ", ".join(str(subject.checked[p]) for p in subset)
                raise _WrongGradientError(
                    f"finds another gradient for input {subject.checked[place]} when only the inputs "
                    f"({alone}) require one"
                )


def _subsets(count: int) -> list[tuple[int, ...]]:
    """The subsets of `count` places, without the empty and the full one; of many, the extreme ones."""
    sizes = range(1, count) if count <= _ALL_SUBSETS else {1, count - 1}
    return [subset for size in sizes for subset in combinations(range(count), size)]


def _difference(subject: _Subject, place: int, step: Array) -> list[Array]:
    """`y(x + step) - y(x - step)` of every output, where x is the checked input at `place`."""
    above, below = list(subject.values), list(subject.values)
    above[place] = subject.values[place] + step
    below[place] = subject.values[place] - step
    pairs = zip(subject.evaluate(above), subject.evaluate(below), strict=True)
    return [one - other for one, other in pairs]


def _close(analytical: float, numerical: float, atol: float, rtol: float) -> bool:
    return abs(analytical - numerical) <= atol + rtol * abs(numerical)


def _differentiable(outputs: Any) -> tuple[Any, ...]:
    return tuple(y for y in _as_tuple(outputs) if is_tensor(y) and y.requires_grad)


def _is_checked(arg: Any) -> bool:
    if is_tensor(arg):
        return arg.requires_grad
    return is_array(arg) and bool(carries_gradient(arg))


def _over_pairs(func: Callable[..., Any], positions: frozenset[int]) -> Callable[..., Any]:
    """`func` with pairs of real numbers in place of its complex outputs, and of the arguments at `positions`.

    So derivatives by complex numbers are held against differences of their parts.
    """

    def over_pairs(*args: Any) -> tuple[Any, ...]:
        outputs = func(*[ops.complex_pairs(arg) if i in positions else arg for i, arg in enumerate(args)])
        return tuple([_pairs(y) if is_tensor(y) and is_complex(y.array) else y for y in _as_tuple(outputs)])

    return over_pairs


def _pairs(x: Any) -> Any:
    """Complex numbers as pairs; a leaf that requires a gradient gives one."""
    pairs = ops.pairs_of_complex(x)
    if is_tensor(x) and x.requires_grad and x.edge is None:
        pairs = Tensor(pairs.array, requires_grad=True)
    return pairs


def _direction(shape: tuple[int, ...], seed: int) -> Array:
    """Fixed numbers in [-1, 1) as a float64 NumPy array."""
    numbers = RandomStream(seed).uniform(shape, _zeros(()))
    return 2.0 * namespace(numbers).astype(numbers, _zeros(()).dtype) - 1.0


def _zeros(shape: tuple[int, ...]) -> Array:
    """float64 zeros on the host."""
    host = to_numpy(0.0)
    xp = namespace(host)
    return xp.zeros(shape, dtype=xp.float64)


def _index(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A flat position as an index."""
    index: tuple[int, ...] = ()
    for size in reversed(shape):
        position, last = divmod(position, size)
        index = (last, *index)
    return index


def _raw(arg: Any) -> Array:
    return arg.array if is_tensor(arg) else arg


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, tuple | list) else (values,)
