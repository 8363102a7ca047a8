"""nn.utils: against PyTorch's functions of the same names, on modules with the same weights."""

from __future__ import annotations

import contextlib
import copy
import pickle
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn
from xpnn.backend import ArgumentError, DTypeError, ShapeError, to_numpy
from xpnn.testing import assert_close

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")
W = np.random.default_rng(0).standard_normal((4, 3))


def pair(shape: tuple[int, ...] = (4, 3)) -> list[tuple[Any, Any, Any]]:
    """(nn, a linear layer in float64 with the same weights, tensor) of xpnn and of PyTorch."""
    w = np.random.default_rng(0).standard_normal(shape)
    made = []
    for library, tensor in ((nn, xpnn.tensor), (torch.nn, torch.tensor)):
        layer = library.Linear(shape[1], shape[0]).double()
        layer.load_state_dict({"weight": tensor(w), "bias": tensor(np.ones(shape[0]))})
        made.append((library, layer, tensor))
    return made


def numbers(x: Any) -> np.ndarray:
    return np.array(x.detach().numpy())


def trained(layer: Any, tensor: Any, columns: int = 3) -> list[np.ndarray]:
    """The output and all gradients of one call."""
    x = tensor(np.random.default_rng(1).standard_normal((5, columns)))
    y = layer(x)
    (y * y).sum().backward()
    return [numbers(y), *[numbers(p.grad) for p in layer.parameters()]]


def same(results: list[list[np.ndarray]]) -> None:
    for mine, theirs in zip(*results, strict=True):
        assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def start_alike(layers: list[Any], *names: str) -> None:
    """Give the second layer's random vectors to the first."""
    for name in names:
        mine, theirs = (layer.get_buffer(name) for layer in layers)
        mine.store(theirs.numpy().copy())


class Symmetric(nn.Module):
    """What pickle can find."""

    def forward(self, x: Any) -> Any:
        return x + x.mT


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("weight_norm", (4, 3), {}),
        ("weight_norm", (4, 3), {"dim": 1}),
        ("weight_norm", (4, 3), {"dim": None}),
        ("spectral_norm", (4, 3), {"n_power_iterations": 2}),
        ("orthogonal", (3, 3), {}),
        ("orthogonal", (4, 3), {"orthogonal_map": "cayley"}),
        ("orthogonal", (2, 3), {"orthogonal_map": "matrix_exp", "use_trivialization": False}),
    ],
)
def test_parametrizations(name: str, shape: tuple[int, int], options: dict[str, Any]) -> None:
    """Values, gradients, names and print are PyTorch's; copies work; removing leaves the values."""
    rows, states, layers = [], [], []
    for library, layer, _ in pair(shape):
        getattr(library.utils.parametrizations, name)(layer, **options)
        layers.append(layer)
    if name == "spectral_norm":
        start_alike(layers, "parametrizations.weight.0._u", "parametrizations.weight.0._v")
    for layer, (_, _, tensor) in zip(layers, pair(shape), strict=True):
        rows.append(trained(layer, tensor, shape[1]))
        states.append(([n for n, _ in layer.named_parameters()], list(layer.state_dict()), repr(layer)))
    if options.get("use_trivialization", True) and shape[0] == shape[1]:
        same(rows)
    else:  # how a base is completed is chance in PyTorch, for gradients alone
        assert_close(rows[0][0], rows[1][0], rtol=1e-8)
    assert states[0] == states[1]
    mine = layers[0].eval()
    before = numbers(mine.weight)
    for other in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        np.testing.assert_array_equal(numbers(other.weight), before)
        assert nn.utils.parametrize.type_before_parametrizations(other) is nn.Linear
    nn.utils.parametrize.remove_parametrizations(mine, "weight")
    assert type(mine) is nn.Linear
    assert sorted(mine.state_dict()) == ["bias", "weight"]
    np.testing.assert_array_equal(numbers(mine.weight), before)


def test_orthogonal_stays_so_in_training() -> None:
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(3, 5).double())
    with xpnn.no_grad():
        layer.parametrizations.weight.original.add_(
            xpnn.tensor(np.random.default_rng(0).standard_normal((5, 3)))
        )
    w = numbers(layer.weight)
    assert_close(w.T @ w, np.eye(3), rtol=0, atol=1e-12)
    with pytest.raises(ArgumentError, match="expects orthogonal_map='matrix_exp' or 'cayley', got 'qr'"):
        nn.utils.parametrizations.orthogonal(nn.Linear(3, 5), orthogonal_map="qr")
    with pytest.raises(ShapeError, match="expects a Parameter 'bias' of at least 2 axes"):
        nn.utils.parametrizations.orthogonal(nn.Linear(3, 5), "bias")


