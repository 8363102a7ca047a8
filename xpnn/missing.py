"""Names that are not there: what to use instead, or that there is nothing.

Importing this module gives the packages and the Tensor an answer for each name that they lack. It is made up
only when the error is shown, so that `hasattr` costs nothing. Packages that few programs use are imported
when they are first asked for.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from xpnn import (
    accelerator,
    amp,
    autograd,
    compiler,
    cuda,
    fft,
    func,
    functional,
    fx,
    jit,
    linalg,
    nn,
    optim,
    signal,
    special,
    utils,
)
from xpnn.autograd import Tensor
from xpnn.backend import XpnnError, nearest

# What PyTorch's names that xpnn has not are about, and what there is instead; the first that fits is shown.
_ADVICE: tuple[tuple[str, str], ...] = (
    (r".*(sparse|csr|csc|bsr|coo|coalesce).*|c?(row|col)_indices|indices|values|h?spmm|smm|dense_dim",
     "There are no sparse Tensors"),
    (r"ldl_.*|lobpcg", "Use linalg.lu_factor or linalg.eigh"),
    (r"solve|lstsq|matrix_rank|symeig|eig", "See xpnn.linalg"),
    (r"float[48]_.*|u?int[1-7]|bits?\d*.*|complex32|chalf|ComplexHalf.*", "No array library has such a type"),
    (r"resize|resize_as", "Use reshape(...), or resize_(...), which writes in place"),
    (r"cond|while_loop", "xpnn.compile(...) compiles a training step; conditions are Python's"),
    (r"symbolic_trace|Tracer|GraphModule|Interpreter|Proxy", "There is no tracer of modules"),
    (r".*[sS]tream.*|Event", "The array library orders its work; xpnn.cuda.synchronize() waits for it"),
    (r".*[dD]ata_?[pP]ipe.*|DataChunk", "Use an IterableDataset"),
    (r".*torch_function.*|as_subclass", "Subclasses of Tensor cannot replace functions"),
    (r".*(quantiz|qint|quint|fake_quant|observer).*|ao|q_(scale|zero_point)", "There is no quantization"),
    (r".*nested.*|jagged", "There are no nested Tensors; nn.utils.rnn pads and packs sequences"),
    (r".*mkldnn.*|.*vulkan.*|.*xnnpack.*|.*mkl.*|.*onednn.*", "It belongs to a library of PyTorch's"),
    (r".*script.*|trace|trace_module|export", "xpnn.compile(...) compiles a training step"),
    (r"rpc|multiprocessing", "xpnn.distributed trains in several processes"),
    (r"hubconf|torch_version", "Models are in xpnn.models, their weights load from safetensors files"),
    (r"autocast.*|.*_autocast_.*", "See xpnn.amp"),
    (r"xpu|mtia|mps|hpu|ipu", "The devices are those of the array library; see xpnn.set_backend"),
    (r".*[sS]torage.*|(const_)?data_ptr|is_shared|share_memory_?|set_|is_set_to",
     "Tensors have no storage of their own; the raw array is t.array"),
    (r"as_strided.*|stride|storage_offset", "The memory layout is the array library's; see t.array"),
    (r"names|rename_?|align_.*|refine_names|has_names", "Axes have no names"),
)  # fmt: skip


# The packages of the top level that `import xpnn` leaves out, to be quick, and what they cannot do without.
_LATER = {
    "distributions": "",
    "einops": "einops",
    "hub": "",
    "models": "",
    "onnx": "onnx",
    "search": "",
    "sklearn": "sklearn",
}


class MissingNameError(XpnnError, AttributeError):
    """An attribute that xpnn has not; says which one was meant, or what there is instead."""

    def __init__(self, owner: str, missing: str, names: Callable[[], list[str]]) -> None:
        super().__init__(f"has no '{missing}'", subject=owner)
        self.missing = missing
        self.names = names

    def __str__(self) -> str:
        if not self.hint:
            self.hint = _hint(self.missing, self.names())
        return super().__str__()

    def __reduce__(self) -> tuple[Any, ...]:
        return _plain, (str(self),)


def _plain(text: str) -> AttributeError:
    return AttributeError(text)


def _hint(missing: str, names: list[str]) -> str:
    for pattern, advice in _ADVICE:
        if re.fullmatch(pattern, missing):
            return advice
    close = nearest(missing, [name for name in names if not name.startswith("_")])
    return f"Did you mean '{close}'?" if close else ""


def _answer_for(module: ModuleType, others: tuple[Any, ...]) -> Callable[[str], ModuleType]:
    """The `__getattr__` of a module; `others` have names under which one may be found as well."""

    def missing(name: str) -> ModuleType:
        if name in _LATER and module is _top:
            package = importlib.import_module(f"{_top.__name__}.{name}")
            _answer_everywhere()
            return package
        if name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        error = MissingNameError(module.__name__, name, functools.partial(_names_in, module))
        found = [other for other in others if not name.startswith("_") and name in vars(other)]
        if found:
            error.hint = f"It is {found[0].__name__}.{name}"
        raise error

    return missing


def _answer_everywhere() -> None:
    """Give an answer to all packages that are loaded, and to files that programs import by their path."""
    loaded = [
        module
        for name, module in [*sys.modules.items()]
        if name.partition(".")[0] == _top.__name__
        and (hasattr(module, "__path__") or name.startswith(f"{nn.utils.__name__}."))
    ]
    for module in [*_places, *loaded]:
        if "__getattr__" not in vars(module):
            module.__getattr__ = _answer_for(module, _others(module))  # type: ignore[method-assign]


def _others(module: ModuleType) -> tuple[Any, ...]:
    """Where else a name may be: what `_places` says, or else the package that a module is in, and so on."""
    if module in _places:
        return _places[module]
    around = sys.modules[module.__name__.rpartition(".")[0]]
    return (around, *_others(around))


def _there() -> list[str]:
    """The packages that can be imported later."""
    return [name for name, needs in _LATER.items() if not needs or importlib.util.find_spec(needs)]


def _drop_files_of_families(package: ModuleType) -> None:
    """Take out the modules that came along with a family's `import *`: `nn.loss.base` is no `nn.base`."""
    for name, value in [*vars(package).items()]:
        if isinstance(value, ModuleType) and value.__name__ not in (
            f"{package.__name__}.{name}",
            f"{_top.__name__}.{name}",
        ):
            delattr(package, name)


