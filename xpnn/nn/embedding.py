"""Embedding: a trained vector for each of a number of things, looked up one by one or in bags."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from xpnn import functional as F
from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError, ShapeError
from xpnn.functional.arguments import check_flags, check_rank
from xpnn.functional.embedding.table import padding_row
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """What both modules own: the table, and how its rows are looked up.

    `_shown` are the arguments that the repr shows where they are not the defaults given here.
    """

    _shown: ClassVar[dict[str, Any]]

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Any,
        device: Any,
        dtype: Any,
    ) -> None:
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.padding_idx = padding_row(padding_idx, num_embeddings, type(self).__name__)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if weight is None:
            self.weight = Parameter(full(shape, 0.0, device, dtype))
            self.reset_parameters()
        elif tuple(weight.shape) != shape:
            raise ShapeError(
                f"expects a weight of shape {shape}, got {tuple(weight.shape)}", subject=type(self).__name__
            )
        else:
            self.weight = weight if isinstance(weight, Parameter) else Parameter(weight)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def _with_table(cls, embeddings: Any, freeze: bool, **options: Any) -> Self:
        check_rank(embeddings, 2, f"{cls.__name__}.from_pretrained", "rows, features", "embeddings")
        check_flags(f"{cls.__name__}.from_pretrained", freeze=freeze)
        made = cls(*embeddings.shape, _weight=embeddings, **options)  # type: ignore[call-arg]
        made.weight.requires_grad = not freeze
        return made

    def extra_repr(self) -> str:
        """The arguments that are not left as they are."""
        words = [f"{self.num_embeddings}, {self.embedding_dim}"]
        for name, default in self._shown.items():
            value = getattr(self, name)
            if value is not default and value != default:
                words.append(f"{name}={value!r}" if name == "mode" else f"{name}={value}")
        return ", ".join(words)


class Embedding(_Table):
    """Look up rows of a trained table; see `functional.embedding` for the gradient.

    Args:
        num_embeddings: the rows of the table.
        embedding_dim: the length of a row.
        padding_idx: the row that starts as zeros and is never trained; a negative one counts from the end.
        max_norm, norm_type: rows that are looked up are first scaled down to this norm, in the table.
        scale_grad_by_freq: whether each row's gradient is divided by how often it was looked up.
        sparse: is taken for PyTorch's sake; gradients are dense here, of the same values.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (num_embeddings, embedding_dim), at the start from N(0, 1).

    Shapes: integers (...) to (..., embedding_dim).

    Raises: ArgumentError for a padding_idx outside of the table.

    >>> from xpnn.autograd import tensor
    >>> Embedding(10, 3)(tensor([[2, 5]])).shape
    (1, 2, 3)
    """

    _shown: ClassVar[dict[str, Any]] = {
        "padding_idx": None,
        "max_norm": None,
        "norm_type": 2,
        "scale_grad_by_freq": False,
        "sparse": False,
    }

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight,
            device,
            dtype,
        )
        if _freeze:
            self.weight.requires_grad = False

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A module with a table that is there already.

        Args:
            embeddings: (num_embeddings, embedding_dim), floating; of a Tensor the table shares the elements.
            freeze: whether the table is not trained.
            padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: as for the class.

        >>> from xpnn.autograd import tensor
        >>> layer = Embedding.from_pretrained(tensor([[0.0, 1.0], [2.0, 3.0]]))
        >>> layer(tensor([1])).tolist(), layer.weight.requires_grad
        ([[2.0, 3.0]], False)
        """
        return cls._with_table(
            embeddings,
            freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def forward(self, input: Any) -> Tensor:
        """Integers (...) to (..., embedding_dim)."""
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )


class EmbeddingBag(_Table):
    """The sum, mean or maximum of bags of rows of a trained table; see `functional.embedding_bag`.

    Args:
        num_embeddings: the rows of the table.
        embedding_dim: the length of a row.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in `Embedding`.
        mode: "sum", "mean" or "max".
        include_last_offset: whether the last of the offsets is where the last bag ends.
        padding_idx: an index that is left out of its bag, and whose row starts as zeros.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (num_embeddings, embedding_dim), at the start from N(0, 1).

    Shapes: integers (bags, length), or (n,) with offsets (bags,), to (bags, embedding_dim).

    Raises: ArgumentError for another mode, or a padding_idx outside of the table.

    >>> from xpnn.autograd import tensor
    >>> EmbeddingBag(10, 3)(tensor([2, 5, 5, 1]), tensor([0, 3])).shape
    (2, 3)
    """

    _shown: ClassVar[dict[str, Any]] = {
        "max_norm": None,
        "norm_type": 2,
        "scale_grad_by_freq": False,
        "mode": "",
        "padding_idx": None,
    }

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if mode not in ("sum", "mean", "max"):
            raise ArgumentError(
                f"expects mode to be 'sum', 'mean' or 'max', got {mode!r}", subject="EmbeddingBag"
            )
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight,
            device,
            dtype,
        )
        self.mode = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A module with a table that is there already; see `Embedding.from_pretrained`."""
        return cls._with_table(
            embeddings,
            freeze,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        """Integers (bags, length), or (n,) with offsets (bags,), to (bags, embedding_dim)."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )
