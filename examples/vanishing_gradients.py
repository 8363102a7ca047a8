"""Vanishing gradients: what is left of an error at the steps before, in Elman's network and in an LSTM.

In Elman's network it is multiplied at each step by the same matrix and the slopes of tanh, and shrinks or
grows exponentially. An LSTM's cell passes it on by the forget gate, which may stay near 1. So only the LSTM
learns to say at the end what it read long before. And where back-propagation through time is truncated, as in
the echo of a stream that is learned in pieces, nothing is learned of what lies further back.

    python vanishing_gradients.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.autograd import grad

KINDS, UNITS, BATCH = 4, 32, 64
STEPS, LAG = 60, 6  # from what is to be said to when, in both tasks


class Reader(nn.Module):
    """A recurrent layer over one-hot tokens, and the scores of what is to be said."""

    def __init__(self, kind: str) -> None:
        self.layer = {"Elman": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}[kind](
            2 * KINDS, UNITS, batch_first=True
        )
        self.head = nn.Linear(UNITS, KINDS)
        if kind == "LSTM":
            # the forget gates begin open; theirs is the second of four parts
            self.layer.bias_hh_l0.data[UNITS : 2 * UNITS] = 3.0

    def forward(self, tokens, state=None):
        states, last = self.layer(F.one_hot(tokens, 2 * KINDS).float(), state)
        return self.head(states), last


def norms_back(kind: str) -> list[float]:
    """The norm of the gradient of the end's loss by what is read at each step, from the last one back."""
    model = Reader(kind)
    x = xpnn.randn(BATCH, STEPS, 2 * KINDS, requires_grad=True)
    states, _ = model.layer(x)
    loss = F.cross_entropy(model.head(states[:, -1]), xpnn.randint(0, KINDS, (BATCH,)))
    (gradient,) = grad(loss, x)
    norms = gradient.square().sum((0, 2)).sqrt()
    return (norms / norms[-1]).flip(0).tolist()


def trained(model, batches, optimizer) -> list[float]:
    """The part that is said right in each batch of (tokens, targets); a state goes on if there is a third."""
    right, state = [], None
    for tokens, targets, goes_on in batches:
        optimizer.zero_grad()
        scores, last = model(tokens, state)
        scores = scores[:, -targets.shape[1] :]
        F.cross_entropy(scores.transpose(1, 2), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        # the state goes on, the gradient ends here: back-propagation through time is truncated
        state = tuple(part.detach() for part in last) if goes_on else None
        right.append((scores.argmax(2) == targets).float().mean().item())
    return right


def recall(count: int):
    """The first token is to be said after many others, which are of other kinds."""
    for _ in range(count):
        tokens = xpnn.randint(KINDS, 2 * KINDS, (BATCH, STEPS))
        tokens[:, 0] = xpnn.randint(0, KINDS, (BATCH,))
        yield tokens, tokens[:, :1], False


def echo(count: int, piece: int):
    """A stream in pieces; at each step the token of LAG steps before is to be said."""
    stream = xpnn.randint(0, KINDS, (BATCH, count * piece + LAG))
    for start in range(LAG, count * piece + LAG, piece):
        yield stream[:, start : start + piece], stream[:, start - LAG : start - LAG + piece], True


def smooth(values: list[float], window: int = 20) -> list[float]:
    return [sum(values[end - window : end]) / window for end in range(window, len(values) + 1)]


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    found, norms, recalled, echoed = {}, {}, {}, {}
    for kind in ("Elman", "GRU", "LSTM"):
        norms[kind] = (range(STEPS), norms_back(kind))
        found[f"{kind}, norm"] = left = norms[kind][1][-1]
        print(f"{kind}: of the gradient's norm {left:.1e} is left {STEPS - 1} steps before the end")
    for kind in ("Elman", "LSTM"):
        model = Reader(kind)
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        right = smooth(trained(model, recall(30 if options.fast else 500), optimizer))
        recalled[kind] = (range(len(right)), right)
        found[f"{kind}, recall"] = right[-1]
        print(f"{kind}: says {right[-1]:.1%} of the tokens {STEPS - 1} steps before")
    for piece in (3, 6, 12):
        model = Reader("LSTM")
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        right = smooth(trained(model, echo((240 if options.fast else 4800) // piece, piece), optimizer))
        echoed[f"pieces of {piece}"] = ([piece * i for i in range(len(right))], right)
        found[f"echo, {piece}"] = right[-1]
        print(f"echo, learned in pieces of {piece} steps: {right[-1]:.1%} right")
    share = "part that is right"
    save(
        options.out / "vanishing_gradients.png",
        plot_lines(norms, "steps before the end", "norm / norm at the end", "Gradient at the start", log="y"),
        plot_lines(recalled, "step", share, f"Recall over {STEPS} steps", ylim=(0, 1.02)),
        plot_lines(echoed, "time step", share, f"Echo of {LAG} steps before", ylim=(0, 1.02)),
    )
    return found


if __name__ == "__main__":
    main()
