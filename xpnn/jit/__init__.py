"""PyTorch's marks for TorchScript, which change nothing here: xpnn runs what Python says.

    @xpnn.jit.script
    def swish(x): ...  # is the function itself

`xpnn.compile` makes one program of a training step; `xpnn.onnx` writes a network for other programs.
"""

from typing import Final as Final

from xpnn.jit.marks import *
from xpnn.nn import Module as ScriptModule  # noqa: F401
