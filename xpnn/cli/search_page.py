"""The page of a search: `report.html`, one file with the table of its trials and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xpnn.backend import printable
from xpnn.cli.markup import commands_of, data_uri, pairs, scroll, section, table, text, write_document
from xpnn.search import Results

PAGE = "report.html"
# The files of `Results.save_plots`, and what each shows.
_PLOTS = {
    "history": "The values of the trials, and the best so far",
    "importance": "How much each option matters",
    "slice": "The value against each option",
    "parallel": "All options of a trial, as a line",
    "epochs": "What the trials reported after each epoch",
}


def write_search_page(
    path: Path, title: str, results: Results, plots: Sequence[Path], command: str, settings: dict[str, str]
) -> Path:
    """Write the page; returns its path.

    Args:
        title: what was searched over.
        plots: the files of pictures that there are.
        command: trains with the best options.
        settings: of the search.
    """
    states = ", ".join(f"{results.count(s)} {s}" for s in ("done", "pruned", "failed") if results.count(s))
    summary = {"trials": f"{len(results)} ({states})"}
    if (best := results.best) is not None:
        summary |= {f"best {results.metric}": f"{best.value:.5g} (trial {best.number})"}
        summary |= {name: f"{v:.4g}" if isinstance(v, float) else str(v) for name, v in best.params.items()}
    heading, *rows = results.rows()
    kept = [i for i in range(len(heading)) if any(row[i] for row in rows)]
    trials = table([heading[i] for i in kept], [[printable(row[i]) for i in kept] for row in rows])
    return write_document(
        path,
        title,
        [
            section("Summary", pairs({name: printable(value) for name, value in summary.items()})),
            section("Use it", commands_of([(command, "Train with the best options on all training data:")])),
            *[
                section(_PLOTS[file.stem], _picture(file, _PLOTS[file.stem]))
                for file in plots
                if file.stem in _PLOTS
            ],
            section("Trials", scroll(trials)),
            section("Settings", pairs(settings)),
        ],
    )


def _picture(file: Path, words: str) -> str:
    address = data_uri("png", file.read_bytes())
    return f'<img class="plot" style="max-width:100%" alt="{text(words)}" src="{address}">'
