"""The page of a run: what it says, that names cannot break out of it, and that a browser shows it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Browser

from xpnn.cli import main

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

EVIL = '<img src=x onerror="alert(1)">&$\\'  # a class, and in the names of its files
SECTIONS = [
    *("Summary", "Training", "Confusion matrix", "Classes", "Most confident mistakes"),
    *("Use it", "Settings", "Versions"),
]


class Page(HTMLParser):
    """The elements of a page, with their texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.tags[-1][0], data))

    def of(self, tag: str) -> list[str]:
        return [text for owner, text in self.texts if owner == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on images of two classes that nobody can tell apart, with names that are an attack."""
    root = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    for name in ("cat", EVIL):
        (root / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{number} <b>{name[:4]}.png")
    command = ["train", str(root / "images"), "--model", "lenet", "--channels", "1", "--size", "8"]
    assert main([*command, "--epochs", "2", "--out", str(root / "run")]) == 0
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "run" / "report.html")


def test_the_page_has_all_parts(page: Page) -> None:
    assert page.of("h1") == ["lenet on images"]
    assert page.of("h2") == SECTIONS
    facts = dict(zip(page.of("dt"), page.of("dd")))
    assert facts["Test accuracy"].endswith("of 8)")
    assert facts["Images"] == "32 training and 8 test images, 2 classes"
    assert {"Network", "Time", "Finished", "Computed by", "NumPy", "Python", "label_smoothing"} <= set(facts)
    assert facts["model"] == "lenet"
    assert any(text.startswith("xpnn eval ") for text in page.of("code"))
    alts = [values["alt"] for tag, values in page.tags if tag == "img"]
    for begin in ("loss against", "accuracy against", "lr against", "confusion matrix"):
        assert any(str(alt).startswith(begin) for alt in alts)


def test_the_table_is_that_of_the_predictions(
    folder: Path, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(folder / "run" / "model.safetensors"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    matrix = np.array(found["confusion"])
    cells = page.of("td")
    for label in range(2):
        count, precision, recall, f1, taken = cells[5 * label : 5 * label + 5]
        right, true, said = matrix[label, label], matrix[label].sum(), matrix[:, label].sum()
        assert count == str(true)
        assert precision == (f"{100 * right / said:.1f} %" if said else "-")
        assert recall == f"{100 * right / true:.1f} %"
        assert f1 == f"{200 * right / (true + said):.1f} %"
        assert taken == (f"{found['classes'][1 - label]} ({true - right})" if true - right else "-")
    mistakes = int(matrix.sum() - np.trace(matrix))
    files = [text for text in page.of("span") if ".png" in text]
    assert len(files) == mistakes > 0
    assert all((folder / "images" / file).is_file() for file in files)


def test_mistakes_come_with_the_surest_first(page: Page) -> None:
    said = [float(text.strip(" %")) for tag, text in page.texts if tag == "b" and text.endswith(" %")]
    assert all(0 <= value <= 100 for value in said)
    shares = said[::2] if len(said) > 1 else said
    assert shares == sorted(shares, reverse=True)


def test_names_cannot_break_out_and_nothing_is_fetched(folder: Path, page: Page) -> None:
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object", "base", "form"} == set()
    assert not [name for _, values in page.tags for name in values if name.startswith("on")]
    links = [values.get(name) for _, values in page.tags for name in ("src", "href") if name in values]
    assert links
    assert all(str(link).startswith("data:") for link in links)
    assert "cat" in page.of("th")
    assert any("<img src=x onerror=" in text for text in page.of("th")), "as a text"
    assert "http" not in (folder / "run" / "report.html").read_text().replace("http-equiv", "")


def test_pictures_are_whole(page: Page) -> None:
    kinds = []
    for tag, values in page.tags:
        if tag != "img":
            continue
        kind, _, content = str(values["src"]).partition(";base64,")
        kinds.append(kind)
        data = base64.b64decode(content, validate=True)
        if kind == "data:image/png":
            assert Image.open(io.BytesIO(data)).size == (8, 8)
        else:
            assert ElementTree.fromstring(data).tag.endswith("svg")
    assert set(kinds) == {"data:image/png", "data:image/svg+xml"}


def test_the_command_writes_it_anew(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder / "run"), "--out", str(tmp_path / "page.html")]) == 0
    assert str(tmp_path / "page.html") in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text() == (folder / "run" / "report.html").read_text()
    assert main(["report", str(tmp_path)]) == 2
    assert "there is no finished run" in capsys.readouterr().err
    shutil.copy(folder / "run" / "model.safetensors", tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    assert "No epoch was measured" in (tmp_path / "report.html").read_text()
    for forged in ('{"epoch": "<b>"}', "nonsense", '{"epoch": 1, "loss": "x"}'):
        (tmp_path / "history.jsonl").write_text(forged)
        assert main(["report", str(tmp_path)]) == 2
        assert "is no history of a run" in capsys.readouterr().err


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_it(folder: Path, tmp_path: Path, width: int, dark: bool) -> None:
    """Without a network and an error; no wider than the screen; with contrast; all pictures there."""
    with Browser(tmp_path / "profile") as browser:
        browser.open((folder / "run" / "report.html").as_uri(), width, dark)
        pictures = browser.run("[...document.images].map(x => [x.complete, x.naturalWidth, x.clientWidth])")
        assert len(pictures) > 4
        assert all(complete and natural and shown for complete, natural, shown in pictures)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("getComputedStyle(document.body).fontSize") == "16px"
        inks = browser.run(_INKS)
        assert len(inks) > 50
        faint = [
            (text, round(contrast(ink, ground), 2))
            for text, ink, ground in inks
            if contrast(ink, ground) < 4.5
        ]
        assert not faint
        grounds = {ground for _, _, ground in inks}
        assert all((luminance(ground) < 0.2) is dark for ground in grounds)
        with Image.open(browser.screenshot(tmp_path / "page.png")) as screenshot:
            assert screenshot.size[0] == width
        said = [event for event in browser.events if event.get("method") in _ERRORS]
        assert not said
        asked = [
            e["params"]["request"]["url"]
            for e in browser.events
            if e.get("method") == "Network.requestWillBeSent"
        ]
        assert all(url.startswith(("file:", "data:")) for url in asked)


_ERRORS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")

# Each text with its colour, and that of the first ground below it.
_INKS = """
(() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim()) continue;
    let ground = node.parentElement;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    const ink = getComputedStyle(node.parentElement).color;
    found.push([node.data, ink, getComputedStyle(ground).backgroundColor]);
  }
  return found;
})()
"""


def luminance(colour: str) -> float:
    """The relative luminance of `rgb(r, g, b)`, by WCAG."""
    parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Any, other: Any) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
