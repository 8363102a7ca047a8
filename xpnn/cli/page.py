"""The page of a run: `report.html`, one file without scripts that opens anywhere, also without a network.

Everything that comes from outside, such as names of classes and files, is escaped; the page's own policy lets
nothing be fetched or run.
"""

from __future__ import annotations

import base64
import html
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import get_backend, printable, to_numpy
from xpnn.cli.dataset import Data
from xpnn.cli.images import Images, file_of
from xpnn.cli.report import AnyEvaluation, Evaluation, NumberEvaluation
from xpnn.cli.run import Run, machine
from xpnn.cli.tables import Table
from xpnn.cli.trained import Description
from xpnn.data.dataset import gather
from xpnn.io import atomic_write
from xpnn.version import __version__
from xpnn.viz import plot_confusion_matrix, plot_curves, plot_predictions
from xpnn.viz.images import png_of
from xpnn.viz.style import svg_of

PAGE = "report.html"
_MISTAKES = 24
_POINTS = 72  # of an inch: CSS pixels of a figure's inch at its own size
_PANELS = ("loss", "accuracy", "lr")
_NARROW = 340  # pixels below which a plot is not made smaller
_TINY = 64  # smaller images are enlarged without smoothing


@dataclass(frozen=True)
class Report:
    """What a page tells of a run.

    Attributes:
        description: settings, preprocessing and classes. data: what it was trained and tested on.
        evaluation: on the test set. history: the measures of the epochs.
        record: what `record_of` made; None where it is not known.
        commands: that use the network, and what each is for.
    """

    description: Description
    data: Data
    evaluation: AnyEvaluation
    history: Mapping[str, Sequence[Any]]
    record: Any = None
    commands: Sequence[tuple[str, str]] = ()


def write_page(path: Path, report: Report) -> Path:
    """Write the page; returns its path. Raises: MissingDependencyError without matplotlib or Pillow."""
    settings = report.description.settings
    title = f"{settings.model} on {Path(settings.data).name}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        _section("Summary", _summary(report)),
        _section("Training", _curves(report.history)),
        *_results(report),
        _section("Use it", _commands(report.commands)),
        _section("Settings", _pairs(_settings(report))),
        _section("Versions", _pairs(_facts(report.record, "versions"))),
    ]
    page = _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(parts))
    with atomic_write(path) as file:
        file.write(page.encode())
    return path


def _results(report: Report) -> list[str]:
    """The sections on the test set."""
    evaluation, data = report.evaluation, report.data
    if isinstance(evaluation, NumberEvaluation):
        figure = plot_predictions(evaluation.true, evaluation.predicted, name=evaluation.name)
        return [_section("Predictions", _scroll(_figure(figure, "predicted numbers against the true ones")))]
    sections = [
        _section("Confusion matrix", _confusion(evaluation)),
        _section("Classes", _scroll(_classes(evaluation, data.unit))),
    ]
    if isinstance(data, Images):
        mistakes = _mistakes(evaluation, data.test, Path(report.description.settings.data))
        sections.append(_section("Most confident mistakes", mistakes))
    return sections


def record_of(run: Run, seconds: float) -> dict[str, dict[str, str]]:
    """What is known only at the end of a training that took so long; JSON-ready, for the run's checkpoint."""
    parameters = sum(parameter.size for parameter in run.model.parameters())
    backend = get_backend().name
    library = getattr(sys.modules.get(backend), "__version__", "")
    return {
        "summary": {
            "Network": f"{run.description.settings.model}, {parameters:,} parameters",
            "Time": f"{_duration(seconds)} since it was begun or resumed, "
            f"{run.trainer.throughput:,.0f} {run.data.unit} a second",
            "Finished": time.strftime("%Y-%m-%d %H:%M"),
            "Computed by": machine(),
        },
        "versions": {
            "xpnn": __version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            **({backend: library} if backend != "numpy" else {}),
            "System": platform.platform(),
        },
    }