def test_parametrizations_one_after_the_other() -> None:
    rows = []
    for library, layer, tensor in pair((3, 3)):

        class Half(library.Module):
            def forward(self, x):
                return x / 2

            def right_inverse(self, x):
                return x * 2

        class Shifted(library.Module):
            def forward(self, x):
                return x + 1

            def right_inverse(self, x):
                return x - 1

        tools = library.utils.parametrize
        before = numbers(layer.weight).copy()
        tools.register_parametrization(layer, "weight", Half())
        tools.register_parametrization(layer, "weight", Shifted())
        assert tools.is_parametrized(layer, "weight")
        assert not tools.is_parametrized(layer, "bias")
        assert_close(numbers(layer.weight), before + 1, rtol=1e-12)
        layer.weight = tensor(np.eye(3))
        assert_close(numbers(layer.weight), np.eye(3), rtol=1e-12)
        with tools.cached():
            assert layer.weight is layer.weight
        rows.append([*trained(layer, tensor), numbers(layer.parametrizations.weight.original)])
        tools.remove_parametrizations(layer, "weight", leave_parametrized=False)
        rows[-1].append(numbers(layer.weight))
    same(rows)


def test_parametrize_refusals() -> None:
    tools, layer = nn.utils.parametrize, nn.Linear(3, 2)
    with pytest.raises(ArgumentError, match="finds no Parameter or Buffer 'w' in Linear"):
        tools.register_parametrization(layer, "w", Symmetric())
    with pytest.raises(ArgumentError, match="finds no parametrized Tensor 'weight'"):
        tools.remove_parametrizations(layer, "weight")

    class Cut(nn.Module):
        def forward(self, x):
            return x[0]

    class Word(nn.Module):
        def forward(self, x):
            return "x"

    with pytest.raises(ShapeError, match=r"expects the shape \(2, 3\), got \(3,\)"):
        tools.register_parametrization(layer, "weight", Cut())
    with pytest.raises(DTypeError, match="expects a parametrization to give a Tensor, got str"):
        tools.register_parametrization(layer, "weight", Word())
    assert type(layer) is nn.Linear
    tools.register_parametrization(layer, "weight", Cut(), unsafe=True)
    assert layer.weight.shape == (3,)
    with pytest.raises(ArgumentError, match=r"Cut defines no right_inverse\(\)"):
        layer.weight = xpnn.tensor([1.0])
    nn.utils.parametrizations.weight_norm(other := nn.Linear(3, 2))
    with pytest.raises(ArgumentError, match="cannot bring back one Tensor of several originals"):
        tools.remove_parametrizations(other, "weight", leave_parametrized=False)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_old_norms(name: str) -> None:
    rows, layers, names = [], [], []
    for library, layer, _ in pair():
        layers.append(getattr(library.utils, name)(layer))
    assert repr(layers[0]) == repr(layers[1])
    assert repr(pickle.loads(pickle.dumps(copy.deepcopy(layers[0])))) == repr(layers[0])
    if name == "spectral_norm":
        start_alike(layers, "weight_u", "weight_v")
    for layer, (library, _, tensor) in zip(layers, pair(), strict=True):
        rows.append(trained(layer, tensor))
        names.append(list(layer.state_dict()))
        getattr(library.utils, f"remove_{name}")(layer.eval())
        rows[-1] += [numbers(layer.weight)]
    assert names[0] == names[1]
    if name == "weight_norm":
        same(rows)
    else:
        assert_close(rows[0][0], rows[1][0], rtol=1e-9)
        assert_close(rows[0][-1], rows[1][-1], rtol=1e-9)
    with pytest.raises(ArgumentError, match="was not applied to 'weight' of this Linear"):
        getattr(nn.utils, f"remove_{name}")(layers[0])
    with pytest.raises(ArgumentError, match="finds no Parameter 'w' in Linear"):
        getattr(nn.utils, name)(nn.Linear(2, 2), "w")


@pytest.mark.parametrize(
    "steps",
    [
        [("l1_unstructured", {"amount": 5}), ("l1_unstructured", {"amount": 0.5})],
        [("l1_unstructured", {"amount": 0.25, "importance_scores": -W})],
        [
            ("ln_structured", {"amount": 1, "n": 2, "dim": 0}),
            ("ln_structured", {"amount": 0.5, "n": 1, "dim": 1}),
        ],
        [("custom_from_mask", {"mask": (W > 0).astype(float)}), ("l1_unstructured", {"amount": 2})],
        [("identity", {})],
    ],
)
def test_pruning(steps: list[tuple[str, dict[str, Any]]]) -> None:
    rows = []
    for library, layer, tensor in pair():
        tools = library.utils.prune
        assert not tools.is_pruned(layer)
        for name, options in steps:
            given = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
            assert getattr(tools, name)(layer, "weight", **given) is layer
        assert tools.is_pruned(library.Sequential(layer))
        assert sorted(layer.state_dict()) == ["bias", "weight_mask", "weight_orig"]
        rows.append([*trained(layer, tensor), numbers(layer.weight_mask)])
        tools.remove(layer, "weight")
        assert sorted(layer.state_dict()) == ["bias", "weight"]
        rows[-1].append(numbers(layer.weight))
    same(rows)


