"""PyTorch's paths and older names at the top level, questions about types, and names that are not there."""

from __future__ import annotations

import ast
import collections
import importlib
import pickle
import pkgutil
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
import xpnn.nn.functional as F
import xpnn.utils.data
from xpnn import nn, optim
from xpnn.autograd import Variable
from xpnn.backend import ArgumentError, BackendError, DTypeError, GradientError, RankError, dtype_name
from xpnn.jit.annotations import List
from xpnn.nn import functional
from xpnn.nn.modules.linear import NonDynamicallyQuantizableLinear
from xpnn.nn.parameter import Parameter
from xpnn.nn.utils.spectral_norm import spectral_norm
from xpnn.nn.utils.weight_norm import weight_norm
from xpnn.optim.lr_scheduler import StepLR, _LRScheduler
from xpnn.optim.optimizer import ParamsT
from xpnn.overrides import handle_torch_function, has_torch_function
from xpnn.types import Device, FileLike, Number
from xpnn.utils._pytree import tree_flatten, tree_map, tree_unflatten
from xpnn.utils.checkpoint import (
    checkpoint,
    checkpoint_sequential,
    get_device_states,
    set_device_states,
)
from xpnn.utils.data import DataLoader, Dataset
from xpnn.utils.model_zoo import load_url

torch = pytest.importorskip("torch")


def test_pytorchs_paths() -> None:
    assert F is functional is xpnn.nn.functional
    assert F.relu is xpnn.functional.relu
    assert (DataLoader, Dataset) == (xpnn.data.DataLoader, xpnn.data.Dataset)
    assert Parameter is nn.Parameter
    assert StepLR is optim.lr_scheduler.StepLR
    x = xpnn.ones(2, requires_grad=True)
    checkpoint(lambda x: (x * 2).sum(), x, use_reentrant=False).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]
    steps = [lambda x: x + 1, lambda x: x * 2, lambda x: x - 3]
    for segments in (1, 2, 3):
        assert checkpoint_sequential(steps, segments, xpnn.ones(1)).item() == 1.0


OLDER = {
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BoolTensor": "bool",
    "ByteTensor": "uint8",
    "CharTensor": "int8",
    "ShortTensor": "int16",
    "IntTensor": "int32",
    "LongTensor": "int64",
}


@pytest.mark.parametrize(("name", "dtype"), OLDER.items())
def test_older_names_of_tensors(name: str, dtype: str) -> None:
    ours, theirs = getattr(xpnn, name), getattr(torch, name)
    for args in ((2, 3), (), ([1, 0],), ([[1], [0]],)):
        made, expected = ours(*args), theirs(*args)
        assert made.shape == tuple(expected.shape)
        assert dtype_name(made.dtype) == dtype
        assert isinstance(made, ours)
    assert ours([1, 0]).tolist() == theirs([1, 0]).tolist()
    assert not isinstance(xpnn.zeros(1, dtype="uint32"), ours)
    assert dtype_name(xpnn.ones(2, dtype="int64").to(ours).dtype) == dtype
    with pytest.raises(DTypeError, match="sizes"):
        ours(1.5, 2)


def test_questions_about_types(backend: Target) -> None:
    x = xpnn.ones(2)
    assert xpnn.is_tensor(x)
    assert not xpnn.is_tensor(x.array)
    assert xpnn.is_floating_point(x)
    assert not xpnn.is_floating_point(xpnn.ones(2, dtype="int64"))
    assert xpnn.is_complex(xpnn.full((1,), 1j))
    assert xpnn.Size((2, 3)).numel() == 6
    assert xpnn.Size((2, 3)) == (2, 3)
    assert repr(xpnn.Size((2, 3))) == "(2, 3)"


VALUES: list[Any] = [2, 1.5, True, 1j]
KINDS = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64", "complex64"]


@pytest.mark.parametrize("kind", KINDS)
def test_result_type_is_pytorchs(kind: str) -> None:
    for shape in [(), (2,)]:
        ours, theirs = xpnn.zeros(shape, dtype=kind), torch.zeros(shape, dtype=getattr(torch, kind))
        for value in VALUES:
            if (kind, value) != ("float16", 1j):  # which is complex32 in PyTorch, and on no other library
                assert xpnn.result_type(ours, value) == torch.result_type(theirs, value), value
        for other in KINDS:
            for other_shape in [(), (2,)]:
                expected = torch.result_type(theirs, torch.zeros(other_shape, dtype=getattr(torch, other)))
                if expected != torch.complex32:
                    assert xpnn.result_type(ours, xpnn.zeros(other_shape, dtype=other)) == expected, other


