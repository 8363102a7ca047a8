"""A recogniser of sequences in images, trained by CTC, and how its scores are read.

See: Graves, Fernandez, Gomez & Schmidhuber (2006), "Connectionist temporal classification"; Hannun, Maas,
Jurafsky & Ng (2014), "First-pass large vocabulary continuous speech recognition using bi-directional
recurrent DNNs" (the search over prefixes); Shi, Bai & Yao (2017) for the network.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.autograd.functions.creation import as_tensor
from xpnn.backend import ArgumentError
from xpnn.models.blocks import conv_norm


class StripRecogniser(nn.Module):
    """Convolutions over a strip, a bidirectional LSTM along it, and scores of each column's label.

    Args:
        height: of the strips, a multiple of 4.
        num_labels: labels, the blank, 0, among them.
        channels: of the first convolution; the second has twice as many.
        hidden: features of each direction of the LSTM.

    Shapes: (N, 1, height, W) to log probabilities (W / 4, N, num_labels), as `ctc_loss` takes them.

    Raises: ArgumentError for another height.
    """

    def __init__(self, height: int, num_labels: int, channels: int = 16, hidden: int = 64) -> None:
        if height % 4:
            raise ArgumentError(f"expects height as a multiple of 4, got {height}", subject="StripRecogniser")
        self.layers = nn.Sequential(
            *(conv_norm(1, channels), nn.MaxPool2d(2)),
            *(conv_norm(channels, 2 * channels), nn.MaxPool2d(2)),
        )
        self.lstm = nn.LSTM(2 * channels * height // 4, hidden, bidirectional=True)
        self.head = nn.Linear(2 * hidden, num_labels)

    def forward(self, input: Any) -> Tensor:
        """Strips to the log probabilities of their columns."""
        maps = self.layers(input)
        x, _ = self.lstm(maps.permute(3, 0, 1, 2).flatten(2))
        return F.log_softmax(self.head(x), -1)


def ctc_greedy_decode(log_probs: Any, blank: int = 0) -> list[list[int]]:
    """The best label of each step, repetitions as one, blanks left out.

    Args:
        log_probs: (T, N, C).

    Returns: the labels of each sequence.

    >>> from xpnn.autograd import xp
    >>> ctc_greedy_decode(xp.asarray([[[0.0, 9.0]], [[0.0, 9.0]], [[9.0, 0.0]], [[0.0, 9.0]]]))
    [[1, 1]]
    """
    return [
        [label for i, label in enumerate(best) if label != blank and (i == 0 or label != best[i - 1])]
        for best in as_tensor(log_probs).argmax(-1).T.tolist()
    ]


def ctc_beam_decode(log_probs: Any, beams: int = 10, blank: int = 0) -> list[tuple[list[int], float]]:
    """The likeliest labels by a search over prefixes, which adds up all alignments of each.

    Args:
        log_probs: (T, N, C).
        beams: how many prefixes are kept at each step.

    Returns: the labels of each sequence, and their log probability, as far as the kept prefixes have it.

    Raises: ArgumentError unless there is a beam.
    """
    if beams < 1:
        raise ArgumentError(f"expects at least one beam, got {beams}", subject="ctc_beam_decode")
    return [_search(steps, beams, blank) for steps in as_tensor(log_probs).transpose(0, 1).tolist()]


def _search(steps: list[list[float]], beams: int, blank: int) -> tuple[list[int], float]:
    # of each prefix the log probability of the alignments that end in a blank, and of those that don't
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for scores in steps:
        found: defaultdict[tuple[int, ...], list[list[float]]] = defaultdict(lambda: [[], []])
        for prefix, (in_blank, in_label) in prefixes.items():
            either = _sum([in_blank, in_label])
            found[prefix][0].append(either + scores[blank])
            for label, score in enumerate(scores):
                if label == blank:
                    continue
                if prefix and label == prefix[-1]:
                    found[prefix][1].append(in_label + score)  # the same one goes on
                    found[*prefix, label][1].append(in_blank + score)
                else:
                    found[*prefix, label][1].append(either + score)
        sums = {prefix: (_sum(ends[0]), _sum(ends[1])) for prefix, ends in found.items()}
        prefixes = dict(sorted(sums.items(), key=lambda item: _sum(item[1]), reverse=True)[:beams])
    best = max(prefixes, key=lambda prefix: _sum(prefixes[prefix]))
    return list(best), _sum(prefixes[best])


def _sum(logs: Any) -> float:
    """The logarithm of a sum, of the logarithms of what is added."""
    largest = max(logs, default=-math.inf)
    if largest == -math.inf:
        return largest
    return largest + math.log(sum(math.exp(log - largest) for log in logs))
