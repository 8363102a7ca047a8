"""What notebooks show: HTML that is closed and escaped, with what it is about."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import xpnn
from xpnn import nn
from xpnn.train import History


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], "", []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(thing):
    checker = Checker()
    checker.feed(thing._repr_html_())
    checker.close()
    assert not checker.open
    return checker


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (50, 50)])
def test_tensor(backend, shape):
    tensor = xpnn.ones(shape)
    text = read(tensor).text
    assert repr(tensor) in text
    assert f"shape {shape}" in text
    assert "float32" in text
    assert backend.backend in text


def test_module():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))

        def extra_repr(self):
            return "<script>"

    found = read(Odd())
    assert found.tags.count("details") == 2
    assert "Linear(in_features=2, out_features=3, bias=True) 9 parameters" in found.text
    assert "script" not in found.tags
    assert "ReLU() 0 parameters" in read(nn.ReLU()).text


def test_history():
    history = History([{"epoch": 1, "<loss>": 0.123456}, {"epoch": 2, "val": 3.0}])
    found = read(history)
    assert found.tags.count("tr") == 3
    assert found.tags.count("td") == 6
    assert "<loss>" in found.text
    assert "0.1235" in found.text
    assert read(History()).text == "History()"
