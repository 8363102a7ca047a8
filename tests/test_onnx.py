"""ONNX files: what is exported computes the same in onnxruntime, for any batch, or is refused by name."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import models, nn
from xpnn.backend import ArgumentError, XpnnError

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def scrambled(model: nn.Module) -> nn.Module:
    """In evaluation mode, with scales, shifts, statistics and last layers that are not ones and zeros."""
    generator = np.random.default_rng(1)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.array.dtype == "float32" and (tensor.ndim < 2 or not tensor.array.any()):
            tensor.store(tensor.array + 0.1 * generator.random(tensor.shape, dtype=np.float32))
    return model.eval()


def flat(outputs: Any) -> list[np.ndarray]:
    if isinstance(outputs, tuple | list):
        return [array for output in outputs for array in flat(output)]
    return [xpnn.to_numpy(outputs.detach())]


def session(proto: Any) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def check(model: nn.Module, *inputs: np.ndarray, axis: int = 0, method: str = "forward") -> Any:
    """Export, and compare with onnxruntime on the example and on a batch three times as large."""
    proto = xpnn.onnx.export(model, inputs, batch_axis=axis, method=method)
    running = session(proto)
    for given in (inputs, [np.concatenate([x, x[::-1], x], axis) for x in inputs]):
        found = running.run(None, {i.name: x for i, x in zip(running.get_inputs(), given)})
        expected = flat(getattr(model.eval(), method)(*[xpnn.tensor(x) for x in given]))
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * max(np.abs(other).max(), 1e-3))
    return proto


def kinds(proto: Any) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def test_one_layer_is_one_node(tmp_path: Path) -> None:
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 3), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)),
        *(nn.Dropout(), nn.LayerNorm(10), nn.SELU(), nn.Linear(10, 3), nn.Softmax(1)),
    )
    proto = check(scrambled(model), normal(2, 1, 12, 12))
    assert kinds(proto) == [
        *("Conv", "BatchNormalization", "Relu", "MaxPool", "Conv", "Gelu", "AveragePool", "Flatten"),
        *("Gemm", "LayerNormalization", "Selu", "Gemm", "Softmax"),
    ]
    state = {name: array for name, array in model.state_dict().items() if "num_batches" not in name}
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert stored.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(stored[name], array)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [node.name for node in proto.graph.node][:2] == ["0/Conv", "1/BatchNormalization"]

    model.train()
    path = tmp_path / "net.onnx"
    xpnn.onnx.export(model, xpnn.zeros(1, 1, 12, 12), path, dynamic=False, output_names=["scores"])
    assert model.training
    fixed = onnx.load(path)
    assert [d.dim_value for d in fixed.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 12, 12]
    assert fixed.graph.output[0].name == "scores"


LAYERS = [
    *((nn.SiLU(), 2), (nn.ELU(0.7), 1), (nn.CELU(0.5), 1), (nn.LeakyReLU(0.2), 1), (nn.Hardswish(), 1)),
    *(
        (nn.Hardsigmoid(), 1),
        (nn.Hardtanh(-0.3, 0.4), 1),
        (nn.ReLU6(), 1),
        (nn.Softplus(), 1),
        (nn.Mish(), 1),
    ),
    *((nn.PReLU(4), 2), (nn.GELU("tanh"), 1), (nn.LogSigmoid(), 3), (nn.Softsign(), 1), (nn.GLU(1), 4)),
    *((nn.Threshold(0.1, 0.2), 2), (nn.Tanhshrink(), 2), (nn.LogSoftmax(1), 1), (nn.Flatten(2), 1)),
    *((nn.GroupNorm(2, 4), 1), (nn.InstanceNorm2d(4), 1), (nn.RMSNorm(6), 6), (nn.LayerNorm((6, 6)), 1)),
    *(
        (nn.AdaptiveAvgPool2d((4, 3)), 2),
        (nn.AdaptiveAvgPool2d((3, 2)), 1),
        (nn.AdaptiveMaxPool2d((4, 2)), 3),
    ),
    *((nn.AvgPool2d(3, 2, 1), 1), (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), 3)),
    *((nn.MaxPool2d(3, 2, 1, ceil_mode=True), 1), (nn.MaxPool2d(2, 1, dilation=2), 1)),
    *((nn.Upsample(scale_factor=2), 1), (nn.Upsample((9, 5), mode="bilinear"), 2), (nn.PixelShuffle(2), 3)),
    *((nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, bias=False), 1), (nn.Linear(6, 5), 3)),
    *((nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2), 1), (nn.LocalResponseNorm(3), 9)),
    *((nn.ReflectionPad2d(1), 1), (nn.ReplicationPad2d(2), 1), (nn.ZeroPad2d((1, 2, 0, -1)), 1)),
    *((nn.Unfold((2, 3), 2, 1, 2), 2),),
]


@pytest.mark.parametrize(("layer", "nodes"), LAYERS, ids=lambda x: str(x).replace("\n", " ")[:40])
def test_layers(layer: nn.Module, nodes: int) -> None:
    assert len(check(scrambled(layer), normal(2, 4, 6, 6)).graph.node) == nodes


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers(kind: Callable[..., nn.Module], bidirectional: bool) -> None:
    layer = kind(3, 4, 2, batch_first=True, bidirectional=bidirectional)
    count = Counter(kinds(check(layer, normal(2, 5, 3))))
    assert count[kind.__name__] == 4 if bidirectional else 2
    assert "Loop" not in count
    sequence_first = kind(3, 4, bias=False)
    check(sequence_first, normal(5, 2, 3), axis=1)


class Attention(nn.Module):
    def __init__(self) -> None:
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, query: Any, key: Any) -> Any:
        return self.inner(query, key, key)


def test_attention() -> None:
    check(Attention(), normal(2, 5, 8), normal(2, 3, 8))
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)
    check(nn.TransformerEncoder(layer, 2), normal(2, 5, 8))


class Indexing(nn.Module):
    """Slices, new axes, integers, reductions and shapes that follow the batch."""

    def forward(self, x: Any) -> Any:
        part, last, first = x[:, 1:, ::2], x[:, -1], x[..., None, 0]
        rows = [
            *(part.sum((1, 2))[:, None], last.var(1, keepdim=True), first.flatten(1).std(1, keepdim=True)),
            *(xpnn.stack([last, last], 1).flatten(1), x.flip(1).flatten(1), x.unbind(1)[0].sqrt().sqrt()),
            *((x.clamp(-1, 1) ** 2).mean((1, 2))[:, None], x[:, 0, 0, None].expand(x.shape[0], 6)),
        ]
        return xpnn.cat(rows, 1), x.reshape(-1, 6).t().reshape(3, 2, -1), x.amax(0), x.new_zeros(x.shape) + 1


def test_shapes_follow_the_batch() -> None:
    check(Indexing(), np.abs(normal(2, 4, 6)))


def test_integers_are_inputs_too() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            self.embedding = nn.Embedding(9, 4)

        def forward(self, tokens: Any, scale: Any) -> Any:
            return self.embedding(tokens).mean(1) * scale

    proto = check(Tokens(), np.asarray([[1, 2, 3], [4, 5, 6]]), normal(2, 4))
    assert [i.name for i in proto.graph.input] == ["input_0", "input_1"]


class Comparing(nn.Module):
    """Comparisons, logic, orders, integers, and numbers that are the size of the batch."""

    def forward(self, x: Any) -> Any:
        seen, order = (x > 0.1) & ~(x >= 0.9) | (x == x[:, :1]), x.argsort(1)
        mean = x.sum(0) / x.shape[0] / (2 * x.shape[0])
        rows = xpnn.arange(x.shape[0])[:, None] * 1.0
        counts = seen.sum(1, keepdim=True)
        return x * seen.to(x.dtype), order, mean, rows + x, x / counts.clamp(min=1), x.argmax(1)


def test_what_has_no_gradient() -> None:
    check(Comparing(), normal(2, 5))


def image(name: str) -> tuple[nn.Module, np.ndarray]:
    channels, side, _ = models.input_shape(name)
    side = min(side, 64)
    model = models.create(name, num_classes=5, in_channels=channels, image_size=side)
    return model, normal(1, channels, side, side)


IMAGES = ["lenet", "mlp", "small_mobilenet_v2", "resnet20", "small_vit", "shufflenet_v2_x0_5"]
LARGE = [
    *("small_densenet", "small_vgg", "resnet18", "resnet50", "googlenet", "efficientnet_b0", "convnext_tiny"),
    *("mobilenet_v2", "zfnet"),
]  # one of each kind: they have all been compared by hand, and VGGs take half a minute each


@pytest.mark.parametrize("name", [*IMAGES, *(pytest.param(n, marks=pytest.mark.slow) for n in LARGE)])
def test_networks_of_images(name: str) -> None:
    model, x = image(name)
    check(scrambled(model), x)


TOKENS = np.asarray([[1, 2, 3, 4], [4, 3, 2, 1]])
PADDED = np.asarray([[1, 2, 3, 4], [4, 3, 0, 0], [2, 0, 0, 0]])
BITS = (normal(2, 5) > 0).astype("float32")
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[np.ndarray, ...]]] = {
    "UNet": (lambda: models.UNet(1, 3, channels=2, depth=2), (normal(1, 1, 16, 16),)),
    "FCN": (lambda: models.FCN(3, 8, depth=11, hidden=2, in_channels=1), (normal(1, 1, 32, 32),)),
    "SegNet": (lambda: models.SegNet(3, 2, (4, 6), (1, 2)), (normal(1, 2, 9, 8),)),
    "Detector": (lambda: models.Detector(2, 1, (4, 6, 8), channels=4), (normal(1, 1, 32, 32),)),
    "Autoencoder": (lambda: models.Autoencoder((2, 8, 8), 3, convolutional=True), (normal(1, 2, 8, 8),)),
    "Generator": (
        lambda: models.Generator(5, 2, 16, width=4, num_classes=3), (normal(2, 5), np.asarray([0, 2]))
    ),
    "Discriminator": (lambda: models.Discriminator(2, 16, width=4), (normal(2, 2, 16, 16),)),
    "GPT": (lambda: models.GPT(11, 8, n_layer=2, n_head=2, n_embd=6), (TOKENS,)),
    "PixelCNN": (lambda: models.PixelCNN(levels=3, channels=4, blocks=2), (normal(1, 1, 6, 6),)),
    "PixelRNN": (lambda: models.PixelRNN(levels=2, channels=4, layers=1), (normal(1, 1, 5, 5),)),
    "MADE": (lambda: models.MADE(5, (8,)), (normal(2, 5),)),
    "NADE": (lambda: models.NADE(5, 4), (BITS,)),
    "RBM": (lambda: models.RBM(5, 4), (BITS,)),
    "NonLocalBlock": (lambda: models.NonLocalBlock(4), (normal(2, 4, 5, 5),)),
    "StripRecogniser": (lambda: models.StripRecogniser(16, 11, channels=4, hidden=8), (normal(2, 1, 16, 8),)),
    "SkipGram": (lambda: models.SkipGram([1.0] * 9, 4), (np.asarray([1, 2]), TOKENS)),
    "Tagger": (lambda: models.Tagger(7, 3, padding=None, bidirectional=True), (TOKENS,)),
    "Tagger of several lengths": (lambda: models.Tagger(7, 3, bidirectional=True), (PADDED,)),
    "SequenceClassifier": (lambda: models.SequenceClassifier(7, 3, kind="gru", num_layers=2), (PADDED,)),
    "Seq2Seq": (lambda: models.Seq2Seq(7, 8), (PADDED, PADDED)),
    "Seq2Seq by products": (lambda: models.Seq2Seq(7, 8, "dot"), (PADDED, PADDED)),
    "SmallLeNet": (lambda: models.SmallLeNet(3), (normal(1, 1, 8, 8),)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_other_networks(name: str) -> None:
    make, inputs = NETWORKS[name]
    check(scrambled(make()), *inputs)


# What draws random numbers in its forward, and its parts that draw none.
DRAWING: dict[str, tuple[Callable[[], nn.Module], np.ndarray, dict[str, np.ndarray]]] = {
    "VAE": (
        lambda: models.VAE((1, 8, 8), 3), normal(2, 1, 8, 8),
        {"encode": normal(2, 1, 8, 8), "decode": normal(2, 3)},
    ),
    "MaskedAutoencoder": (
        lambda: models.MaskedAutoencoder(8, 4, 1, 1, 2, 8, 1, 2, 8), normal(2, 1, 8, 8),
        {"encode": normal(2, 1, 8, 8)},
    ),
    "GSN": (lambda: models.GSN(5, (4,)), BITS, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWING)
def test_random_numbers_are_refused_and_the_rest_is_exported(name: str) -> None:
    make, x, parts = DRAWING[name]
    model = scrambled(make())
    with pytest.raises(
        XpnnError, match=f"{name} computes an argument of .* of random numbers.*method='encode'"
    ):
        xpnn.onnx.export(model, x)
    for method, given in parts.items():
        check(model, given, method=method)


def test_every_network_is_exported() -> None:
    """A network that is new has to stand in a table above, or to have a name."""
    classes = {name for name in models.__all__ if isinstance(getattr(models, name), type)}
    networks = {name for name in classes if issubclass(getattr(models, name), nn.Module)}
    made = {name: inspect.signature(getattr(models, name)).return_annotation for name in models.names()}
    assert {made[name] for name in (*IMAGES, *LARGE)} == {*made.values()}
    parts = {"BasicBlock", "Bottleneck", "PaddedShortcut", "LeNet"}  # of networks with names
    assert networks == {*map(word, NETWORKS), *DRAWING, *made.values(), *parts} - {"nn.Module"}


def word(name: str) -> str:
    return name.split()[0]


class OnTheHost(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * (2 * xpnn.to_numpy(x.detach()))


class Branching(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.exp() if x.shape[0] == 2 else x.sin()


class OfTheBatch(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * (3.0 / x.shape[0])


class LastOnes(nn.Module):
    def forward(self, x: Any) -> Any:
        return x[: x.shape[0] - 1]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.ReLU(), OnTheHost()),
            "OnTheHost '1' computes an argument of 'multiply' from the input by",
        ),
        (Branching(), "takes other steps for other inputs"),
        (OfTheBatch(), "takes a number that follows the input, .* the batch: 1.5 for 2 samples, 1.0 for 3"),
        (LastOnes(), "a slice of the batch whose ends depend on its size"),
        (nn.Sequential(nn.Conv1d(4, 4, 1), nn.Softplus(2.0)), "Softplus '1' .* softplus with beta=2.0"),
        (nn.LSTM(5, 3, proj_size=2), "LSTM cannot be exported: an LSTM with projections"),
        (nn.Sequential(nn.Fold((2, 5), 1)), "Fold '0' cannot be exported: there is nothing in ONNX for its"),
    ],
    ids=lambda x: x[:20] if isinstance(x, str) else type(x).__name__,
)
def test_what_cannot_be_said_is_refused_by_name(model: nn.Module, message: str) -> None:
    shape = (2, 4, 10) if "Fold" in message else (2, 4, 5)
    with pytest.raises(XpnnError, match=message):
        xpnn.onnx.export(model, normal(*shape))


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="example as an array"):
        xpnn.onnx.export(nn.ReLU(), "x")
    with pytest.raises(ArgumentError, match="1 output_names, got 2"):
        xpnn.onnx.export(nn.ReLU(), normal(2), output_names=["a", "b"])
    with pytest.raises(ArgumentError, match=r"batch along axis 1, got one of shape \(2,\)"):
        xpnn.onnx.export(nn.ReLU(), normal(2), batch_axis=1)
    with pytest.raises(ArgumentError, match="ReLU has no method 'encode'"):
        xpnn.onnx.export(nn.ReLU(), normal(2), method="encode")


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_networks_on_other_libraries(library: str) -> None:
    if library not in xpnn.available_backends():
        pytest.skip(f"{library} is not installed")
    with xpnn.use_backend(library):
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
        proto = xpnn.onnx.export(model, xpnn.zeros(1, 1, 5, 5))
        expected = flat(model(xpnn.ones(1, 1, 5, 5)))[0]
    found = session(proto).run(None, {"input": np.ones((1, 1, 5, 5), np.float32)})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