def test_pruning_by_chance_and_together() -> None:
    rows = []
    for library, layer, _ in pair():
        other = copy.deepcopy(layer)
        tools = library.utils.prune
        tools.global_unstructured([(layer, "weight"), (other, "bias")], tools.L1Unstructured, amount=7)
        rows.append([numbers(layer.weight), numbers(other.bias)])
        tools.random_unstructured(layer, "weight", amount=0.4)
        rows[-1].append(np.asarray(numbers(layer.weight_mask).sum()))
        tools.random_structured(other, "weight", amount=2, dim=0)
        rows[-1].append(np.sort(numbers(other.weight_mask).sum(axis=1)))
        np.testing.assert_array_equal(
            numbers(pickle.loads(pickle.dumps(layer)).weight), numbers(layer.weight)
        )
    same(rows)
    for wrong in (1.5, -1, 100, True, "1", float("nan")):
        with pytest.raises(ArgumentError, match="amount"):
            nn.utils.prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="finds no Parameter 'w' in Linear"):
        nn.utils.prune.identity(nn.Linear(2, 2), "w")
    with pytest.raises(ArgumentError, match="pruning was not applied"):
        nn.utils.prune.remove(nn.Linear(2, 2), "weight")
    with pytest.raises(ArgumentError, match="expects an unstructured BasePruningMethod"):
        nn.utils.prune.global_unstructured([(nn.Linear(2, 2), "weight")], int, amount=1)
    with pytest.raises(ArgumentError, match=r"expects a mask of shape \(2, 2\), got \(2,\)"):
        nn.utils.prune.custom_from_mask(nn.Linear(2, 2), "weight", np.ones(2))


def test_methods_of_pruning() -> None:
    """PyTorch's classes, and one of a program's own, which is called with what is left."""
    rows = []
    for library, layer, tensor in pair():
        tools = library.utils.prune

        class Large(tools.BasePruningMethod):  # type: ignore[misc]
            PRUNING_TYPE = "unstructured"

            def __init__(self, most: float) -> None:
                self.most = most

            def compute_mask(self, t: Any, default_mask: Any) -> Any:
                mask = default_mask.clone()
                mask[abs(t) > self.most] = 0
                return mask

        other, third = copy.deepcopy(layer), copy.deepcopy(layer)
        Large.apply(layer, "weight", 0.4)
        rows.append([numbers(layer.weight_mask)])
        tools.LnStructured.apply(layer, "weight", amount=1, n=2, dim=0)
        tools.CustomFromMask.apply(other, "weight", mask=tensor((W > 0).astype(float)))
        tools.Identity.apply(third, "bias")
        tools.global_unstructured([(third, "weight")], Large, most=0.2)
        rows[-1] += [numbers(part.weight_mask) for part in (layer, other, third)]
        rows[-1].append(numbers(tools.L1Unstructured(amount=3).prune(tensor(W))))
        rows[-1].append(
            numbers(tools.LnStructured(1, n=1, dim=-1).compute_mask(tensor(W), tensor(W * 0 + 1)))
        )
        for kind in (tools.RandomStructured, tools.RandomUnstructured):
            drawn = kind(amount=1).compute_mask(tensor(W), tensor(W * 0 + 1))
            rows[-1].append(np.asarray(numbers(drawn).sum()))
    same(rows)


def test_pruned_networks_train(backend: Target) -> None:
    """What is pruned stays zero, on every backend."""
    xpnn.manual_seed(0)
    layer = nn.Linear(4, 2)
    layer.to(backend.backend)
    nn.utils.prune.l1_unstructured(layer, "weight", amount=0.5)
    optimizer = xpnn.optim.SGD(layer.parameters(), lr=0.1)
    x = xpnn.Tensor(backend.array(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)))
    with contextlib.suppress(xpnn.backend.BackendMismatchError):
        for _ in range(3):
            optimizer.zero_grad()
            layer(x).sum().backward()
            optimizer.step()
        assert (to_numpy(layer.weight.detach()) == 0).sum() == 4


def test_vectors_of_parameters() -> None:
    rows = []
    for library, layer, _ in pair():
        vector = library.utils.parameters_to_vector(layer.parameters())
        library.utils.vector_to_parameters(vector * 2, layer.parameters())
        rows.append([numbers(vector), *[numbers(p) for p in layer.parameters()]])
        vector.sum().backward()
        rows[-1].append(numbers(layer.bias.grad))
        assert all(p.requires_grad for p in layer.parameters())
    same(rows)
    with pytest.raises(ShapeError, match="expects a vector of 2 elements"):
        nn.utils.vector_to_parameters(xpnn.tensor([1.0]), nn.Linear(1, 1).parameters())
    with pytest.raises(ArgumentError, match="expects at least one parameter"):
        nn.utils.parameters_to_vector([])


