"""Hooks that give the means of gradients, as they are or rounded to half precision on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributed.collectives import Members, all_reduce
from xpnn.distributed.work import expect_member
from xpnn.futures import Future
from xpnn.nn.parallel.bucket import GradBucket

__all__ = [
    "allreduce_hook",
    "bf16_compress_hook",
    "bf16_compress_wrapper",
    "fp16_compress_hook",
    "fp16_compress_wrapper",
]

Hook = Callable[[Any, GradBucket], Future[Tensor]]


def allreduce_hook(process_group: Members, bucket: GradBucket) -> Future[Tensor]:
    """The mean over the processes of the group, None being all, which go on computing meanwhile."""
    mine = bucket.buffer() / expect_member(process_group).size
    work = all_reduce(mine, group=process_group, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])


def fp16_compress_hook(process_group: Members, bucket: GradBucket) -> Future[Tensor]:
    """The mean of gradients that travel as float16: half as many bytes as those of float32.

    Gradients of 65,505 or more become infinite.
    """
    return fp16_compress_wrapper(allreduce_hook)(process_group, bucket)


def bf16_compress_hook(process_group: Members, bucket: GradBucket) -> Future[Tensor]:
    """The mean of gradients that travel as bfloat16, which has the range of float32 and 8 bits of precision.

    Raises: DTypeError on a backend without bfloat16, such as NumPy.
    """
    return bf16_compress_wrapper(allreduce_hook)(process_group, bucket)


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """A hook that hands its bucket to another as float16, and gives the result in the bucket's own type."""
    return _compressing(hook, "float16")


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """A hook that hands its bucket to another as bfloat16, and gives the result in the bucket's own type."""
    return _compressing(hook, "bfloat16")


def _compressing(hook: Hook, dtype: str) -> Hook:
    def compressing(state: Any, bucket: GradBucket) -> Future[Tensor]:
        whole = bucket.buffer().dtype
        bucket.set_buffer(bucket.buffer().to(dtype))
        return hook(state, bucket).then(lambda future: future.value().to(whole))

    compressing.__qualname__ = f"{hook.__qualname__} in {dtype}"
    return compressing
