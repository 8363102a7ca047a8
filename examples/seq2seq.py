"""Sequence to sequence: a recurrent network with attention reverses words that it has not seen.

The encoder reads the word in both directions, the decoder writes a letter at a time and looks back by
attention. Nobody tells it where to look: the map of its weights becomes the diagonal from the last letter to
the first.

    python seq2seq.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim, viz
from xpnn.data import DataLoader
from xpnn.data.synthetic import reverse_task
from xpnn.models import Seq2Seq

LENGTHS, SYMBOLS = (4, 10), 12


def share_right(model, pairs, beams: int = 1) -> float:
    """The part of the words that are reversed without a single fault."""
    with xpnn.no_grad():
        translation = model.translate(pairs.tensors[0], LENGTHS[1] + 1, beams)
    said = [pairs.decode(tokens) for tokens in translation.tokens]
    return sum(text == target for text, (_, target) in zip(said, pairs.texts)) / len(said)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    pairs = reverse_task(512 if options.fast else 6400, LENGTHS, SYMBOLS, seed=1)
    held_out = reverse_task(100 if options.fast else 500, LENGTHS, SYMBOLS, seed=2)
    known = {source for source, _ in pairs.texts}
    unseen = [number for number, (source, _) in enumerate(held_out.texts) if source not in known]
    held_out = type(held_out)([held_out.texts[number] for number in unseen], pairs.vocabulary[3:])

    model = Seq2Seq(len(pairs.vocabulary), features=64)
    epochs = 1 if options.fast else 5
    loader = DataLoader(pairs, batch_size=64, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * len(loader))
    losses, right = [], []
    for epoch in range(1, epochs + 1):
        for sources, targets in loader:
            optimizer.zero_grad()
            loss = model.loss(sources, targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        right.append(share_right(model, held_out))
        print(f"epoch {epoch}: loss {losses[-1]:.4f}, {right[-1]:.1%} of {len(unseen)} held-out words right")

    found = {"first loss": losses[0], "loss": losses[-1], "held-out words right": right[-1]}
    found["with 4 beams"] = share_right(model, held_out, beams=4)
    print(f"with a beam search of 4: {found['with 4 beams']:.1%}")
    longest = max(range(len(held_out)), key=lambda number: len(held_out.texts[number][0]))
    source = held_out.texts[longest][0]
    translation = model.translate(held_out.tensors[0][longest : longest + 1], LENGTHS[1] + 1)
    written = translation.tokens[0].tolist()
    steps = [*range(1, len(losses) + 1)]
    epoch_ends = [number * len(loader) for number in range(1, epochs + 1)]
    save(
        options.out / "seq2seq.png",
        viz.plot_attention(
            translation.attention[0][:, : len(source)],
            queries=[pairs.vocabulary[token] for token in written],
            keys=list(source),
            title="Where the decoder looks",
        ),
        plot_lines({"training loss": (steps, losses)}, "step", "cross entropy", "Training", log="y"),
        plot_lines({"held-out words": (epoch_ends, right)}, "step", "part that is right", ylim=(0, 1.02)),
    )
    return found


if __name__ == "__main__":
    main()
