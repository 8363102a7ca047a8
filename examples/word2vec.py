"""Word vectors: from which words stand near which, a network finds what words are alike.

The text is xpnn's own documentation. A word's vector is trained to tell the words near it from words drawn by
lot (skip-grams with negative sampling). Nobody says what a word means: rows come to lie beside columns,
and float16 beside bfloat16, because they are used alike.

    python word2vec.py
"""

from __future__ import annotations

import ast
from pathlib import Path

from common import parse, save

import xpnn
from xpnn import functional as F
from xpnn import linalg, optim
from xpnn.data import DataLoader, TensorDataset, Vocabulary, skip_grams, words
from xpnn.models import SkipGram
from xpnn.viz import style

GROUPS = {
    "types": ["float16", "bfloat16", "float32", "float64", "int32", "int64"],
    "images": ["height", "width", "rows", "columns", "pixels", "channels"],
    "layers": ["convolution", "pooling", "attention", "dropout", "recurrent"],
    "order": ["first", "last", "second", "third", "before", "after"],
    "statistics": ["mean", "variance", "sum", "std", "median"],
    "files": ["file", "folder", "path", "files"],
    "errors": ["argumenterror", "shapeerror", "dtypeerror", "raises"],
}


def documentation(packages: list[str]) -> list[str]:
    """The words of the docstrings, without the lines of code in them."""
    found = []
    for package in packages:
        for path in sorted((Path(xpnn.__file__).parent / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    lines = (ast.get_docstring(node) or "").splitlines()
                    found += words("\n".join(line for line in lines if not line.lstrip().startswith(">>>")))
    return found


def frequent_left_out(numbers, counts, threshold: float = 1e-3):
    """The text without most occurrences of its most frequent words, which say little of their neighbours."""
    share = xpnn.tensor(counts) / sum(counts)
    kept = (threshold / share.clamp(min=threshold)).sqrt()
    return numbers[xpnn.rand(len(numbers)) < kept[numbers]]


def map_of(vectors):
    """The two coordinates (N, 2) in which vectors differ most (principal components)."""
    centred = vectors - vectors.mean(0)
    return centred @ linalg.svd(centred, full_matrices=False)[2][:2].T


@style.styled
def plot_map(points, names: list[str], groups: dict[str, list[str]]):
    """The words at their points, a colour for each group."""
    figure = style.new_figure(8.5, 6)
    axes = figure.subplots()
    for number, (name, group) in enumerate(groups.items()):
        chosen, colour = style.numbers(points)[[names.index(word) for word in group]], style.colour(number)
        axes.scatter(*chosen.T, s=14, color=colour, label=name)
        for word, point in zip(group, chosen):
            axes.annotate(word, point, (3, 3), textcoords="offset points", color=colour, fontsize=9)
    axes.set(xticks=[], yticks=[])
    figure.legend(loc="outside lower center", ncols=len(groups))
    return style.finished(figure, None, "Words of the documentation, by their neighbours")


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    text = documentation(["nn"] if options.fast else [""])
    vocabulary = Vocabulary((word for word in text if word.isalnum()), min_count=10)
    print(f"{len(text)} words, of which {len(vocabulary)} different ones are learned")
    counts = [0, 0, *vocabulary.counts[2:]]

    epochs = 2 if options.fast else 12
    model = SkipGram(counts, features=48)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for epoch in range(1, epochs + 1):
        numbers = frequent_left_out(xpnn.tensor(vocabulary.encode(text)), vocabulary.counts)
        pairs = TensorDataset(*skip_grams(numbers, window=3, left_out=[0, 1]))
        for centres, contexts in DataLoader(pairs, batch_size=2048, shuffle=True):
            optimizer.zero_grad()
            loss = model.loss(centres, contexts)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: {len(pairs)} pairs, loss {loss.item():.3f}")

    for word in ("rows", "float16", "mean", "height", "convolution"):
        numbers, cosines = model.nearest(vocabulary[word], 5)
        near = zip(vocabulary.decode(numbers), cosines.tolist())
        print(f"{word}:", ", ".join(f"{name} {cosine:.2f}" for name, cosine in near))
    groups = {name: [word for word in group if word in vocabulary] for name, group in GROUPS.items()}
    names = [word for group in groups.values() for word in group]
    group_of = xpnn.tensor([number for number, group in enumerate(groups.values()) for _ in group])
    with xpnn.no_grad():
        vectors = F.normalize(model.centres.weight[xpnn.tensor(vocabulary.encode(names))], dim=1)
    nearest = (vectors @ vectors.T - 2 * xpnn.eye(len(names))).argmax(1)
    found = {"first loss": losses[0], "loss": sum(losses[-50:]) / 50}
    found["nearest of the same group"] = (group_of[nearest] == group_of).float().mean().item()
    print(f"of the {len(names)} words in the map, the nearest one is of the same group for", end=" ")
    print(f"{found['nearest of the same group']:.0%}; any two one-hot vectors are equally far")
    save(options.out / "word2vec.png", plot_map(map_of(vectors), names, groups), colours=64)
    return found


if __name__ == "__main__":
    main()