def test_clipping_is_there_too() -> None:
    rows = []
    for library, layer, tensor in pair():
        trained(layer, tensor)
        tools = library.utils
        gradients = [p.grad for p in layer.parameters()]
        norm = tools.get_total_norm(gradients, norm_type=3.0, foreach=False)
        tools.clip_grads_with_norm_(layer.parameters(), 1.0, norm)
        rows.append([numbers(norm), *[numbers(p.grad) for p in layer.parameters()]])
        rows[-1].append(numbers(tools.clip_grad_norm_(layer.parameters(), 0.5, foreach=False)))
        tools.clip_grad_value_(layer.parameters(), 0.01)
        rows[-1] += [numbers(p.grad) for p in layer.parameters()]
        with pytest.warns(FutureWarning, match="clip_grad_norm"):
            rows[-1].append(numbers(tools.clip_grad_norm(layer.parameters(), 0.5)))
    same(rows)


def test_functional_call() -> None:
    rows = []
    for library, layer, tensor in pair():
        call = (torch.func if library is torch.nn else library.utils.stateless).functional_call
        net = library.Sequential(layer, library.BatchNorm1d(4).double()).eval()
        w, x = tensor(W + 1, requires_grad=True), tensor(np.ones((2, 3)))
        y = call(net, {"0.weight": w, "1.running_mean": tensor(np.ones(4))}, (x,))
        y.sum().backward()
        rows.append([numbers(y), numbers(w.grad), numbers(net(x))])
        assert layer.weight.grad is None
        with pytest.raises(RuntimeError if library is torch.nn else ArgumentError, match="bias"):
            call(net, {"0.weight": w}, (x,), strict=True)
    same(rows)
    with pytest.raises(ArgumentError, match=r"finds unexpected names \['nothing'\]"):
        nn.utils.stateless.functional_call(nn.Linear(1, 1), {"nothing": W}, (W,))


def test_functional_call_of_shared_weights() -> None:
    for library, layer, tensor in pair((3, 3)):
        call = (torch.func if library is torch.nn else library.utils.stateless).functional_call
        net = library.Sequential(layer, layer)
        y = call(net, {"0.weight": tensor(np.zeros((3, 3)))}, (tensor(np.ones((2, 3))),))
        assert numbers(y).tolist() == np.ones((2, 3)).tolist()
        assert layer.weight is net[1].weight


@pytest.mark.parametrize("transpose", [False, True])
def test_fusion(transpose: bool) -> None:
    conv = (nn.ConvTranspose2d if transpose else nn.Conv2d)(2, 3, 3, bias=False).double()
    norm = nn.BatchNorm2d(3).double()
    x = np.random.default_rng(0).standard_normal((2, 2, 5, 5))
    norm(conv(x))
    with pytest.raises(ArgumentError, match="expects both in evaluation"):
        nn.utils.fuse_conv_bn_eval(conv, norm)
    with xpnn.no_grad():
        fused = nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval(), transpose)
        assert_close(numbers(fused(x)), numbers(norm(conv(x))), rtol=1e-9, atol=1e-11)
    linear, norm = nn.Linear(3, 2).double().eval(), nn.BatchNorm1d(2).double()
    norm(W[:, :2])
    fused = nn.utils.fuse_linear_bn_eval(linear, norm.eval())
    assert_close(numbers(fused(W)), numbers(norm(linear(W))), rtol=1e-9, atol=1e-11)


def test_everything_of_torch_is_there() -> None:
    """But what its memory formats need."""
    absent = {"clip_grad", "convert_parameters", "init", "memory_format"}
    absent |= {"convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"}
    for path in ("", "parametrize", "parametrizations", "prune", "rnn"):
        theirs, mine = torch.nn.utils, nn.utils
        if path:
            theirs, mine = getattr(theirs, path), getattr(mine, path)
        public = [n for n in dir(theirs) if not n.startswith("_")]
        if path:
            public = [n for n in public if getattr(getattr(theirs, n), "__module__", "") == theirs.__name__]
        assert set(public) - set(dir(mine)) - absent <= {
            "BasePruningMethod",
            "CustomFromMask",
            "Identity",
            "LnStructured",
            "PruningContainer",
            "RandomStructured",
            "transfer_parametrizations_and_params",
            *("PackedSequence_", "bind"),
        }
    assert nn.utils.skip_init(nn.Linear, 3, 2).weight.shape == (2, 3)
