"""A character language model: a small GPT beside counts of n characters, and what it writes.

A grammar makes small stories whose names and things come back later. Counts of n characters see only the last
few; attention can look back and find them again. All are measured on the same stories that were held out.

    python char_gpt.py
"""

from __future__ import annotations

import math
import random
from collections import Counter
from statistics import fmean

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.data import Vocabulary
from xpnn.models import GPT

WORDS = {
    "name": ["Mira", "Tom", "Ada", "Ben", "Lena", "Otto", "Nils", "Vera", "Paul", "Rosa", "Emil", "Ines"],
    "animal": ["fox", "owl", "cat", "hen", "dog", "crow", "frog", "goat", "bear", "mouse"],
    "thing": ["lamp", "key", "boat", "drum", "kite", "ring", "book", "cup", "bell", "rope"],
    "kind": ["red", "blue", "green", "old", "small", "silver", "heavy", "broken"],
    "place": ["by the river", "in the garden", "under the bridge", "on the hill", "at the market"],
}
BEGIN = "{name} found a {kind} {thing} {place}. There sat a {animal}. "
MIDDLE = (
    '"Is it yours?" said {name} to the {animal}. "No," said the {animal}.',
    "The {animal} wanted the {thing}, but {name} kept it.",
    "{name} gave the {thing} to the {animal}.",
)
BLOCK, BATCH = 112, 12
WAYS = ((0, None, None), (1.5, None, None), (1, 3, None), (1, None, 0.9))  # temperature, top_k, top_p


def story(rng: random.Random) -> str:
    text = BEGIN + rng.choice(MIDDLE) + " The {thing} was {kind}.\n"
    return text.format(**{kind: rng.choice(words) for kind, words in WORDS.items()})


def ngram_losses(train: str, text: str, n: int) -> list[float]:
    """-log p of each character but the first, by counts of n; shorter ones help out (Witten & Bell, 1991)."""
    grams = [Counter(train[i : i + k] for i in range(len(train) - k + 1)) for k in range(n + 1)]
    kinds = [Counter(gram[:-1] for gram in grams[k + 1]) for k in range(n)]
    losses = []
    for i in range(1, len(text)):
        p = 1 / len(grams[1])
        for k in range(min(n, i + 1)):
            context = text[i - k : i]
            if seen := grams[k][context]:
                p = (grams[k + 1][context + text[i]] + kinds[k][context] * p) / (seen + kinds[k][context])
        losses.append(-math.log(p))
    return losses


def windows(tokens, starts):
    rows = starts[:, None] + xpnn.arange(BLOCK)
    return tokens[rows], tokens[rows + 1]


def gpt_losses(model, tokens) -> list[float]:
    """-log p of each character but the first; from the second window on, with half a window before it."""
    inputs, targets = windows(tokens, xpnn.arange(0, len(tokens) - BLOCK, BLOCK // 2))
    with xpnn.no_grad():
        losses = F.cross_entropy(model(inputs).transpose(1, 2), targets, reduction="none")
    return losses[0].tolist() + losses[1:, BLOCK // 2 :].flatten().tolist()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    rng = random.Random(0)
    train, held_out = ("".join(story(rng) for _ in range(count)) for count in (3000, 60))
    letters = Vocabulary(train, special=(), unknown=None)
    tokens, unseen = (xpnn.tensor(letters.encode(text)) for text in (train, held_out))

    steps = 40 if options.fast else 2400
    model = GPT(len(letters), BLOCK, n_layer=2, n_head=4, n_embd=64)
    optimizer = optim.AdamW(model.parameters(), lr=6e-3, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps, pct_start=0.1)
    curve = {}
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        model.loss(*windows(tokens, xpnn.randint(0, len(tokens) - BLOCK, (BATCH,)))).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % max(20, steps // 20) == 0:
            losses = {"GPT": gpt_losses(model, unseen)}
            curve[step] = fmean(losses["GPT"])
            print(f"step {step}: {curve[step]:.3f} nats for a held-out character")
    for n in (2, 4, 8, 12, 16, 20):
        losses[f"{n}-gram"] = ngram_losses(train, held_out, n)[: len(losses["GPT"])]
    found = {name: fmean(values) for name, values in losses.items()}
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()), "nats for a held-out character")

    for way in WAYS:
        written = model.generate(xpnn.tensor([[letters["\n"]]]), 60 if options.fast else 260, *way)
        print("\ntemperature {}, top_k {}, top_p {}:{}".format(*way, "".join(letters.decode(written))))

    best = min(found.keys() - {"GPT"}, key=found.__getitem__)
    curves = {"GPT": zip(*curve.items())}
    curves |= {name: ((1, steps), [found[name]] * 2) for name in ("2-gram", "4-gram", best)}
    start = held_out.index("\n", 5 * BLOCK)  # behind it a story begins
    spots = range(held_out.index("\n", start + 1) - start - 1)
    by_letter = {name: (spots, losses[name][start : start + len(spots)]) for name in ("GPT", best)}
    figure = plot_lines(by_letter, "", "nats", "The surprise at each letter of a held-out story")
    figure.set_size_inches(10.5, 4.2)
    figure.axes[0].set_xticks(spots, held_out[start + 1 :][: len(spots)], fontsize=7)
    whole = plot_lines(curves, "step", "nats for a character", "Held-out stories", log="y")
    save(options.out / "char_gpt.png", whole, figure)
    return found


if __name__ == "__main__":
    main()
