"""Connectionist temporal classification: digits are read from noisy strips, and none was told where they are.

The network scores each column of a strip; CTC adds up the probabilities of all alignments that spell the
label, with blanks between. What comes out are spikes, one for each digit, with blanks in between.

    python ctc.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import nn, optim, viz
from xpnn.data import DataLoader
from xpnn.data.synthetic import digit_strips
from xpnn.models import StripRecogniser, ctc_beam_decode, ctc_greedy_decode

SIZE, DIGITS, NOISE = 16, (3, 5), 0.3


def edits(said: list[int], true: list[int]) -> int:
    """The fewest insertions, deletions and replacements that make one of the other (Levenshtein)."""
    row = list(range(len(true) + 1))
    for i, a in enumerate(said, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(true, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def error_rates(said: list[list[int]], labels, lengths) -> tuple[float, float]:
    """Edits for each digit, and the part of the strips with any fault."""
    true = [row[:count] for row, count in zip(labels.tolist(), lengths.tolist())]
    counts = [edits(*pair) for pair in zip(said, true)]
    return sum(counts) / sum(map(len, true)), sum(count > 0 for count in counts) / len(counts)


def text(labels: list[int]) -> str:
    """Labels are digits plus 1, as 0 is the blank."""
    return "".join(str(label - 1) for label in labels)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    strips = digit_strips(256 if options.fast else 3000, DIGITS, SIZE, NOISE, seed=1)
    images, labels, lengths = digit_strips(60 if options.fast else 500, DIGITS, SIZE, NOISE, seed=2).tensors
    model = StripRecogniser(SIZE, num_labels=11, channels=12, hidden=48)
    loader = DataLoader(strips, batch_size=32, shuffle=True)
    epochs = 2 if options.fast else 6
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader))
    losses, rates = [], []
    for epoch in range(1, epochs + 1):
        model.train()
        for batch, targets, counts in loader:
            optimizer.zero_grad()
            log_probs = model(batch)
            columns = xpnn.full((len(batch),), log_probs.shape[0], dtype=xpnn.int64)
            loss = F.ctc_loss(log_probs, targets, columns, counts)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with xpnn.no_grad():
            log_probs = model(images)
        rates.append(error_rates(ctc_greedy_decode(log_probs), labels, lengths))
        print(f"epoch {epoch}: loss {losses[-1]:.3f}, errors {rates[-1][0]:.2%} of held-out digits")

    beams = error_rates([said for said, _ in ctc_beam_decode(log_probs, beams=8)], labels, lengths)
    found = {"first loss": losses[0], "loss": losses[-1], "digit errors": rates[-1][0]}
    found |= {"strip errors": rates[-1][1], "digit errors with beams": beams[0]}
    for name in ("digit errors", "strip errors", "digit errors with beams"):
        print(f"{name}: {found[name]:.2%}")
    said = ctc_greedy_decode(log_probs[:, :8])
    titles = [
        f"{text(row[:n])}, read {text(s)}" for row, n, s in zip(labels.tolist(), lengths.tolist(), said)
    ]
    probabilities = log_probs[:, 0].exp()
    column = [*range(len(probabilities))]
    spikes = {"blank": (column, probabilities[:, 0])}
    spikes |= {f"digit {label - 1}": (column, probabilities[:, label]) for label in dict.fromkeys(said[0])}
    axes = {"xlabel": "column of the network", "ylabel": "probability"}
    save(
        options.out / "ctc.png",
        viz.plot_images(images[:8], titles=titles, columns=2, title="Held-out strips"),
        plot_lines(spikes, title=f"The first strip: {text(said[0])}", **axes),
        plot_lines({"training": ([*range(len(losses))], losses)}, "step", "CTC loss", log="y"),
        colours=64,
    )
    return found


if __name__ == "__main__":
    main()
