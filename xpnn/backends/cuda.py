"""The switches of PyTorch's CUDA products; `matmul.allow_tf32` acts on CuPy."""

from __future__ import annotations

from collections.abc import Iterator

from xpnn.backend import ArgumentError
from xpnn.backend.scope import scoped
from xpnn.backend.tf32 import allows_tf32, get_float32_matmul_precision, set_float32_matmul_precision
from xpnn.functional.attention.ways import SDPBackend, sdpa_kernel


class _Matmul:
    """Products of matrices.

    Attributes:
        allow_fp16_reduced_precision_reduction, allow_bf16_reduced_precision_reduction: can be set, as
            programs do, and change nothing: sums are always of float32.
    """

    def __init__(self) -> None:
        self.allow_fp16_reduced_precision_reduction = False
        self.allow_bf16_reduced_precision_reduction = False

    @property
    def allow_tf32(self) -> bool:
        """Whether products of float32 may be of TF32; see `xpnn.set_float32_matmul_precision`."""
        return allows_tf32()

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        if not isinstance(allowed, bool):
            raise ArgumentError(
                f"expects True or False, got {allowed!r:.60}", subject="backends.cuda.matmul.allow_tf32"
            )
        if allowed and get_float32_matmul_precision() == "medium":
            return  # it is allowed already
        set_float32_matmul_precision("high" if allowed else "highest")


matmul = _Matmul()


def is_built() -> bool:
    """Whether GPUs can be computed on at all: by CuPy, PyTorch or JAX where they are installed."""
    return True


@scoped
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """`nn.attention.sdpa_kernel` by a switch for each way, as programs before PyTorch 2.3 have it."""
    switches = {
        SDPBackend.FLASH_ATTENTION: enable_flash,
        SDPBackend.MATH: enable_math,
        SDPBackend.EFFICIENT_ATTENTION: enable_mem_efficient,
        SDPBackend.CUDNN_ATTENTION: enable_cudnn,
    }
    with sdpa_kernel([way for way, enabled in switches.items() if enabled]):
        yield
