"""The ONNX format; `xpnn.onnx` has what users need of it.

See: https://onnx.ai/onnx/intro/concepts.html
"""
