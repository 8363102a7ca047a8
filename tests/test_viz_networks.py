"""Pictures of what is inside of networks: what they show is what the networks have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn, optim
from xpnn.backend import ArgumentError, DTypeError, ShapeError, to_numpy
from xpnn.viz import (
    activations,
    grad_cam,
    gradients,
    optimizer_path,
    plot_attention,
    plot_feature_maps,
    plot_heatmaps,
    plot_histograms,
    plot_optimizer_paths,
    plot_receptive_field,
    plot_weights,
    receptive_field,
    saliency,
)

pytest.importorskip("matplotlib")
RANDOM = np.random.default_rng(0)


def shown(figure: Any) -> list[np.ndarray]:
    """The arrays of all images."""
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.get_images()]


def test_kernels_are_drawn_with_zero_in_the_middle(backend: Target, tmp_path: Path) -> None:
    weight = RANDOM.normal(size=(5, 1, 3, 3)).astype(np.float32)
    figure = plot_weights(backend.array(weight), tmp_path / "w.png", title="conv1 of lenet")
    assert (tmp_path / "w.png").stat().st_size > 1000
    images = shown(figure)
    assert len(images) == 5
    for image, kernel in zip(images, weight):
        np.testing.assert_allclose(image, kernel[0], rtol=1e-6)
    low, high = figure.axes[0].images[0].get_clim()
    assert low == pytest.approx(-high)
    assert high == pytest.approx(abs(weight).max())


def test_weights_of_colours_of_many_channels_and_of_matrices() -> None:
    colours = shown(plot_weights(nn.Conv2d(3, 2, 5)))
    assert [image.shape for image in colours] == [(5, 5, 3)] * 2
    assert 0 <= min(image.min() for image in colours) <= max(image.max() for image in colours) <= 1
    many = RANDOM.normal(size=(2, 6, 3, 3))
    np.testing.assert_allclose(shown(plot_weights(many))[1], many[1].mean(axis=0))
    figure = plot_weights(nn.Linear(7, 4))
    assert shown(figure)[0].shape == (4, 7)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("input", "output")
    assert "first 64 of 70" in plot_weights(np.ones((70, 1, 2, 2))).get_suptitle()
    with pytest.raises(ShapeError, match=r"got shape \(3,\)"):
        plot_weights(np.ones(3))


def test_feature_maps_share_a_scale() -> None:
    maps = np.stack([np.full((4, 4), 1.0), np.full((4, 4), 3.0)])
    figure = plot_feature_maps(maps[None])
    assert {axes.images[0].get_clim() for axes in figure.axes if axes.images} == {(1.0, 3.0)}
    assert plot_feature_maps(maps - 2).axes[0].images[0].get_clim() == (-1.0, 1.0)
    with pytest.raises(ShapeError, match="maps"):
        plot_feature_maps(np.ones((4, 4)))


def test_attention_has_its_words() -> None:
    weights = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    (axes, bar) = plot_attention(weights, queries=["le", "chat", "dort"], keys=["the", "$cat$"]).axes
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), weights)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["le", "chat", "dort"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["the", "$cat$"]
    assert [text.get_text() for text in axes.texts][:2] == ["0.90", "0.10"]
    assert bar.get_ylabel() == "attention weight"
    heads = plot_attention(RANDOM.random((5, 40, 40)))
    assert [axes.get_title(loc="left") for axes in heads.axes[:5]] == [f"head {i}" for i in range(5)]
    assert heads.get_size_inches()[0] < 20
    with pytest.raises(ShapeError, match="3 and 1 names"):
        plot_attention(weights, keys=["one"])


def test_histograms_count_all_values_and_say_what_is_not_finite() -> None:
    values = np.array([0.0, 0.0, 1.0, 3.0, math.nan, math.inf])
    figure = plot_histograms({"a": values, "b": np.array([math.nan])}, title="activations")
    first, second = figure.axes[:2]
    assert sum(patch.get_height() for patch in first.patches) == 4
    assert first.get_title(loc="left") == "a: 2 not finite"
    assert first.texts[0].get_text() == "mean 1\nstd 1.22\nzero 50 %"
    assert second.get_title(loc="left") == "b: 1 not finite"
    with pytest.raises(ArgumentError, match="at least one array"):
        plot_histograms({})
    with pytest.raises(DTypeError, match="real numbers"):
        plot_histograms({"a": np.ones(2, complex)})


def test_activations_and_gradients_of_each_layer(backend: Target) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = xpnn.tensor(RANDOM.normal(size=(5, 3)).astype(np.float32))
    found = activations(net, x)
    assert list(found) == ["0 (Linear)", "1 (ReLU)", "2 (Linear)"]
    hidden = to_numpy(net[0](x))
    np.testing.assert_allclose(found["0 (Linear)"], hidden)
    np.testing.assert_allclose(found["1 (ReLU)"], np.maximum(hidden, 0))
    assert not net[0]._hooks or not net[0]._hooks.watches_calls()
    with pytest.raises(ArgumentError, match="finds no gradient"):
        gradients(net)
    slopes = gradients(net, net(x).sum())
    assert list(slopes) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    np.testing.assert_allclose(slopes["2.bias"], [5, 5])


def test_saliency_and_grad_cam_of_a_net_that_can_be_worked_out(backend: Target) -> None:
    """The score of class c is the sum of map c, which is the image times 1 + c, right half only."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1, bias=False)

        def forward(self, x: Any) -> Any:
            return self.conv(x)[:, :, :, 4:].sum((2, 3))

    net = Net()
    net.conv.weight = nn.Parameter(xpnn.tensor(np.array([1.0, 2.0], np.float32).reshape(2, 1, 1, 1)))
    image = backend.array(np.ones((1, 1, 8, 8), np.float32))
    for target, slope in ((None, 2.0), ([0], 1.0)):
        found = saliency(net, image, target)
        np.testing.assert_allclose(found[0], np.repeat([[0.0] * 4 + [slope] * 4], 8, axis=0))
    bright = np.zeros((1, 1, 8, 8), np.float32)
    bright[0, 0, 2, 5] = 1
    cam = grad_cam(net, backend.array(bright), net.conv)
    assert cam.shape == (1, 8, 8)
    assert cam[0, 2, 5] == 1
    assert np.count_nonzero(cam) == 1
    assert all(parameter.grad is None for parameter in net.parameters())
    for target in ([2], [0, 1]):
        with pytest.raises(ArgumentError, match="a class from 0 to 1 for each of 1 images"):
            saliency(net, image, target)
    with pytest.raises(ArgumentError, match="not run by the model"):
        grad_cam(net, image, nn.Conv2d(1, 1, 1))