# -- derivatives under PyTorch's names


def test_inference_mode() -> None:
    x = xpnn.ones(2, requires_grad=True)

    @xpnn.inference_mode()
    def decorated() -> bool:
        return (x * 2).requires_grad

    assert not decorated()
    assert not xpnn.inference_mode(decorated)()
    with xpnn.inference_mode():
        assert not (x * 2).requires_grad
        with xpnn.inference_mode(False):
            assert (x * 2).requires_grad
    assert xpnn.is_grad_enabled()


def test_variables() -> None:
    x = Variable(xpnn.ones(2), requires_grad=True)
    assert isinstance(x, Variable)
    assert isinstance(x, xpnn.Tensor)
    assert x.requires_grad
    assert Variable(x) is x
    assert not Variable(np.ones(2), volatile=True).requires_grad
    assert not isinstance(np.ones(2), Variable)


def test_grad_takes_pytorchs_arguments() -> None:
    x, y = xpnn.tensor([1.0, 2.0], requires_grad=True), xpnn.ones(2, requires_grad=True)
    (gx,) = xpnn.grad((x * x).sum(), x, only_inputs=True, retain_graph=True)
    assert gx.tolist() == [2.0, 4.0]
    _, gy = xpnn.grad((x * x).sum(), (x, y), materialize_grads=True)
    assert gy.tolist() == [0.0, 0.0]
    (batched,) = xpnn.grad(x * x, x, xpnn.eye(2), is_grads_batched=True)
    assert batched.tolist() == [[2.0, 0.0], [0.0, 4.0]]
    (x * y).sum().backward(inputs=[x])
    assert x.grad is not None
    assert (x.grad.tolist(), y.grad) == ([1.0, 1.0], None)


def test_gradcheck_under_pytorchs_path() -> None:
    x = xpnn.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    assert xpnn.autograd.gradcheck(lambda x: x.sin(), (x,), check_undefined_grad=False)
    assert xpnn.autograd.gradgradcheck(lambda x: x.sin(), (x,))
    assert xpnn.testing.gradcheck is xpnn.autograd.gradcheck


