"""ONNX files as Modules: the node tests of the ONNX project, our own exports, and PyTorch's."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import models, nn, optim
from xpnn.backend import ArgumentError, XpnnError
from xpnn.functional import cross_entropy
from xpnn.io.onnx.functions import FUNCTIONS
from xpnn.io.onnx.load import LoadError

onnx = pytest.importorskip("onnx")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def node_tests() -> list[Any]:
    """The tests of one node that the package onnx brings along, of operators that are known, of numbers."""
    cases = pytest.importorskip("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows on purpose
        found = cases.collect_testcases(None)
    known = [t for t in found if t.model is not None and len(t.model.graph.node) == 1]
    known = [t for t in known if t.model.graph.node[0].op_type in FUNCTIONS]
    arrays = [[x for pair in t.data_sets for side in pair for x in side] for t in known]
    numbers = [all(isinstance(x, np.ndarray) and x.dtype != object for x in parts) for parts in arrays]
    return [t for t, right in zip(known, numbers) if right]


@pytest.mark.slow
def test_the_node_tests_of_the_onnx_project() -> None:
    """Each is right, or refused by an error that says why; nothing is computed wrongly in silence."""
    count: Counter[str] = Counter()
    for test in node_tests():
        try:
            with np.errstate(all="ignore"):
                module = xpnn.onnx.load(test.model)
                results = [(module(*inputs), expected) for inputs, expected in test.data_sets]
        except LoadError:
            count["refused"] += 1
            continue
        for found, expected in results:
            for one, other in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
                array = xpnn.to_numpy(one.detach())
                assert (array.shape, array.dtype) == (other.shape, other.dtype), test.name
                np.testing.assert_allclose(
                    array, other, max(test.rtol, 1e-3), max(test.atol, 1e-6), err_msg=test.name
                )
        count["right"] += 1
    assert count["right"] > 600
    assert count["refused"] < 60


NETWORKS = {
    "convolutions": (
        lambda: nn.Sequential(
            *(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 8, 3),
            ),
            *(nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 10), nn.LayerNorm(10), nn.GELU()),
        ),
        normal(2, 1, 12, 12),
    ),
    "UNet": (lambda: models.UNet(1, 3, channels=2, depth=2), normal(1, 1, 16, 16)),
    "GPT": (lambda: models.GPT(11, 8, n_layer=1, n_head=2, n_embd=6), np.asarray([[1, 2, 3], [4, 3, 2]])),
    "Generator": (lambda: models.Generator(5, 2, 16, width=4), normal(2, 5)),
    "LSTM": (lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), normal(2, 5, 3)),
    "GRU": (lambda: nn.GRU(3, 4, batch_first=True), normal(2, 5, 3)),
}


def flat(outputs: Any) -> list[np.ndarray]:
    if isinstance(outputs, tuple | list):
        return [array for output in outputs for array in flat(output)]
    return [xpnn.to_numpy(outputs.detach())]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_exported_comes_back(name: str, tmp_path: Path) -> None:
    make, example = NETWORKS[name]
    model = make().eval()
    xpnn.onnx.export(model, example, tmp_path / "net.onnx")
    loaded = xpnn.onnx.load(tmp_path / "net.onnx")
    batch = np.concatenate([example] * 3)
    for module in (loaded, copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        for one, other in zip(flat(module(xpnn.tensor(batch))), flat(model(xpnn.tensor(batch))), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    if name == "convolutions":
        state = {key for key in model.state_dict() if "num_batches" not in key}
        assert loaded.state_dict().keys() == state
        assert {name for name, _ in loaded.named_buffers()} == {"1.running_mean", "1.running_var"}
        loaded.load_state_dict(model.state_dict(), strict=False)


def test_it_trains() -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    loaded = xpnn.onnx.load(xpnn.onnx.export(model, normal(1, 2, 6)).SerializeToString())
    x, y = xpnn.tensor(normal(12, 2, 6)), xpnn.tensor([0, 1, 2] * 4)
    for one in (model, loaded):
        optimizer = optim.SGD(one.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            cross_entropy(one(x), y).backward()
            optimizer.step()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(
            loaded.get_parameter(name).detach().numpy(), parameter.detach().numpy(), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_on_other_libraries(library: str) -> None:
    if library not in xpnn.available_backends():
        pytest.skip(f"{library} is not installed")
    make, example = NETWORKS["UNet"]
    model = make().eval()
    proto = xpnn.onnx.export(model, example)
    with xpnn.use_backend(library):
        found = flat(xpnn.onnx.load(proto)(xpnn.tensor(example)))[0]
    np.testing.assert_allclose(found, flat(model(xpnn.tensor(example)))[0], rtol=1e-3, atol=1e-5)


def test_files_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    tnn = torch.nn
    net = tnn.Sequential(
        *(tnn.Conv2d(1, 4, 3, padding=1), tnn.BatchNorm2d(4), tnn.ReLU(), tnn.MaxPool2d(2), tnn.Flatten()),
        *(tnn.Linear(64, 8), tnn.GELU(), tnn.LayerNorm(8), tnn.Linear(8, 3), tnn.Softmax(1)),
    ).eval()
    x = torch.randn(2, 1, 8, 8)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(net, (x,), dynamo=True, verbose=False)
        program.save(file)
    loaded = xpnn.onnx.load(file.getvalue())
    found = loaded(xpnn.tensor(x.numpy())).detach().numpy()
    np.testing.assert_allclose(found, net(x).detach().numpy(), rtol=1e-4, atol=1e-6)


def model_of(kind: str, inputs: int = 1, opset: int = 21, domain: str = "", **attributes: Any) -> Any:
    helper = onnx.helper
    names = [f"x{i}" for i in range(inputs)]
    node = helper.make_node(kind, names, ["y"], name="node", domain=domain, **attributes)
    info = [helper.make_tensor_value_info(name, 1, None) for name in names]
    graph = helper.make_graph([node], "graph", info, [helper.make_tensor_value_info("y", 1, None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(LoadError, match="NonZero 'node' is an operator that is not known"):
        xpnn.onnx.load(model_of("NonZero"))
    with pytest.raises(LoadError, match=r"Gelu 'node' is an operator of com\.microsoft that is not known"):
        xpnn.onnx.load(model_of("Gelu", domain="com.microsoft"))
    with pytest.raises(LoadError, match="Relu 'node' has the attribute 'slope', which is not known"):
        xpnn.onnx.load(model_of("Relu", slope=2.0))
    with pytest.raises(LoadError, match="opset 7 or newer, got 6"):
        xpnn.onnx.load(model_of("Relu", opset=6))
    with pytest.raises(XpnnError, match="cannot compute AveragePool 'node': it has dilations"):
        xpnn.onnx.load(model_of("AveragePool", kernel_shape=[2], dilations=[2]))(normal(1, 1, 5))
    with pytest.raises(XpnnError, match="cannot compute Softmax 'node': it is of opset 11"):
        xpnn.onnx.load(model_of("Softmax", opset=11))(normal(2, 3))
    with pytest.raises(ArgumentError, match="expects the inputs x0, x1"):
        xpnn.onnx.load(model_of("Add", 2))(normal(2))
    with pytest.raises(ArgumentError, match="expects a path, bytes"):
        xpnn.onnx.load(3)
    assert xpnn.onnx.load(model_of("Sub", 2))(x1=xpnn.ones(2), x0=xpnn.zeros(2)).tolist() == [-1, -1]
