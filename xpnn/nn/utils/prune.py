"""Pruning: set the least important weights to zero, and keep them there in training.

A pruned Parameter `weight` becomes `weight_orig`, which is trained, times the Buffer `weight_mask` of zeros
and ones. Pruning it again counts what is left.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any

from xpnn.autograd import Tensor, no_grad, xp
from xpnn.backend import ArgumentError, Array, namespace, random
from xpnn.functional.arguments import axis_of, raw_array, shape_of
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer, Parameter, copy_like
from xpnn.nn.utils.recomputed import Recomputed, end_recomputing, recompute, take_parameter, way_of

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]

Amount = float | int


class _Masked(Recomputed):
    def compute(self, module: Module) -> Tensor:
        return getattr(module, f"{self.name}_orig") * getattr(module, f"{self.name}_mask")


def l1_unstructured(module: Module, name: str, amount: Amount, importance_scores: Any = None) -> Module:
    """Set the elements of least size to zero.

    Args:
        module: has the Parameter `name`.
        name: which one.
        amount: how many: a share in [0, 1] as a float, or a number of elements as an int.
        importance_scores: of the Parameter's shape; what is ranked in place of its own elements.

    Returns: the module.

    Raises: ArgumentError if there is no such Parameter, and for more than there is to prune.

    >>> from xpnn import nn
    >>> layer = l1_unstructured(nn.Linear(4, 1), "weight", amount=0.5)
    >>> layer.weight.tolist()[0].count(0.0), sorted(layer.state_dict())
    (2, ['bias', 'weight_mask', 'weight_orig'])
    """
    return L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)


def random_unstructured(module: Module, name: str, amount: Amount) -> Module:
    """Set elements drawn by chance to zero; see `l1_unstructured`.

    >>> from xpnn import nn
    >>> random_unstructured(nn.Linear(4, 1), "weight", amount=3).weight_mask.sum().tolist()
    1.0
    """
    return RandomUnstructured.apply(module, name, amount)


def ln_structured(
    module: Module, name: str, amount: Amount, n: float, dim: int, importance_scores: Any = None
) -> Module:
    """Set whole channels along `dim` to zero, those of the least n-norm; see `l1_unstructured`.

    >>> import xpnn
    >>> layer = xpnn.nn.Linear(2, 2)
    >>> _ = layer.load_state_dict({"weight": xpnn.tensor([[3.0, 4.0], [1.0, 1.0]])}, strict=False)
    >>> ln_structured(layer, "weight", amount=1, n=2, dim=0).weight.tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """
    return LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)


def random_structured(module: Module, name: str, amount: Amount, dim: int) -> Module:
    """Set whole channels along `dim`, drawn by chance, to zero; see `l1_unstructured`.

    >>> from xpnn import nn
    >>> random_structured(nn.Linear(3, 4), "weight", amount=0.5, dim=0).weight_mask.sum().tolist()
    6.0
    """
    return RandomStructured.apply(module, name, amount, dim)


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type,
    importance_scores: dict[tuple[Module, str], Any] | None = None,
    **kwargs: Any,
) -> None:
    """Set the least important elements of several Parameters together to zero.

    Args:
        parameters: pairs of a module and a Parameter's name.
        pruning_method: `L1Unstructured`, `RandomUnstructured` or another unstructured `BasePruningMethod`.
        importance_scores: what is ranked in place of the elements, for some of the pairs.
        kwargs: what the method is made with, such as amount: how many of all, as in `l1_unstructured`.

    >>> from xpnn import nn
    >>> a, b = nn.Linear(4, 1), nn.Linear(4, 1)
    >>> global_unstructured([(a, "weight"), (b, "weight")], L1Unstructured, amount=0.5)
    >>> (a.weight_mask.sum() + b.weight_mask.sum()).tolist()
    4.0
    """
    pairs = list(parameters)
    if not (isinstance(pruning_method, type) and issubclass(pruning_method, BasePruningMethod)) or (
        pruning_method.PRUNING_TYPE != "unstructured"
    ):
        raise ArgumentError(
            f"expects an unstructured BasePruningMethod such as L1Unstructured, got {pruning_method!r}",
            subject="global_unstructured",
        )
    if not pairs:
        raise ArgumentError("expects at least one pair of a module and a name", subject="global_unstructured")
    given = importance_scores or {}
    held = [_weight_and_mask(module, name) for module, name in pairs]
    common = namespace(held[0][1])
    scores = [
        common.reshape(raw_array(_scores(weight, mask, given.get(pair))), (-1,))
        for pair, (weight, mask) in zip(pairs, held, strict=True)
    ]
    before = common.concat([common.reshape(mask, (-1,)) for _, mask in held])
    with no_grad():
        mask = pruning_method(**kwargs).compute_mask(Tensor(common.concat(scores)), Tensor(before))
    whole = before * raw_array(mask)
    start = 0
    for (module, name), (weight, _) in zip(pairs, held, strict=True):
        part = whole[start : start + weight.numel()]
        _apply(module, name, common.reshape(part, weight.shape))
        start += weight.numel()


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Set the elements to zero where the mask is 0; see `l1_unstructured`.

    >>> import xpnn
    >>> layer = custom_from_mask(xpnn.nn.Linear(2, 1), "weight", xpnn.tensor([[0, 1]]))
    >>> layer.weight.tolist()[0][0]
    0.0
    """
    return CustomFromMask.apply(module, name, mask)


