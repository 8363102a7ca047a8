"""PyTorch's twins of the networks in `xpnn.models`: torchvision's where it has them, else the same files.

xpnn has PyTorch's names, so that its files of networks run on PyTorch, once `xpnn` and what they import of it
are stand-ins that hold PyTorch's parts. Only a process that does not import xpnn can have them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from benchmarks.frameworks import UnavailableError, need

MODELS = Path(__file__).parent.parent.parent / "xpnn" / "models"
# What the files of networks import of xpnn beside its public packages.
INNER = (
    *("autograd", "autograd.functions", "autograd.functions.creation", "autograd.functions.random"),
    *("autograd.functions.sorting", "backend", "nn.attention", "nn.attention.cache", "nn.hooks"),
    *("nn.parameter", "models.registry"),
)


def torchvision_file(name: str) -> Any:
    """A file of torchvision.models, without the package, which wants compiled operators."""
    if "torchvision" not in sys.modules:
        need("torchvision", "torchvision")
        found = importlib.util.find_spec("torchvision")
        assert found is not None
        (place,) = found.submodule_search_locations or ()
        stand_in("torchvision", {"__path__": [place]})
        stand_in("torchvision.models", {"__path__": [f"{place}/models"]})
    return importlib.import_module(f"torchvision.models.{name}")


def file_on_torch(name: str) -> Any:
    """A file of xpnn.models, run on PyTorch."""
    if "xpnn.backend" in sys.modules and not hasattr(sys.modules["xpnn.backend"], "is_stand_in"):
        raise UnavailableError("xpnn itself is imported here already")
    need("torch", "PyTorch")
    import torch

    class Module(torch.nn.Module):
        """xpnn's modules need no call of `super().__init__()`."""

        def __new__(cls, *args: Any, **options: Any) -> Any:
            module = super().__new__(cls)
            torch.nn.Module.__init__(module)
            return module

    recurrent = {name: reading_lengths(getattr(torch.nn, name)) for name in ("RNN", "LSTM", "GRU")}
    nn = {**vars(torch.nn), **recurrent, "Module": Module}
    others = {
        "is_stand_in": True,
        "xp": torch,
        "grad": torch.autograd.grad,
        "asarray": torch.tensor,
        "namespace": lambda *arrays: torch,
        "device_of": lambda array: array.device,
        "has_hooks": lambda module: True,  # so that norm and ReLU are two modules, as PyTorch has them
        "register": lambda input_shape: lambda factory: factory,
        "KeyValueCache": None,
        "ArgumentError": ValueError,
        "ShapeError": ValueError,
    }
    stand_in("xpnn", {"__path__": [], "nn": stand_in("xpnn.nn", {**nn, "__path__": []})})
    sys.modules["xpnn"].functional = stand_in("xpnn.functional", vars(torch.nn.functional))  # type: ignore
    stand_in("xpnn.models", {"__path__": [str(MODELS)]})
    for part in INNER:
        stand_in(f"xpnn.{part}", {**vars(torch), **others, "__path__": []})
    return importlib.import_module(f"xpnn.models.{name}")


def reading_lengths(kind: Any) -> Any:
    """A recurrent layer of PyTorch's that takes `lengths=` as xpnn's does: it packs padded sequences."""
    from torch.nn.utils import rnn

    class Reader(kind):
        def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:
            if lengths is None:
                return super().forward(input, hx)
            first = self.batch_first
            packed = rnn.pack_padded_sequence(input, lengths, batch_first=first, enforce_sorted=False)
            output, last = super().forward(packed, hx)
            length = input.shape[1 if first else 0]
            return rnn.pad_packed_sequence(output, batch_first=first, total_length=length)[0], last

    return Reader


def stand_in(name: str, parts: dict[str, Any]) -> Any:
    """A module of that name with these parts."""
    if name not in sys.modules:
        module = types.ModuleType(name)
        vars(module).update({key: value for key, value in parts.items() if key not in vars(module)})
        sys.modules[name] = module
    return sys.modules[name]
