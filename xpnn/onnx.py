"""Networks as ONNX files; needs the package onnx: `pip install 'xpnn[onnx]'`."""

from __future__ import annotations

from xpnn.io.onnx.export import export
from xpnn.io.onnx.load import OnnxModule, load

__all__ = ["OnnxModule", "export", "load"]