def test_grad_cam_is_enlarged_to_the_image() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3, stride=4, padding=1), nn.Flatten(), nn.Linear(12, 2))
    images = RANDOM.normal(size=(3, 1, 8, 8)).astype(np.float32)
    cam = grad_cam(net, images, net[0])
    assert cam.shape == (3, 8, 8)
    assert 0 <= cam.min() <= cam.max() <= 1
    figure = plot_heatmaps(images, cam, titles=["a", "b", "c"], title="Grad-CAM")
    np.testing.assert_allclose(shown(figure)[-1], cam[2])
    with pytest.raises(ShapeError, match="maps"):
        plot_heatmaps(images, cam[:2])
    with pytest.raises(ShapeError, match="gives shape"):
        grad_cam(net, images, net[2])


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        ([(3, 1, 1)], 3),
        ([(3, 1, 1), (3, 1, 2)], 7),
        ([(3, 2, 1), (3, 1, 1)], 7),
        ([(7, 2, 1), (3, 2, 1), (3, 1, 1)], 7 + 2 * 2 + 4 * 2),
    ],
)
def test_the_receptive_field_is_that_of_the_formula(layers: list[tuple[int, int, int]], size: int) -> None:
    """r = 1 + sum over layers of (kernel - 1) * dilation * the strides before."""
    parts: list[nn.Module] = []
    for kernel, stride, dilation in layers:
        parts += [
            nn.Conv2d(1 if not parts else 4, 4, kernel, stride, dilation * (kernel // 2), dilation),
            nn.ReLU(),
        ]
    field = receptive_field(nn.Sequential(*parts), (1, 1, 48, 48))
    rows, columns = np.nonzero(field)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (size, size)
    (axes, bar) = plot_receptive_field(field).axes
    assert axes.get_title(loc="left") == f"{size} x {size} of 48 x 48 cells"
    assert axes.patches[-1].get_width() == size
    assert bar.get_ylabel()


def test_optimizers_go_their_ways(tmp_path: Path) -> None:
    def valley(p: Any) -> Any:
        return p[0] ** 2 + 10 * p[1] ** 2

    plain = optimizer_path(valley, lambda p: optim.SGD(p, lr=0.04), [1.0, 1.0], 30)
    np.testing.assert_allclose(plain[1], [1 - 0.08, 1 - 0.8], rtol=1e-5)
    np.testing.assert_allclose(plain[-1, 0], 0.92**30, rtol=1e-4)
    wild = optimizer_path(valley, lambda p: optim.SGD(p, lr=10.0), [1.0, 1.0], 100)
    assert len(wild) < 101
    assert np.isfinite(wild).all()
    figure = plot_optimizer_paths(
        valley, {"SGD": plain, "too fast": wild}, tmp_path / "paths.png", minimum=(0, 0), title="valley"
    )
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), plain)
    assert axes.get_xlim()[1] < 5, "what runs away does not shrink the others"
    assert axes.get_legend().get_texts()[0].get_text().startswith("SGD: 0.00")
    one_by_one = plot_optimizer_paths(lambda p: valley(p).sum(), {"SGD": plain})
    assert one_by_one.axes[0].get_legend() is not None
    with pytest.raises(ShapeError, match=r"got shape \(3, 3\) of 'a'"):
        plot_optimizer_paths(valley, {"a": np.zeros((3, 3))})
    with pytest.raises(ArgumentError, match="at least one path"):
        plot_optimizer_paths(valley, {})