def _facts(record: Any, part: str) -> dict[str, str]:
    """A part of what `record_of` made; of a record that is something else, nothing."""
    found = record.get(part) if isinstance(record, dict) else None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _summary(report: Report) -> str:
    evaluation, data = report.evaluation, report.data
    losses = [(x, i) for i, x in enumerate(report.history.get("val_loss", ()), 1) if x is not None]
    facts = {
        **_score(evaluation),
        **({"Lowest test loss": "{:.4g} in epoch {}".format(*min(losses))} if losses else {}),
        "Epochs": f"{max(report.history.get('epoch', [0]), default=0)}",
        data.unit.capitalize(): f"{len(data.train):,} training and {len(data.test):,} test {data.unit}"
        + (f", {len(data.classes)} classes" if data.classes else ""),
        **_facts(report.record, "summary"),
    }
    if data.untested:
        facts["Not tested"] = ", ".join(map(printable, data.untested))
    return _pairs(facts)


def _score(evaluation: AnyEvaluation) -> dict[str, str]:
    if isinstance(evaluation, NumberEvaluation):
        return {"Test error": evaluation.text().partition(": ")[2]}
    right = int(np.sum(evaluation.true == evaluation.predicted))
    return {"Test accuracy": f"{100 * evaluation.accuracy:.2f} % ({right:,} of {len(evaluation.true):,})"}


def _curves(history: Mapping[str, Sequence[Any]]) -> str:
    """A figure for each measure, so that they stand below each other on a small screen."""
    named = {name.replace("val_", "test_"): values for name, values in history.items()}
    figures = []
    for panel in _PANELS:
        if any(name == panel or name.endswith(f"_{panel}") for name in named):
            figure = plot_curves(named, metrics=[panel])
            figures.append(_figure(figure, f"{panel} against the epoch"))
    return f'<div class="figures">{"".join(figures)}</div>' if figures else "<p>No epoch was measured.</p>"


def _confusion(evaluation: Evaluation) -> str:
    figure = plot_confusion_matrix(evaluation.matrix, class_names=evaluation.classes)
    return _scroll(_figure(figure, "confusion matrix: true classes in rows, predicted ones in columns"))


def _classes(evaluation: Evaluation, unit: str) -> str:
    matrix = evaluation.matrix
    rows = []
    for label, name in enumerate(evaluation.classes):
        right, true, said = matrix[label, label], matrix[label].sum(), matrix[:, label].sum()
        wrong = matrix[label].copy()
        wrong[label] = 0
        other = int(wrong.argmax())
        taken = f"{evaluation.classes[other]} ({wrong[other]})" if wrong[other] else "-"
        shares = [_share(right, said), _share(right, true), _share(2 * right, true + said)]
        rows.append([name, f"{true:,}", *shares, taken])
    titles = ["class", f"test {unit}", "precision", "recall", "F1", "most often taken for"]
    return _table(titles, rows)


def _mistakes(evaluation: Evaluation, test: Any, root: Path) -> str:
    """The images, with the probabilities of the two classes and the file, from the folder of the data on."""
    wrong = np.flatnonzero(evaluation.true != evaluation.predicted)
    if not len(wrong):
        return "<p>None: all test images are right.</p>"
    sure = evaluation.probabilities[wrong, evaluation.predicted[wrong]]
    shown = wrong[np.argsort(-sure, kind="stable")][:_MISTAKES]
    images = to_numpy(gather(test, shown.tolist())[0])
    cards = []
    for image, index in zip(images, shown):
        true, said = evaluation.true[index], evaluation.predicted[index]
        chances = evaluation.probabilities[index]
        file = file_of(test, int(index))
        inside = file is not None and Path(file).is_relative_to(root)
        where = (
            f"test image {index}" if file is None else str(Path(file).relative_to(root) if inside else file)
        )
        words = [
            f"said <b>{_text(evaluation.classes[said])}</b> {100 * chances[said]:.1f} %",
            f"true <b>{_text(evaluation.classes[true])}</b> {100 * chances[true]:.1f} %",
            f'<span class="file">{_text(printable(where))}</span>',
        ]
        small = ' class="small"' if max(image.shape[-2:]) < _TINY else ""
        cards.append(
            f'<figure><img{small} alt="{_text(printable(where))}" src="{_data("png", png_of(image))}">'
            f"<figcaption>{'<br>'.join(words)}</figcaption></figure>"
        )
    lead = f"<p>{len(wrong):,} of {len(evaluation.true):,} test images are taken for another class"
    lead += f"; these {len(shown)} with most confidence.</p>" if len(shown) < len(wrong) else ".</p>"
    return f'{lead}<div class="mistakes">{"".join(cards)}</div>'


