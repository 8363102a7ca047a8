"""Reading reviews: one verdict for a sentence (many to one), and a label for each word (many to many).

Sentences are generated: things, good and bad words, negations, and two clauses joined by "but", where the
second counts, or by "although", where the main one does. A bag of words cannot know what "not" belongs to;
recurrent networks read in order. Each thing is also to be labelled by what is said of it, which comes later:
for that a network must read in both directions. All is measured on new sentences.

    python sentiment.py
"""

from __future__ import annotations

import random

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.data import PadCollate, Vocabulary, words
from xpnn.models import SequenceClassifier, Tagger

THINGS = ["food", "room", "view", "service", "music", "soup", "bed", "staff", "wine", "bath"]
GOOD = ["good", "lovely", "great", "perfect", "friendly", "fine", "clean"]
BAD = ["bad", "awful", "poor", "dirty", "rude", "cold", "dull"]
WAYS = [("was", False), ("was very", False), ("was not", True), ("was never", True), ("was far from", True)]
MAIN = "the {} {}"
FORMS = [MAIN, f"{MAIN} but {MAIN}", f"{MAIN} although {MAIN}", f"although {MAIN} {MAIN}"]


def clause(rng: random.Random) -> tuple[str, str, bool]:
    """A thing, what is said of it, and whether that is praise."""
    praise, (way, turns) = rng.random() < 0.5, rng.choice(WAYS)
    return rng.choice(THINGS), f"{way} {rng.choice(GOOD if praise != turns else BAD)}", praise


def review(rng: random.Random) -> tuple[list[str], list[int], int]:
    """The words; a label for each, 1 for a thing that is praised, 2 for one that is not; and the verdict."""
    (thing, said, praise), (thing2, said2, praise2) = clause(rng), clause(rng)
    form = rng.randrange(len(FORMS))
    text = words(FORMS[form].format(thing, said, thing2, said2))
    marks = iter((2 - praise, 2 - praise2))
    return text, [next(marks) if word in THINGS else 0 for word in text], int((praise, praise2)[form % 2])


def bag_of_words(size: int, features: int) -> nn.Module:
    """The verdict from the mean of the words' vectors, whatever their order."""
    vectors = nn.EmbeddingBag(size, features, padding_idx=0)
    return nn.Sequential(vectors, nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 2))


def train(model, tokens, targets, held_out, steps: int) -> tuple[range, list[float]]:
    """The part of held-out targets that are right after each tenth step; a target of -1 does not count."""
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    right = []
    for step in range(1, steps + 1):
        chosen = xpnn.randint(0, len(tokens), (64,))
        optimizer.zero_grad()
        scores, answers = model(tokens[chosen]), targets[chosen]
        F.cross_entropy(scores.flatten(0, -2), answers.flatten(), ignore_index=-1).backward()
        optimizer.step()
        if step % 10 == 0:
            with xpnn.no_grad():
                said = model(held_out[0]).argmax(-1) == held_out[1]
            # of labels, those of things count
            right.append((said[held_out[1] > 0] if said.ndim == 2 else said).float().mean().item())
    return range(10, steps + 1, 10), right


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    rng = random.Random(0)
    reviews = [review(rng) for _ in range(2300)]
    vocabulary = Vocabulary(word for text, _, _ in reviews for word in text)
    tokens = PadCollate()([xpnn.tensor(vocabulary.encode(text)) for text, _, _ in reviews])
    labels = PadCollate(padding_value=-1)([xpnn.tensor(labels) for _, labels, _ in reviews])
    verdicts = xpnn.tensor([verdict for _, _, verdict in reviews])
    size, steps = len(vocabulary), 100 if options.fast else 400
    models = {
        "bag of words": bag_of_words(size, 32),
        "Elman": SequenceClassifier(size, 2, 32, "elman"),
        "LSTM": SequenceClassifier(size, 2, 32, "lstm"),
        "labels, one way": Tagger(size, 3, 32, "lstm"),
        "labels, both ways": Tagger(size, 3, 32, "lstm", bidirectional=True),
    }
    curves, found = {}, {}
    for name, model in models.items():
        targets = labels if name.startswith("labels") else verdicts
        curves[name] = train(model, tokens[:2000], targets[:2000], (tokens[2000:], targets[2000:]), steps)
        found[name] = curves[name][1][-1]
        print(f"{name}: {found[name]:.1%} right on new sentences")

    text = words("the food was not good but the view was far from bad")
    sentence, reading = xpnn.tensor([vocabulary.encode(text)]), {}
    for name in ("bag of words", "LSTM"):
        with xpnn.no_grad():
            scores = [models[name](sentence[:, :end]) for end in range(1, len(text) + 1)]
        reading[name] = (range(len(text)), [F.softmax(score, 1)[0, 1].item() for score in scores])
    figure = plot_lines(reading, "", "probability of a good verdict", "While it is read", ylim=(0, 1))
    figure.axes[0].set_xticks(range(len(text)), text, rotation=60, fontsize=8)
    pairs, axes = [*curves.items()], ("step", "part that is right")
    save(
        options.out / "sentiment.png",
        plot_lines(dict(pairs[:3]), *axes, "One verdict for a sentence", ylim=(0.4, 1.02)),
        plot_lines(dict(pairs[3:]), *axes, "A label for each thing", ylim=(0.4, 1.02)),
        figure,
    )
    return found


if __name__ == "__main__":
    main()
