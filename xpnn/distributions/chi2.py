"""The distribution of a sum of squares of normal numbers."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributions.distribution import as_parameter
from xpnn.distributions.gamma import Gamma

__all__ = ["Chi2"]


class Chi2(Gamma):
    """The sum of the squares of `df` standard normal numbers: gamma of concentration df / 2 and rate 1 / 2.

    Args:
        df: the degrees of freedom, above 0.

    >>> Chi2(3.0).mean
    tensor(3.)
    """

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        df = as_parameter(df, "Chi2")
        super().__init__(0.5 * df, df * 0 + 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2

    def __repr__(self) -> str:
        return f"Chi2(df: {self.df.item() if self.df.numel() == 1 else self.df.shape})"