def _commands(commands: Iterable[tuple[str, str]]) -> str:
    lines = [
        f"<p>{_text(purpose)}</p><pre><code>{_text(printable(command))}</code></pre>"
        for command, purpose in commands
    ]
    return f"<p>In the folder {_text(printable(str(Path.cwd())))}:</p>{''.join(lines)}"


def _figure(figure: Any, alt: str) -> str:
    width = round(_POINTS * figure.get_size_inches()[0])
    size = f"width:min(100%, {round(1.35 * width)}px); min-width:{min(width, _NARROW)}px"
    return f'<img class="plot" style="{size}" alt="{_text(alt)}" src="{_data("svg+xml", svg_of(figure))}">'


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>"


def _pairs(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs.items())
    return f"<dl>{rows}</dl>"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(title)}</th>' for title in titles)
    lines = []
    for name, *cells in rows:
        line = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{_text(name)}</th>{line}</tr>')
    body = "".join(lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _scroll(content: str) -> str:
    """What may be wider than the screen moves by itself, not the page; by the keyboard too."""
    return f'<div class="scroll" tabindex="0">{content}</div>'


def _share(part: Any, whole: Any) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    parts = [f"{hours} h"] * (hours > 0) + [f"{rest // 60} min"] * (hours > 0 or rest >= 60)
    return " ".join(parts if hours else [*parts, f"{rest % 60} s"])


def _settings(report: Report) -> dict[str, str]:
    """The settings that this run has, and what the table's target is where that was found out."""
    settings, data = report.description.settings.shown(), report.data
    if isinstance(data, Table):
        task = "classification" if data.classes else "regression"
        settings |= {"target": data.target_name, "task": task}
        if not data.classes:
            del settings["label_smoothing"]
    return {name: _setting(value) for name, value in settings.items() if value is not None}


def _setting(value: Any) -> str:
    return printable(f"{value:g}" if isinstance(value, float) else str(value))


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _text(value: str) -> str:
    return html.escape(value, quote=True)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { --ink: #22262b; --soft: #566170; --accent: #1f5fa8; --ground: #f6f7f9; --card: #fff;
  --line: #d5d9de; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #a5afbb; --accent: #7db4ee; --ground: #14171b; --card: #1e2329;
    --line: #3a424c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.6rem; margin: 8px 0 16px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 12px; color: var(--accent); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px;
  margin: 0 0 16px; }
dl { display: grid; grid-template-columns: fit-content(45%) 1fr; gap: 4px 16px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); gap: 12px; }
.plot { display: block; height: auto; background: #fff; border-radius: 6px; padding: 4px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
@media (max-width: 500px) { table { font-size: .85rem; } main { padding: 8px; } section { padding: 12px; } }
th, td { padding: 4px 12px 4px 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:last-child, th:last-child { text-align: left; }
thead th { color: var(--soft); font-weight: 500; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 16px; }
figure { margin: 0; font-size: .85rem; overflow-wrap: anywhere; }
figure img { width: 112px; max-width: 100%; height: auto; border: 1px solid var(--line); }
img.small { image-rendering: pixelated; } .file { color: var(--soft); }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 10px;
  overflow-wrap: anywhere; white-space: pre-wrap; margin: 0 0 12px; } p { margin: 0 0 8px; }
"""