def identity(module: Module, name: str) -> Module:
    """Prepare a Parameter as the others do, and prune nothing.

    >>> from xpnn import nn
    >>> identity(nn.Linear(2, 1), "weight").weight_mask.tolist()
    [[1.0, 1.0]]
    """
    return Identity.apply(module, name)


def remove(module: Module, name: str) -> Module:
    """Make a plain Parameter, with its zeros, of a pruned one. Raises: ArgumentError if it is not pruned.

    >>> from xpnn import nn
    >>> sorted(remove(identity(nn.Linear(2, 1), "weight"), "weight").state_dict())
    ['bias', 'weight']
    """
    way = end_recomputing(module, _Masked, name, "pruning")
    with no_grad():
        value: Any = way.compute(module)
    weight = vars(module).pop(f"{name}_orig")
    weight.store(value.array)
    delattr(module, f"{name}_mask")
    module.register_parameter(name, weight)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a Parameter of the module or of one below it is pruned."""
    return any(way_of(part, _Masked) is not None for part in module.modules())


class BasePruningMethod(abc.ABC):
    """What ways to prune are made of: a subclass says in `compute_mask` which elements stay.

    Attributes:
        PRUNING_TYPE: "unstructured", "structured" or "global"; `global_unstructured` takes the first.

    >>> from xpnn import nn
    >>> class EveryOther(BasePruningMethod):
    ...     PRUNING_TYPE = "unstructured"
    ...     def compute_mask(self, t, default_mask):
    ...         mask = default_mask.clone()
    ...         mask[..., ::2] = 0
    ...         return mask
    >>> EveryOther.apply(nn.Linear(4, 1), "weight").weight_mask.tolist()
    [[0.0, 1.0, 0.0, 1.0]]
    """

    PRUNING_TYPE = "unstructured"

    @abc.abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The new mask of zeros and ones.

        Args:
            t: the Tensor that is ranked: the Parameter with its zeros, or scores.
            default_mask: the mask so far, ones at first; what is 0 in it stays 0.
        """

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any
    ) -> Module:
        """Prune the Parameter `name` by a method made with these arguments; returns the module."""
        weight, before = _weight_and_mask(module, name)
        with no_grad():
            mask = cls(*args, **kwargs).compute_mask(
                _scores(weight, before, importance_scores), Tensor(before)
            )
        return _apply(module, name, before * _checked_mask(mask, weight, cls.__name__))

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Tensor:
        """A Tensor with zeros in place of what is pruned; the arguments are those of `compute_mask`."""
        if default_mask is None:
            default_mask = t * 0 + 1
        with no_grad():
            return t * self.compute_mask(t if importance_scores is None else importance_scores, default_mask)


class _ByAmount(BasePruningMethod):
    """A method that is told how much to prune."""

    def __init__(self, amount: Amount) -> None:
        _count_of(amount, 10**18)
        self.amount = amount


