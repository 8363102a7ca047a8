"""The examples and the README: what is shown runs, and what is quoted is what the source says."""

from __future__ import annotations

import ast
import math
import operator
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import write_idx

import xpnn
from xpnn import models
from xpnn.cli.program import build_parser
from xpnn.data import load_digits

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


def blocks(language: str) -> list[str]:
    """The code blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


# Examples


def test_two_layer(capsys: pytest.CaptureFixture[str]) -> None:
    by_hand, by_autograd = example("two_layer")["main"](epochs=101)
    np.testing.assert_allclose(by_autograd, by_hand, rtol=1e-5)
    assert by_hand[100] < by_hand[50] < by_hand[0]
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert printed == ["0", "50", "100", "100"]


def test_two_layer_gradients_against_differences() -> None:
    """The hand-written backward pass is no oracle before it has been checked itself."""
    loss_and_gradients = example("two_layer")["loss_and_gradients"]
    rng = np.random.default_rng(0)
    x, y, *parameters = (rng.standard_normal(shape) for shape in ((3, 4), (3, 2), (5, 4), (5,), (2, 5), (2,)))
    _, gradients = loss_and_gradients(x, y, *parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for index in np.ndindex(parameter.shape):
            losses = []
            for step in (1e-6, -2e-6):
                parameter[index] += step
                losses.append(loss_and_gradients(x, y, *parameters)[0])
            parameter[index] += 1e-6
            assert gradient[index] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_custom_primitive() -> None:
    losses = example("custom_primitive")["main"](steps=20)
    assert "numpy" in losses
    for backend, series in losses.items():
        assert series[-1] < series[0] / 2
        np.testing.assert_allclose(series, losses["numpy"], rtol=1e-3, err_msg=backend)


def test_array_api() -> None:
    results = example("array_api")["main"]()
    for backend, result in results.items():
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, results["numpy"], rtol=1e-5, err_msg=backend)


def test_train_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = load_digits()
    images = np.rint(images[:1500, 0].repeat(3, axis=1).repeat(3, axis=2) * 255).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    for part, chosen in (("train", slice(0, 1300)), ("t10k", slice(1300, 1500))):
        # unpacked: of packed files the checksum would tell that they are not MNIST's
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images[chosen])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels[chosen].astype(np.uint8))
    monkeypatch.setattr(sys, "argv", ["train_mnist.py", str(tmp_path)])
    example("train_mnist")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert float(lines[-1].split()[-1].rstrip("%")) > 60


def test_the_mnist_loop_is_short() -> None:
    assert len((ROOT / "examples" / "train_mnist.py").read_text().splitlines()) <= 40


# The gallery: what must hold of that which the fast version of each example finds


def rising(*values: float) -> bool:
    return all(low < high for low, high in pairwise(values))


GALLERY: dict[str, Callable[[dict[str, Any]], bool]] = {
    "densities": lambda found: max(found.values()) < 0.65 and found["PixelRNN"] < found["independent pixels"],
    "sentiment": lambda found: rising(found["bag of words"], found["LSTM"]),
    "word2vec": lambda found: found["loss"] < 0.8 * found["first loss"],
    "vanishing_gradients": lambda found: (
        rising(found["Elman, norm"], 1e-12, 0.1, found["LSTM, norm"]) and found["echo, 3"] < 0.5
    ),
    # forty steps learn pairs of letters; the counts are what they are
    "char_gpt": lambda found: (
        found["GPT"] < 2.4
        and rising(found["16-gram"], 0.2, found["8-gram"], found["4-gram"], found["2-gram"])
    ),
    "divergences": lambda found: (
        found["forward, mean"] == pytest.approx(found["mixture, mean"], abs=0.1)
        and found["forward, std"] == pytest.approx(found["mixture, std"], abs=0.1)
        and [found[f"reverse, {side}"] for side in ("left", "right")]
        == pytest.approx([-math.log(0.6), -math.log(0.4)], abs=0.05)
    ),
    "unet": lambda found: found["background"] > 0.7 and found["right pixels"] > 0.7,
    "vit": lambda found: found["without places"] + 0.1 < found["with places"],
    "mae": lambda found: found["error"] < 0.2 and found["encoder, 20"] > 0.8,
    "style_transfer": lambda found: found["style"] < found["first style"] / 10,
    "detection": lambda found: found["loss"] < 0.75 * found["first loss"] and found["mAP at IoU 0.5"] > 0.1,
    "ctc": lambda found: found["loss"] < found["first loss"] / 2,
    "seq2seq": lambda found: found["loss"] < found["first loss"],
    # one epoch draws no digits yet, but the discriminator's images are digits to the reader
    "gan": lambda found: found["real digits read"] > 0.95 and 0.02 < found["spread of the generated"] < 0.3,
    "vae": lambda found: (
        found["bound"] > -27 and 0.9 < found["spread of the codes"] < 1.1 and found["VAE copies"] < 23
    ),
    "gradients": lambda found: (
        found["automatic"] < 1e-15 < found["central, float64"] < found["one-sided, float64"]
    ),
    "recompute": lambda found: (
        rising(found["six segments"], found["each layer"], found["kept"])
        and found["kept"] > 1.5 * found["six segments"]
    ),
    "variance_shift": lambda found: (
        0.3 < found["before, by the formula"] < 0.6 < 0.85 < found["behind, measured"] < 1.15
        and abs(found["before, measured"] - found["before, by the formula"]) < 0.1
    ),
    "initialisation": lambda found: (
        rising(
            found["tanh, std 0.01"], 0.01, found["ReLU, 1/n"], 0.5, found["ReLU, He"], 2, found["ReLU, std 1"]
        )
        and rising(*(found[f"{s}, {way}"] for way in ("backward", "forward") for s in ("1/n", "Glorot")))
        and rising(found["spread, equal"], 1e-6, 0.1, found["spread, random"])
    ),
    "xor": lambda found: (
        found["linear"] < 0.8 < 0.95 < found["with x1 x2"] and found["8 hidden units"] > 0.95
    ),
    "approximation": lambda found: found[32] < 0.01 < found[8] < found[2],
    "graph": lambda found: (
        found["forward"] == found["reverse"] == pytest.approx([5.5, 2 - math.cos(5)])
        and np.array(found["hessian"]) == pytest.approx(np.array([[-1 / 4, 1], [1, math.sin(5)]]))
    ),
    "optimizers": lambda found: (
        rising(found["valley momentum"], found["valley SGD"], found["valley Adagrad"])
        and rising(found["digits momentum"], found["digits SGD"])
    ),
    "overfitting": lambda found: (
        rising(found["best epoch"], found["early stopping, epochs"], found["to the end, epochs"])
        and rising(found["early stopping, loss"], found["to the end, loss"])
    ),
    "regularisation": lambda found: (
        rising(found["dropout"], found["nothing"]) and rising(found["last three"], 0.15, found["nothing"])
    ),
    "tabular": lambda found: (
        found["network"] < 35 and rising(found["network"], found["network, not standardised"])
    ),
    "depth": lambda found: (
        rising(found["residual, 20 layers, loss"], found["plain, 20 layers, loss"])
        and found["residual, 20 layers, a block less"] > 0.5
    ),
    "domain_adaptation": lambda found: rising(0.5, found["source only"] + 0.02, found["gradient reversal"]),
    "receptive_fields": lambda found: (
        found["pool5"] == 195
        and all(
            found[f"{name}, by gradients"] == found[name] for name in ("conv1", "conv3", "conv5", "pool5")
        )
        and found["middle half of the last"] < found["pool5"] / 3
    ),
    "image_folder": lambda found: rising(found["as they are"], found["augmented"]),
    "search": lambda found: found["trials"] == 6 and found["best"] < 1,
}


@pytest.mark.parametrize("name", GALLERY)
def test_gallery(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")  # where Python looks when it runs a script
    with xpnn.use_backend("numpy"):
        found = example(name)["main"](["--fast", "--out", str(tmp_path)])
    assert GALLERY[name](found), found
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn
    for picture in drawn:
        assert f"](pictures/{picture})" in (ROOT / "examples" / "README.md").read_text()


def test_gallery_is_whole() -> None:
    """Each example has a test, a place in the gallery, a picture that is small, and is short."""
    folder = ROOT / "examples"
    gallery = (folder / "README.md").read_text()
    scripts = {path.stem for path in folder.glob("*.py")} - {"common"}
    assert scripts == {*GALLERY, "two_layer", "custom_primitive", "array_api", "train_mnist"}
    for name in scripts:
        assert f"]({name}.py)" in gallery
        assert len((folder / f"{name}.py").read_text().splitlines()) <= 120, name
    pictures = {path.name for path in (folder / "pictures").iterdir()}
    assert pictures == set(re.findall(r"\]\(pictures/([\w.]+)\)", gallery))
    for picture in pictures:
        assert (folder / "pictures" / picture).stat().st_size < 100_000, picture


# README


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would type them; definitions quoted from the source are left out."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in blocks("python"):
        if not code.startswith("@"):
            exec(compile(code, "README.md", "exec"), names)
            xpnn.set_backend("numpy")


def test_the_quoted_primitive_is_the_source() -> None:
    (quote,) = [code for code in blocks("python") if code.startswith("@")]
    assert quote in (ROOT / "xpnn" / "functional" / "conv" / "primitives.py").read_text()
    assert [type(node) for node in ast.parse(quote).body] == [ast.FunctionDef] * 2


def test_commands_exist() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("xpnn ")]
    assert commands
    for command in commands:
        build_parser().parse_args(shlex.split(command, comments=True)[1:])
    for script in re.findall(r"^ci/\w+\.sh", README, re.MULTILINE):
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} cannot be run"


def test_the_quoted_error_is_what_is_said() -> None:
    with pytest.raises(xpnn.XpnnError) as raised:
        models.resnet20()(np.zeros((8, 1, 32, 32), dtype=np.float32))
    quoted = " ".join(next(block for block in blocks("text") if "ShapeError" in block).split())
    assert quoted == f"{type(raised.value).__name__}: {raised.value}"


def test_all_backends_are_in_the_table() -> None:
    for name in ("numpy", "cupy", "torch", "jax", "array_api_strict"):
        assert f'| `"{name}"` |' in README


def exists(place: Any, path: str) -> bool:
    """Whether the attributes that `path` names, dots between them, are there from `place` on."""
    try:
        operator.attrgetter(path)(place)
    except AttributeError:
        return False
    return True


def test_what_there_is_exists() -> None:
    """Each name in the table of packages is one of its package, or of xpnn itself."""
    section = README.partition("## What there is")[2].partition("\n## ")[0]
    for row in section.splitlines():
        packages, _, names = row.strip("| ").partition(" | ")
        if not packages.startswith("`"):
            continue
        places = [xpnn, *(getattr(xpnn, name, None) for name in re.findall(r"`(\w+)`", packages))]
        for name in re.findall(r"`([A-Za-z_][\w.]*)`", names):
            assert name.startswith("torch.") or any(exists(place, name) for place in places), name


def test_the_paths_that_are_named_exist() -> None:
    for path in re.findall(r"`((?:xpnn|tests|examples|ci)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
