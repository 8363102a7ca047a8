"""`weights=` of networks: safetensors, PyTorch's files, paths and URLs."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import models, nn
from xpnn.backend import ArgumentError, CheckpointError, XpnnError
from xpnn.hub import download_url_to_file, get_dir, load_state_dict_from_url

OPTIONS = {"num_classes": 3, "in_channels": 1, "image_size": 8, "hidden": [4]}


def are_equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(key == key2 and np.array_equal(a.numpy(), b.numpy()) for (key, a), (key2, b) in pairs)


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model"])
def test_a_file_of_our_own(wrapped: str | None, tmp_path: Path) -> None:
    net, path = models.mlp(**OPTIONS), tmp_path / "mlp.safetensors"
    state = net.state_dict()
    xpnn.save(state if wrapped is None else {wrapped: state, "epoch": 3}, path)
    assert are_equal(models.mlp(**OPTIONS, weights=path), net)
    assert are_equal(models.create("mlp", **OPTIONS, weights=str(path)), net)


def test_a_file_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net, path = models.resnet20(), tmp_path / "resnet20.pth"
    torch.save({key: torch.tensor(value.numpy()) for key, value in net.state_dict().items()}, path)
    assert are_equal(models.resnet20(weights=path), net)


def test_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is downloaded once, and the digits in its name are checked."""
    pytest.importorskip("pooch")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    net, path = models.mlp(**OPTIONS), tmp_path / "mlp.safetensors"
    xpnn.save(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for digits in (digest[:8], "0" * 8):
        (tmp_path / f"mlp-{digits}.safetensors").write_bytes(path.read_bytes())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        assert are_equal(models.mlp(**OPTIONS, weights=f"{place}/mlp-{digest[:8]}.safetensors"), net)
        state = load_state_dict_from_url(
            f"{place}/mlp.safetensors", tmp_path / "kept", file_name="a.safetensors"
        )
        assert list(state) == list(net.state_dict())
        assert (tmp_path / "kept/a.safetensors").is_file()
        with pytest.raises(CheckpointError, match=r"has the SHA-256 sum .* should begin with 00000000"):
            models.mlp(**OPTIONS, weights=f"{place}/mlp-00000000.safetensors")
        assert get_dir().startswith(str(tmp_path / "cache"))
        download_url_to_file(f"{place}/mlp.safetensors", str(tmp_path / "kept/b.safetensors"), digest[:10])
        assert (tmp_path / "kept/b.safetensors").read_bytes() == path.read_bytes()
        with pytest.raises(CheckpointError, match=r"should begin with 1111"):
            download_url_to_file(f"{place}/mlp.safetensors", str(tmp_path / "kept/c.safetensors"), "1111")
        assert not (tmp_path / "kept/c.safetensors").exists()
        with pytest.raises(CheckpointError, match="cannot be downloaded"):
            models.mlp(**OPTIONS, weights=f"{place}/nothing.pth")
        server.shutdown()
    assert are_equal(models.mlp(**OPTIONS, weights=f"{place}/mlp-{digest[:8]}.safetensors"), net)


def test_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "mlp.safetensors"
    xpnn.save(models.mlp(**OPTIONS).state_dict(), path)
    with pytest.raises(XpnnError, match="layers"):
        models.mlp(**{**OPTIONS, "hidden": [5]}, weights=path)
    xpnn.save([1, 2], path)
    with pytest.raises(CheckpointError, match="holds no state dict, but a list"):
        models.mlp(**OPTIONS, weights=path)
    with pytest.raises(ArgumentError, match=r"takes no option 'weight'\. Its options are: .*weights"):
        models.create("mlp", weight=path)