class L1Unstructured(_ByAmount):
    """The elements of least size; see `l1_unstructured`."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """See `BasePruningMethod`."""
        scores, mask = raw_array(t), raw_array(default_mask)
        return Tensor(_mask_of_elements(namespace(scores).abs(scores), mask, self.amount))


class RandomUnstructured(_ByAmount):
    """Elements drawn by chance; see `random_unstructured`."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """See `BasePruningMethod`."""
        mask = raw_array(default_mask)
        return Tensor(_mask_of_elements(_drawn(shape_of(t), mask), mask, self.amount))


class LnStructured(_ByAmount):
    """The channels along `dim` of least n-norm; see `ln_structured`."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Amount, n: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """See `BasePruningMethod`."""
        axis = axis_of(self.dim, t.ndim, "ln_structured")
        others = tuple(i for i in range(t.ndim) if i != axis)
        if self.n in (float("inf"), "inf"):
            norms = xp.max(abs(t), axis=others)
        else:
            norms = xp.linalg.vector_norm(t, axis=others, ord=self.n)
        return Tensor(_mask_of_channels(norms.array, raw_array(default_mask), self.amount, axis))


class RandomStructured(_ByAmount):
    """Channels along `dim` drawn by chance; see `random_structured`."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Amount, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """See `BasePruningMethod`."""
        axis, mask = axis_of(self.dim, t.ndim, "random_structured"), raw_array(default_mask)
        return Tensor(_mask_of_channels(_drawn((t.shape[axis],), mask), mask, self.amount, axis))


class CustomFromMask(BasePruningMethod):
    """What is 0 in a mask; see `custom_from_mask`."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """See `BasePruningMethod`."""
        return self.mask


class Identity(BasePruningMethod):
    """Nothing; see `identity`."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """See `BasePruningMethod`."""
        return default_mask


def _checked_mask(mask: Any, weight: Tensor, subject: str) -> Array:
    """A mask in the library and the element type of the Parameter."""
    if shape_of(mask) != shape_of(weight):
        raise ArgumentError(
            f"expects a mask of shape {shape_of(weight)}, got {shape_of(mask)}", subject=subject
        )
    return copy_like(raw_array(mask), weight.array)


def _mask_of_elements(scores: Array, mask: Array, amount: Amount) -> Array:
    """The mask with `amount` more elements of 0."""
    common = namespace(mask)
    flat = _without_least(common.reshape(scores, (-1,)), common.reshape(mask, (-1,)), amount)
    return common.reshape(flat, mask.shape)


def _mask_of_channels(scores: Array, mask: Array, amount: Amount, axis: int) -> Array:
    """The mask with `amount` more channels of 0."""
    common = namespace(mask)
    others = tuple(i for i in range(mask.ndim) if i != axis)
    alive = common.max(mask, axis=others) if others else mask
    kept = _without_least(scores, alive, amount)
    return mask * common.reshape(kept, tuple(-1 if i == axis else 1 for i in range(mask.ndim)))


def _without_least(scores: Array, mask: Array, amount: Amount) -> Array:
    """The mask with `amount` more zeros, where the scores of what is left are least."""
    common = namespace(mask)
    left = int(common.sum(mask))
    count = _count_of(amount, left)
    ranked = common.where(mask > 0, scores, common.full_like(scores, -1.0))  # first what is pruned already
    ranks = common.argsort(common.argsort(ranked, stable=True), stable=True)
    kept = ranks >= mask.shape[0] - left + count
    return common.astype(kept, mask.dtype)


def _count_of(amount: Any, left: int) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount != amount:
        raise ArgumentError(f"expects amount as a number, got {amount!r}", subject="prune")
    if isinstance(amount, float) and not 0.0 <= amount <= 1.0:
        raise ArgumentError(f"expects a share between 0 and 1 as amount, got {amount}", subject="prune")
    if isinstance(amount, int) and not 0 <= amount <= left:
        raise ArgumentError(
            f"expects amount between 0 and the {left} that are left, got {amount}", subject="prune"
        )
    return amount if isinstance(amount, int) else round(amount * left)


def _drawn(shape: tuple[int, ...], like: Array) -> Array:
    return copy_like(namespace(like).asarray(random.host_generator().random(shape).tolist()), like)


def _scores(weight: Tensor, mask: Array, given: Any) -> Any:
    """What is ranked: what is given, or the Parameter as it is now."""
    if given is None:
        return Tensor(weight.array * mask)
    if shape_of(given) != shape_of(weight):
        raise ArgumentError(
            f"expects importance_scores of shape {shape_of(weight)}, got {shape_of(given)}", subject="prune"
        )
    return Tensor(copy_like(raw_array(given), weight.array))


def _weight_and_mask(module: Module, name: str) -> tuple[Tensor, Array]:
    """The Parameter that is or will be pruned, and its mask as a raw array."""
    weight = vars(module).get(f"{name}_orig", vars(module).get(name))
    if not isinstance(weight, Parameter):
        raise ArgumentError(f"finds no Parameter '{name}' in {type(module).__name__}", subject="prune")
    if way_of(module, _Masked, name) is not None:
        return weight, vars(module)[f"{name}_mask"].array
    return weight, namespace(weight.array).ones_like(weight.array)


def _apply(module: Module, name: str, mask: Array) -> Module:
    if way_of(module, _Masked, name) is not None:
        vars(module)[f"{name}_mask"].store(mask)
        return module
    module.register_parameter(f"{name}_orig", take_parameter(module, name, "prune"))
    module.register_buffer(f"{name}_mask", Buffer(mask))
    recompute(module, _Masked(name))
    return module