def test_autograd_functional() -> None:
    def cubes(x: Any) -> Any:
        return (x**3).sum()

    point, v = np.asarray([1.0, 2.0]), np.asarray([1.0, -1.0])
    ours, theirs = xpnn.autograd.functional, torch.autograd.functional
    calls: dict[str, tuple] = {
        "jacobian": (),
        "hessian": (),
        "vjp": (),
        "jvp": (v,),
        "vhp": (v,),
        "hvp": (v,),
    }
    for name, args in calls.items():
        mine = getattr(ours, name)(cubes, xpnn.tensor(point), *map(xpnn.tensor, args))
        its = getattr(theirs, name)(cubes, torch.tensor(point), *map(torch.tensor, args))
        pairs = zip(mine, its) if isinstance(its, tuple) else [(mine, its)]
        for one, other in pairs:
            np.testing.assert_allclose(xpnn.to_numpy(one), other.numpy())
    assert ours.jacobian(cubes, xpnn.tensor(point), vectorize=True).tolist() == [3.0, 12.0]
    with pytest.raises(ArgumentError, match="strategy='reverse-mode' or 'forward-mode', got 'both'"):
        ours.jacobian(cubes, xpnn.tensor(point), strategy="both")
    with pytest.raises(GradientError, match="does not depend on input 1"):
        ours.jacobian(lambda x, y: x * 2, (xpnn.ones(1), xpnn.ones(1)), strict=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr:UserWarning")
def test_jacobians_of_complex_functions() -> None:
    """Forward mode has them as PyTorch does; reverse mode refuses them, as PyTorch does."""
    values = [np.asarray([1 + 2j, 3 - 1j]), np.asarray([0.5, 2.0])]
    found = []
    for t in (xpnn, torch):
        points = tuple(map(t.from_numpy, values))
        function = lambda z, a: (z**2 * (1 + 1j) * a.sum(), z.abs(), a * 2)
        jacobian = t.autograd.functional.jacobian
        found.append(jacobian(function, points, vectorize=True, strategy="forward-mode"))
        alone = jacobian(lambda z: z**2, points[0], vectorize=True, strategy="forward-mode")
        found[-1] += ((alone, jacobian(lambda z: (z * z.conj()).real.cumsum(0), points[0])),)
        with pytest.raises(RuntimeError if t is torch else DTypeError):
            jacobian(lambda z: z**2, points[0])
    for mine, other in zip(*found, strict=True):
        for one, its in zip(mine, other, strict=True):
            np.testing.assert_allclose(xpnn.to_numpy(one), its.resolve_conj().numpy(), rtol=1e-12)


def test_set_detect_anomaly() -> None:
    x = xpnn.tensor([float("nan")])
    with xpnn.autograd.set_detect_anomaly(True), pytest.raises(FloatingPointError):
        x * 2
    xpnn.autograd.set_detect_anomaly(True)
    with pytest.raises(FloatingPointError):
        x * 2
    xpnn.autograd.set_detect_anomaly(False)
    x * 2
    with xpnn.autograd.detect_anomaly(check_nan=False):
        x * 2


# -- devices that are not there


def test_cuda_answers_for_the_current_backend(backend: Target) -> None:
    if xpnn.cuda.device_count():
        assert xpnn.cuda.is_available()
        assert xpnn.zeros(1, device="cuda").device.type == "cuda"
        return
    assert not xpnn.cuda.is_available()
    xpnn.cuda.synchronize()
    xpnn.cuda.empty_cache()
    assert xpnn.cuda.memory_allocated() == xpnn.cuda.max_memory_allocated() == 0
    xpnn.cuda.manual_seed_all(3)
    assert xpnn.initial_seed() == 3
    for ask in (xpnn.cuda.current_device, xpnn.cuda.get_device_name):
        with pytest.raises(BackendError, match="is_available"):
            ask()
    device = xpnn.device("cuda" if xpnn.cuda.is_available() else "cpu")
    if backend.backend != "cupy_like":
        assert xpnn.ones(2).to(device).device == "cpu"


def test_settings_are_accepted() -> None:
    xpnn.backends.cudnn.benchmark = True
    assert not xpnn.backends.cudnn.is_available()
    assert not xpnn.backends.mps.is_available()
    xpnn.use_deterministic_algorithms(True)
    assert xpnn.are_deterministic_algorithms_enabled()
    xpnn.use_deterministic_algorithms(False)


# -- names that are not there


@pytest.mark.parametrize(
    ("owner", "name", "words"),
    [
        (xpnn, "zeors", "xpnn has no 'zeors'. Did you mean 'zeros'?"),
        (xpnn, "ReLU", r"It is xpnn\.nn\.ReLU"),
        (xpnn, "sparse_coo_tensor", "no sparse Tensors"),
        (xpnn, "export", r"xpnn\.compile"),
        (xpnn.jit, "trace", r"xpnn\.compile"),
        (nn, "Linea", "Did you mean 'Linear'"),
        (nn, "relu", r"It is xpnn\.functional\.relu"),
        (F, "Softplus_", "xpnn.nn.functional has no 'Softplus_'"),
        (xpnn.functional, "ReLU", r"It is xpnn\.nn\.ReLU"),
        (optim, "Adm", "Did you mean 'Adam'"),
        (xpnn.ones(2), "reshap", "Tensor has no 'reshap'. Did you mean 'reshape'?"),
        (xpnn.ones(2), "to_sparse", "no sparse Tensors"),
        (xpnn.ones(2), "data_ptr", "t.array"),
        (nn.Parameter([1.0]), "gard", "Parameter has no 'gard'. Did you mean 'grad'?"),
    ],
)
def test_missing_names_help(owner: Any, name: str, words: str) -> None:
    assert not hasattr(owner, name)
    with pytest.raises(AttributeError, match=words) as caught:
        getattr(owner, name)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_errors_of_properties_stay_what_they_are() -> None:
    x = xpnn.ones(2, 2, 2)
    with pytest.raises(RankError, match="is for matrices"):
        _ = x.T
    assert not hasattr(x[0], "__array_interface__")
    assert getattr(xpnn, "nothing", None) is None


def test_the_standards_namespace_shows_its_own_names_only() -> None:
    shown = set(dir(xpnn.xp))
    assert {"zeros", "matmul", "float32", "linalg"} <= shown
    assert not {"einsum", "ndarray", "array", "randn", "raw_namespace"} & shown
    assert all(hasattr(xpnn.xp, name) for name in shown - {"bitwise_invert", "isin"})


def test_the_accelerator_is_that_of_the_current_backend(backend: Target) -> None:
    """The first lines of PyTorch's tutorial."""
    found = xpnn.accelerator.current_accelerator()
    device = found.type if xpnn.accelerator.is_available() else "cpu"
    assert device == ("cuda" if xpnn.cuda.is_available() else "cpu")
    assert (found is None) == (device == "cpu")


def test_functions_of_python_write_into_each_element(backend: Target) -> None:
    x = xpnn.tensor(backend.array(np.asarray([[1, 2], [3, 4]])))
    assert x.apply_(lambda v: v * v) is x
    assert x.map_(xpnn.ones_like(x), lambda a, b: a - b).tolist() == [[0, 3], [8, 15]]
    assert x[:0].apply_(abs).shape == (0, 2)
    with pytest.raises(ValueError, match="one shape"):
        x.map_(x[0], max)
    with pytest.raises(TypeError, match="function"):
        x.apply_(1)


@pytest.mark.parametrize(
    ("owner", "name", "advice"),
    [
        (xpnn, "cond", r"xpnn\.linalg\.cond"),
        (xpnn, "bessel_j0", r"xpnn\.special\.bessel_j0"),
        (xpnn, "sparse_coo_tensor", "no sparse"),
        (xpnn.linalg, "ldl_factor", "lu_factor"),
        (xpnn.cuda, "Stream", "synchronize"),
        (xpnn.special, "bessel_j3", "Did you mean"),
        (xpnn.utils.data, "MapDataPipe", "IterableDataset"),
        (xpnn.utils.checkpoint, "checkpoints", "Did you mean 'checkpoint'"),
        (xpnn.nn.utils.rnn, "pad_sequences", "Did you mean 'pad_sequence'"),
        (xpnn.nn.utils.rnn, "Linear", r"xpnn\.nn\.Linear"),
        (xpnn.nn.parallel, "DataParalel", "Did you mean 'DataParallel'"),
        (xpnn.random, "fork_rngs", "Did you mean 'fork_rng'"),
        (xpnn.backends, "mkldnn", "a library of PyTorch"),
        (xpnn.autograd.graph, "saved_tensor_hooks", "Did you mean 'saved_tensors_hooks'"),
        (xpnn.optim.lr_scheduler, "Adam", r"xpnn\.optim\.Adam"),
        (xpnn.ones(1), "data_ptr", r"t\.array"),
        (xpnn.ones(1), "resize", "resize_"),
    ],
)
def test_names_that_are_missing_say_where_to_look(owner: object, name: str, advice: str) -> None:
    with pytest.raises(AttributeError, match=advice):
        getattr(owner, name)


# -- memory formats


def test_memory_formats_change_no_values(backend: Target) -> None:
    x = xpnn.arange(24.0).view(1, 2, 3, 4)
    last = x.permute(0, 2, 3, 1)
    for same in (
        x.to(memory_format=xpnn.channels_last),
        x.contiguous(memory_format=xpnn.channels_last),
        x.clone(memory_format=xpnn.preserve_format),
        x.float(memory_format=xpnn.contiguous_format),
        xpnn.zeros_like(x, memory_format=xpnn.channels_last, layout=xpnn.strided) + x,
    ):
        assert same.tolist() == x.tolist()
    assert x.is_contiguous(memory_format=xpnn.contiguous_format)
    assert not x.is_contiguous(memory_format=xpnn.channels_last)
    assert not last.is_contiguous()
    assert last.contiguous().permute(0, 3, 1, 2).is_contiguous(memory_format=xpnn.channels_last)
    assert not x[0].is_contiguous(memory_format=xpnn.channels_last)
    assert nn.Conv2d(2, 1, 3).to(memory_format=xpnn.channels_last)(x).shape == (1, 1, 1, 2)
    for refused in (x[0].to, x[0].contiguous, x[0].clone):
        with pytest.raises(ValueError, match="N, C, H, W"):
            refused(memory_format=xpnn.channels_last)
    for call in (x.clone, nn.Linear(1, 1).to):
        with pytest.raises(ValueError, match="expects a memory_format"):
            call(memory_format="last")
    with pytest.raises(ValueError, match="no order"):
        x.is_contiguous(memory_format=xpnn.preserve_format)


def test_memory_formats_are_words() -> None:
    assert pickle.loads(pickle.dumps(xpnn.channels_last)) == xpnn.channels_last
    assert xpnn.channels_last == torch.channels_last != xpnn.contiguous_format
    assert isinstance(xpnn.channels_last_3d, xpnn.memory_format)
    assert {xpnn.strided: 1}[xpnn.strided] == 1


# -- the paths of modules


@pytest.mark.parametrize("name", sorted(set(vars(torch.nn.modules)) & set(vars(nn.modules))))
def test_paths_of_modules_lead_to_the_same_classes(name: str) -> None:
    ours, theirs = getattr(nn.modules, name), getattr(torch.nn.modules, name)
    if isinstance(ours, type):
        assert ours is getattr(nn, name)
        return
    if not isinstance(ours, types.ModuleType):
        return
    assert ours.__name__ == f"xpnn.nn.modules.{name}"
    for part in getattr(theirs, "__all__", []):
        if hasattr(nn, part):
            assert getattr(ours, part) is getattr(nn, part)


def test_shared_classes_of_modules() -> None:
    parts = nn.modules
    assert isinstance(nn.BatchNorm2d(1), parts.batchnorm._BatchNorm)
    assert isinstance(nn.Conv1d(1, 1, 1), parts.conv._ConvNd)
    assert isinstance(nn.ConvTranspose2d(1, 1, 1), parts.conv._ConvTransposeNd)
    assert not isinstance(nn.Linear(1, 1), parts.conv._ConvNd)
    assert isinstance(nn.NLLLoss(), parts.loss._WeightedLoss)
    assert isinstance(nn.MSELoss(), parts.loss._Loss)
    assert isinstance(nn.Dropout2d(), parts.dropout._DropoutNd)
    assert isinstance(nn.LSTM(1, 1), parts.rnn.RNNBase)
    assert isinstance(nn.GRUCell(1, 1), parts.rnn.RNNCellBase)


@pytest.mark.parametrize("value", [3, (3, 4), [1, 2]])
def test_tuples_of_modules(value: Any) -> None:
    ours, theirs = nn.modules.utils, torch.nn.modules.utils
    for name in ("_single", "_pair", "_triple", "_quadruple"):
        assert getattr(ours, name)(value) == getattr(theirs, name)(value)
    assert ours._reverse_repeat_tuple((1, 2), 2) == theirs._reverse_repeat_tuple((1, 2), 2)


def test_families_leave_no_files_behind() -> None:
    for package in (xpnn.nn, xpnn.functional, nn.functional, nn.modules):
        for name, value in vars(package).items():
            if isinstance(value, types.ModuleType):
                assert value.__name__.endswith((f"{package.__name__}.{name}", f"xpnn.{name}")), name
    assert not hasattr(nn, "cross_entropy")


def test_no_name_stands_twice() -> None:
    """What xpnn takes by name is what it has: nothing that a star brings has taken its place."""
    source = ast.parse(Path(xpnn.__file__).read_text())
    stars: dict[str, str] = {}
    for node in source.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        module = importlib.import_module(node.module or "")
        for alias in node.names:
            if alias.name != "*":
                assert getattr(xpnn, alias.asname or alias.name) is getattr(module, alias.name), alias.name
                continue
            for name in module.__all__:
                assert name not in stars, f"{name} is in {stars[name]} and in {node.module}"
                stars[name] = node.module or ""


def test_questions_that_have_one_answer(backend: Target) -> None:
    x = xpnn.tensor(backend.array(np.ones(2)))
    answers = [x.is_quantized, x.is_nested, x.is_meta, x.is_inference(), x.is_mps, x.is_xpu]
    assert answers == [False] * 6
    assert x.to_dense() is x


def test_marks_for_compilers_change_nothing() -> None:
    """Networks carry PyTorch's marks for TorchScript and its tracers; what is marked stays as it is."""

    @xpnn.fx.wrap
    @xpnn.compiler.disable
    @xpnn.jit.script
    def twice(x: xpnn.Tensor) -> xpnn.Tensor:
        return x * 2

    class Net(nn.Module):
        size: xpnn.jit.Final[int] = 2

        @xpnn.jit.ignore()
        @xpnn.jit.unused
        @xpnn.jit.export
        def names(self) -> List[str]:
            return xpnn.jit.annotate(List[str], ["a"])

        @xpnn.jit.ignore
        @xpnn.compiler.disable(recursive=False)
        def forward(self, x: xpnn.Tensor) -> xpnn.Tensor:
            if xpnn.jit.is_scripting() or xpnn.jit.is_tracing() or xpnn.compiler.is_compiling():
                return x
            return twice(x) * self.size

    net = xpnn.jit.script(Net())
    assert isinstance(net, nn.Module)
    assert isinstance(net, xpnn.jit.ScriptModule)
    assert net(xpnn.ones(2)).tolist() == [4.0, 4.0]
    assert net.names() == ["a"]
    assert xpnn.fx.wrap("len") == "len"
    assert xpnn._assert(True, "it holds") is None
    with pytest.raises(AssertionError, match="it does not hold"):
        xpnn._assert(False, "it does not hold")
    assert set_device_states(*get_device_states(xpnn.ones(2))) is None
    assert load_url is xpnn.hub.load_state_dict_from_url
    assert _LRScheduler is optim.lr_scheduler.LRScheduler


def test_every_file_of_pytorchs_distributions_is_there() -> None:
    torch_distributions = pytest.importorskip("torch.distributions")
    for info in pkgutil.iter_modules(torch_distributions.__path__):
        if info.name == "studentT":  # student_t here: names of files are small letters
            continue
        theirs = importlib.import_module(f"torch.distributions.{info.name}")
        ours = importlib.import_module(f"xpnn.distributions.{info.name}")
        lacking = {*getattr(theirs, "__all__", ())} - {*dir(ours)}
        assert lacking <= {"MixtureSameFamilyConstraint", "tril_matrix_to_vec", "vec_to_tril_matrix"}


def test_paths_to_what_copies_of_pytorchs_code_import() -> None:
    assert NonDynamicallyQuantizableLinear is nn.Linear
    assert (spectral_norm, weight_norm) == (nn.utils.spectral_norm, nn.utils.weight_norm)
    assert all((ParamsT, Device, FileLike, Number))
    assert not has_torch_function((xpnn.ones(1),))
    with pytest.raises(xpnn.XpnnError, match="replaces functions"):
        handle_torch_function(xpnn.ones, (), 1)
    pair = collections.namedtuple("pair", "x y")
    tree = {"a": [1, (2, 3)], "b": pair(None, 4)}
    leaves, spec = tree_flatten(tree)
    assert leaves == [1, 2, 3, None, 4]
    assert tree_unflatten(leaves, spec) == tree
    assert tree_map(lambda a, b: (a, b), [1, 2], [3, 4]) == [(1, 3), (2, 4)]
    assert tree_map(lambda a, b: (a, b), {"x": 1, "y": 2}, {"y": [3], "x": 4}) == {"x": (1, 4), "y": (2, [3])}
    counted = tree_map(lambda n: n + 1, collections.defaultdict(list, {"a": 1}))
    assert (counted["a"], counted["b"]) == (2, [])
    ordered = tree_map(lambda n: n + 1, collections.OrderedDict(b=1, a=2))
    assert type(ordered) is collections.OrderedDict
    assert list(ordered.items()) == [("b", 2), ("a", 3)]
    for one, other in (({"a": 1}, {"b": 1}), ([1, 2], [1]), ([1], (1,)), ((1, (2,)), (1, 2))):
        with pytest.raises(xpnn.XpnnError, match="expects nestings alike"):
            tree_map(lambda a, b: a, one, other)
    with pytest.raises(xpnn.XpnnError, match="expects 5 leaves, got 1"):
        tree_unflatten([1], spec)


def test_ways_of_attention_by_switches() -> None:
    x = xpnn.randn(1, 2, 3, 4)
    usual = nn.functional.scaled_dot_product_attention(x, x, x)
    with xpnn.backends.cuda.sdp_kernel(enable_flash=False, enable_mem_efficient=False, enable_cudnn=False):
        assert xpnn.allclose(nn.functional.scaled_dot_product_attention(x, x, x), usual)
    with (
        xpnn.backends.cuda.sdp_kernel(False, False, False, False),
        pytest.raises(xpnn.XpnnError, match="none"),
    ):
        nn.functional.scaled_dot_product_attention(x, x, x)