def _names_in(module: ModuleType) -> list[str]:
    """What a module offers; the files of a package are not meant."""
    return [name for name, value in vars(module).items() if not isinstance(value, ModuleType)]


def _answer_of_tensor(self: Any, name: str) -> Any:
    kind = type(self)
    if name.startswith("__"):
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
    if hasattr(kind, name):  # a property that has raised an AttributeError itself: let it do so again
        return object.__getattribute__(self, name)
    raise MissingNameError(kind.__name__, name, lambda: dir(kind))


_top = sys.modules[__name__.partition(".")[0]]
# Modules, and where else a name may be. Packages that are not here look into those that they are in.
_places: dict[ModuleType, tuple[Any, ...]] = {
    _top: (nn, linalg, special),
    nn: (functional,),
    functional: (nn,),
    nn.functional: (nn,),
    optim: (optim.lr_scheduler,),
    autograd: (),
    linalg: (_top,),
    special: (_top,),
    fft: (_top,),
    signal: (),
    func: (_top,),
    cuda: (_top,),
    accelerator: (cuda,),
    amp: (),
    compiler: (),
    fx: (),
    jit: (),
    nn.init: (),
    autograd.forward_ad: (func,),
    autograd.functional: (func,),
    autograd.graph: (autograd,),
    utils.checkpoint: (),
}
_answer_everywhere()
for _module in (nn, nn.modules, functional, nn.functional):
    _drop_files_of_families(_module)
_top.__dir__ = lambda: sorted({*vars(_top), *_there()})  # type: ignore[method-assign]
Tensor.__getattr__ = _answer_of_tensor  # type: ignore[attr-defined]
