"""Kernels in CUDA C++ run by a CPU: what CuPy's `RawModule` is to a machine without a GPU.

g++ compiles the same source with `shim.hpp` before it, and a launch runs it with the same grid, blocks and
arguments that CuPy would be given. Each argument is held against the kernel's own declaration: CuPy passes
what it is given, and a wrong width is a wrong result. Libraries are kept in a folder, by what they were
made of.

The environment variable XPNN_SANITIZE=1 compiles with the sanitizers of addresses and of undefined behaviour.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHIM = Path(__file__).with_name("shim.hpp")
SANITIZERS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-g1",
)
ERRORS = {
    1: "not all threads of a block reached the same __syncthreads()",
    2: "not all threads of a warp reached the same shuffle",
    3: "no memory for the threads of a block",
}

_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\((\d+), 1\) )?(\w+)\(')
_MOST_THREADS = 256  # of a block, for which any kernel has registers; more are declared

launched: dict[str, int] = {}  # how often each kernel was launched so far
sources: dict[str, None] = {}  # all that modules were made of, in that order


def compiler() -> str | None:
    """The path of g++, or None where there is none, or not Linux's fibers and libraries."""
    return shutil.which("g++") if sys.platform == "linux" else None


def folder() -> Path:
    """Where libraries are kept: of this user alone, as what lies there is run."""
    path = Path(tempfile.gettempdir()) / f"xpnn-cuda-on-cpu-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise RuntimeError(f"{path} is not a folder that this user alone writes to: what lies there is run")
    return path


class RawModule:
    """`cupy.RawModule`: kernels of one source."""

    def __init__(self, *, code: str, options: Sequence[str] = ()) -> None:
        self.code, self.options = code, tuple(options)
        sources[code] = None

    def get_function(self, name: str) -> Callable[..., None]:
        """The kernel of that name, to be called with a grid, a block and the arguments."""
        library, signatures = _load(self.code, self.options)
        if name not in signatures:
            raise ValueError(f"no kernel {name!r} in the source, there are {', '.join(signatures)}")
        bounds = {kernel: int(bound or _MOST_THREADS) for bound, kernel in _KERNEL.findall(self.code)}
        run = getattr(library, f"run_{name}")
        return functools.partial(_launch, run, name, signatures[name], bounds[name])


def _launch(
    run: Any,
    name: str,
    signature: list[str],
    bound: int,
    grid: tuple,
    block: tuple,
    args: tuple,
    shared_mem: int = 0,
) -> None:
    grid, block = ((*sizes, 1, 1)[:3] for sizes in (grid, block))
    threads = block[0] * block[1] * block[2]
    if not (0 < threads <= 1024 and 0 < grid[0] < 2**31 and 0 < grid[1] < 2**16 and 0 < grid[2] < 2**16):
        raise ValueError(f"{name}: CUDA launches no grid {grid} of blocks {block}")
    if threads > bound:
        raise ValueError(
            f"{name}: {threads} threads may lack registers, declare __launch_bounds__({threads}, 1)"
        )
    if shared_mem or len(args) != len(signature):
        raise ValueError(f"{name} takes {len(signature)} arguments, got {len(args)}, shared_mem={shared_mem}")
    places = (ctypes.c_void_p * max(len(args), 1))()
    kept = [_place(name, i, taken, arg) for i, (taken, arg) in enumerate(zip(signature, args))]
    for i, (address, _) in enumerate(kept):
        places[i] = address
    launched[name] = launched.get(name, 0) + 1
    status = run((ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), places)
    if status:
        raise RuntimeError(f"{name}, grid {grid}, blocks {block}: {ERRORS[status]}")


def _place(name: str, position: int, taken: str, arg: Any) -> tuple[int, Any]:
    """The address of an argument, and what keeps it alive."""
    pointer, letter = taken
    came = f"{type(arg).__name__} of {getattr(arg, 'dtype', '?')}"
    if pointer == " ":
        if not isinstance(arg, np.generic) or arg.dtype.char.replace("q", "l") != letter:
            raise TypeError(f"{name}: argument {position} is declared '{letter}', got {came}")
        held = np.array(arg)
        return held.ctypes.data, held
    if arg is None:
        raise TypeError(f"{name}: argument {position} is None, of which CuPy makes an address that is not 0")
    if type(arg) is np.uint64 and arg == 0:
        holder = ctypes.c_void_p(0)
        return ctypes.addressof(holder), holder
    char = arg.dtype.char.replace("q", "l").replace("Q", "L").replace("B", "?")
    if char != letter:
        raise TypeError(f"{name}: argument {position} is declared as a pointer to '{letter}', got {came}")
    if pointer == "*" and not arg._values.flags.writeable:
        raise TypeError(f"{name}: argument {position} is written to, and may not be")
    holder = ctypes.c_void_p(arg.data.ptr)
    return ctypes.addressof(holder), holder


@functools.cache
def _load(code: str, options: tuple[str, ...]) -> tuple[ctypes.CDLL, dict[str, list[str]]]:
    kernels = [name for _, name in _KERNEL.findall(code)]
    library = ctypes.CDLL(str(_built(_complete(code, kernels), options)))
    signatures = {}
    for name in kernels:
        describe = getattr(library, f"signature_{name}")
        describe.restype = ctypes.c_char_p
        text = describe().decode()
        signatures[name] = [text[i : i + 2] for i in range(0, len(text), 2)]
    return library, signatures


def _complete(code: str, names: list[str]) -> str:
    """The source with a way in for each kernel."""
    parts = [f'#include "{SHIM}"\n', code, "\n"]
    for name in names:
        parts.append(
            f'extern "C" int run_{name}(unsigned* g, unsigned* b, void** args) '
            f"{{ return on_cpu::run({name}, g, b, args); }}\n"
            f'extern "C" const char* signature_{name}() {{ return on_cpu::signature({name}); }}\n'
        )
    return "".join(parts)


def _built(code: str, options: tuple[str, ...]) -> Path:
    """The library of a source, from the folder if it lies there."""
    sanitized = os.environ.get("XPNN_SANITIZE") == "1"
    flags = [
        "-std=c++17",
        "-O1",
        "-ffp-contract=off",
        "-fPIC",
        "-shared",
        "-w",
        *(SANITIZERS if sanitized else ()),
    ]
    flags += [option for option in options if option.startswith("-D")]
    recipe = "\0".join([code, SHIM.read_text(), *flags])
    path = folder() / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.so"
    if path.exists():
        return path
    gxx = compiler()
    if gxx is None:
        raise RuntimeError("needs g++ to run CUDA sources on the CPU")
    with tempfile.TemporaryDirectory(dir=folder()) as work:
        made = Path(work) / "made.so"
        command = [gxx, *flags, "-x", "c++", "-", "-o", str(made)]
        result = subprocess.run(command, input=code, text=True, capture_output=True)
        if result.returncode:
            raise RuntimeError(f"g++ refuses the source:\n{result.stderr[:4000]}")
        made.replace(path)
    return path
