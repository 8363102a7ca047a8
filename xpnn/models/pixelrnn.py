"""PixelRNN: a long short-term memory reads an image row by row, and says how likely each pixel's levels are.

See: van den Oord, Kalchbrenner & Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.functional import sigmoid, tanh
from xpnn.models.autoregressive import PixelLevels
from xpnn.models.pixelcnn import MaskedConv2d


class RowLSTM(nn.Module):
    """An LSTM whose steps are rows and whose maps are convolutions along them, with the input added.

    The gates of a row see it up to the pixel itself, by a masked convolution, and three neighbours of the
    state in the row above: in all a triangle that opens upwards.

    Args:
        channels: of the state; the input has twice as many.
    """

    def __init__(self, channels: int) -> None:
        self.input_to_state = MaskedConv2d("B", 2 * channels, 4 * channels, (1, 3))
        self.state_to_state = nn.Conv1d(channels, 4 * channels, 3, padding=1, bias=False)
        self.out = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, input: Any) -> Tensor:
        """(N, 2 channels, H, W) to the same."""
        of_input = self.input_to_state(input)
        state = cell = xp.zeros_like(of_input[:, : of_input.shape[1] // 4, 0])
        rows = []
        for i in range(input.shape[2]):
            gates = of_input[:, :, i] + self.state_to_state(state)
            into, forget, new, out = gates.chunk(4, 1)
            cell = sigmoid(forget) * cell + sigmoid(into) * tanh(new)
            state = sigmoid(out) * tanh(cell)
            rows.append(state)
        return input + self.out(xp.stack(rows, axis=2))


class PixelRNN(PixelLevels):
    """The distribution of each pixel's level, given pixels before it, by row LSTMs.

    Args:
        levels: values of a pixel, 2 for black and white.
        channels: of the LSTMs' states.
        layers: row LSTMs.

    Shapes: whole numbers (N, 1, H, W), below `levels`, to logits (N, levels, H, W).

    Raises: ArgumentError for fewer than 2 levels.
    """

    def __init__(self, levels: int = 2, channels: int = 32, layers: int = 2) -> None:
        super().__init__(
            MaskedConv2d("A", 1, 2 * channels, 7),
            nn.Sequential(*[RowLSTM(channels) for _ in range(layers)]),
            channels,
            levels,
        )
