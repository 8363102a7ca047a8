"""What the smooth stand-ins for coins and categories share, whose samples have gradients.

See: Maddison, Mnih & Teh (2017), "The Concrete distribution"; Jang, Gu & Poole (2017), "Categorical
reparameterization with Gumbel-softmax".
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributions.transformed_distribution import TransformedDistribution


class Relaxed(TransformedDistribution):
    """What both have of the distribution whose samples they transform."""

    base_dist: Any

    @property
    def temperature(self) -> Tensor:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self.base_dist.probs

    @property
    def logits(self) -> Tensor:
        """Their logits."""
        return self.base_dist.logits
