"""Pages of HTML: their elements from plain texts, and the whole as one file without scripts.

Everything that comes from outside, such as names of classes and files, is escaped; the page's own policy lets
nothing be fetched or run.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xpnn.backend import printable
from xpnn.io import atomic_write
from xpnn.viz.style import svg_of

_POINTS = 72  # of an inch: CSS pixels of a figure's inch at its own size
_NARROW = 340  # pixels below which a plot is not made smaller


def write_document(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write a page of a heading and parts; returns its path."""
    body = "\n".join([f"<h1>{text(title)}</h1>", *parts])
    page = _PAGE.format(title=text(title), style=_STYLE, body=body)
    with atomic_write(path) as file:
        file.write(page.encode())
    return path


def section(title: str, body: str) -> str:
    """A part of a page with its heading; `body` is HTML."""
    return f"<section><h2>{text(title)}</h2>{body}</section>"


def pairs(values: Mapping[str, str]) -> str:
    """Names and their values."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a heading; the first cell of each row is its name."""
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in titles)
    lines = []
    for name, *cells in rows:
        line = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{text(name)}</th>{line}</tr>')
    body = "".join(lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def scroll(content: str) -> str:
    """What may be wider than the screen moves by itself, not the page; by the keyboard too."""
    return f'<div class="scroll" tabindex="0">{content}</div>'


def commands_of(commands: Iterable[tuple[str, str]]) -> str:
    """Commands, and what each is for."""
    lines = [
        f"<p>{text(purpose)}</p><pre><code>{text(printable(command))}</code></pre>"
        for command, purpose in commands
    ]
    return f"<p>In the folder {text(printable(str(Path.cwd())))}:</p>{''.join(lines)}"


def figure_of(figure: Any, alt: str) -> str:
    """A figure of matplotlib as a picture of lines, and the words that stand for it."""
    width = round(_POINTS * figure.get_size_inches()[0])
    size = f"width:min(100%, {round(1.35 * width)}px); min-width:{min(width, _NARROW)}px"
    return f'<img class="plot" style="{size}" alt="{text(alt)}" src="{data_uri("svg+xml", svg_of(figure))}">'


def data_uri(kind: str, content: bytes) -> str:
    """The content of an image of a kind such as "png", as an address."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def text(value: str) -> str:
    """A text as HTML, in which nothing is markup."""
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
