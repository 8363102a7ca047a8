"""Sizes, layouts and what changes the shape in place: what the rows of tests/cases/front cannot say."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import ArgumentError, GradientError, RankError, ShapeError, ViewError, XpnnError


def test_size_is_a_number_that_can_be_called(backend: Target) -> None:
    x = xpnn.zeros(2, 3)
    assert isinstance(x.size, int)
    assert (x.size, x.size + 1, 2 * x.size, x.size == 6, hash(x.size)) == (6, 7, 12, True, hash(6))
    assert (x.size(), x.size(-1), x.size(dim=0), x.size()[0]) == ((2, 3), 3, 2, 2)
    assert (x.size().numel(), repr(x.size()), x.size() == xpnn.ones(2, 3).size()) == (
        6,
        "(2, 3)",
        True,
    )
    assert xpnn.zeros(*x.size()).shape == xpnn.zeros(x.size()).shape == x.view(x.size(0), -1).shape == (2, 3)
    assert pickle.loads(pickle.dumps(x.size)) == copy.deepcopy(x.size) == 6
    with pytest.raises(IndexError, match=r"size expects dim between -2 and 1"):
        x.size(2)


def test_bytes() -> None:
    for dtype, size in [("bool", 1), ("int16", 2), ("float64", 8), ("complex64", 8)]:
        x = xpnn.tensor([1, 0, 1], dtype=dtype)
        assert (x.element_size(), x.itemsize, x.nbytes) == (size, size, 3 * size)


def test_broadcast_shapes() -> None:
    assert xpnn.broadcast_shapes((2, 1), (3,), 1, (4, 1, 1)) == (4, 2, 3)
    for wrong in [((2,), (3,)), ((-1,),), (1.5,)]:
        with pytest.raises(XpnnError):
            xpnn.broadcast_shapes(*wrong)


def test_layouts_of_views(backend: Target) -> None:
    """As PyTorch's, whatever the library does."""
    torch = pytest.importorskip("torch")
    for view in (
        lambda x: x,
        lambda x: x.t(),
        lambda x: x[1:, ::2],
        lambda x: x[2],
        lambda x: x.unsqueeze(1).expand(3, 5, 4),
        lambda x: x.unfold(1, 2, 1),
        lambda x: x.diagonal(1),
        lambda x: x.as_strided((2, 2), (1, 4), 3),
        lambda x: x[1:].as_strided((2, 2), (1, 4)),
        lambda x: x.view(2, 6).permute(1, 0),
    ):
        mine, theirs = view(xpnn.zeros(3, 4)), view(torch.zeros(3, 4))
        assert mine.shape == tuple(theirs.shape)
        assert mine.stride() == theirs.stride()
        assert mine.storage_offset() == theirs.storage_offset()
        assert mine.is_contiguous() == theirs.is_contiguous()
        assert mine.contiguous().is_contiguous()


WRITES: dict[str, Any] = {
    "unfold": lambda x: x.unfold(1, 2, 2),
    "as_strided": lambda x: x.as_strided((2, 2), (5, 1), 1),
    "diagonal": lambda x: x.diagonal(-1),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(1, -1),
    "swapaxes": lambda x: x.swapaxes(0, 1)[1],
    "movedim": lambda x: x.movedim(0, 1)[1],
    "squeeze": lambda x: x[:1].squeeze(0),
    "ravel": lambda x: x.ravel()[3:6],
    "unflatten": lambda x: x.unflatten(1, (2, 2))[:, 0],
    "mT": lambda x: x.mT[0],
    "unsqueeze_": lambda x: x[1].unsqueeze_(0),
    "t_": lambda x: x[1:].t_()[0],
    "view": lambda x: x.view(2, 6)[1],
}


# PyTorch refuses to write into one of several views that it gives together: what it is instead.
PARTS: dict[str, Any] = {
    "split": (lambda x: x.split(2)[1], lambda x: x[2:]),
    "chunk": (lambda x: x.chunk(2, 1)[0], lambda x: x[:, :2]),
    "unbind": (lambda x: x.unbind(1)[2], lambda x: x[:, 2]),
    "tensor_split": (lambda x: x.tensor_split(2)[0], lambda x: x[:2]),
}


@pytest.mark.parametrize("name", [*WRITES, *PARTS])
def test_what_is_written_into_a_view_reaches_the_tensor(name: str, backend: Target) -> None:
    torch = pytest.importorskip("torch")
    values = np.arange(12.0).reshape(3, 4)
    mine, theirs = xpnn.Tensor(backend.array(values)), torch.tensor(values)
    part, their_part = PARTS.get(name) or (WRITES[name], WRITES[name])
    part(mine).mul_(10)
    their_part(theirs).mul_(10)
    assert mine.tolist() == theirs.tolist()
    start, their_start = (xpnn.tensor(1.0, requires_grad=True), torch.tensor(1.0, requires_grad=True))
    for x, shown, factor in (
        (xpnn.ones(3, 4), part, start),
        (torch.ones(3, 4), their_part, their_start),
    ):
        shown(x).mul_(factor)
        (x**2).sum().backward()
    assert start.grad.item() == their_start.grad.item()


def test_bytes_as_another_type(backend: Target) -> None:
    x = xpnn.tensor([1.0, -2.0])
    bits = x.view(xpnn.int32)
    assert bits.tolist() == [1065353216, -1073741824]
    bits[0] = 0
    assert x.tolist() == [0.0, -2.0]
    assert x.view(dtype=xpnn.uint8).shape == (8,)


def test_overlapping_views_refuse_writes(backend: Target) -> None:
    x = xpnn.tensor([1.0, 2.0, 3.0])
    with pytest.raises(ViewError, match="shows some elements several times"):
        x.unfold(0, 2, 1)[0] = 5.0
    with pytest.raises(ArgumentError, match="reaches element 3"):
        x.as_strided((2, 2), (2, 1))


def test_turning_in_place(backend: Target) -> None:
    x = xpnn.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    y = x * 2
    assert y.t_() is y
    assert y.shape == (3, 1)
    (y.squeeze_(1) ** 2).sum().backward()
    assert x.grad.tolist() == [[8.0, 16.0, 24.0]]
    with pytest.raises(GradientError, match="`unsqueeze_` while recording"):
        x.unsqueeze_(0)
    x.data.unsqueeze_(0)  # of another handle of the same elements
    assert x.shape == (1, 3)


def test_resizing(backend: Target) -> None:
    x = xpnn.tensor([1, 2, 3, 4])
    assert x.resize_(2, 1).tolist() == [[1], [2]]
    assert x.resize_as_(xpnn.zeros(1)).tolist() == [1]
    with pytest.raises(ShapeError, match="there is nothing to fill it with"):
        x.resize_(5)


def test_transposes(backend: Target) -> None:
    x = xpnn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.T.tolist() == x.mT.tolist() == x.H.tolist() == x.mH.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    for name in ("T", "H", "mT", "mH"):
        with pytest.raises(RankError):
            getattr(x[0], name)


def test_positions_by_their_counts(backend: Target) -> None:
    assert xpnn.repeat_interleave(xpnn.tensor([1, 0, 2])).tolist() == [0, 2, 2]


def test_pieces_that_no_memory_holds() -> None:
    assert len(xpnn.tensor_split(xpnn.ones(3), 1000)) == 1000
    with pytest.raises(ArgumentError, match="expects sections that fit memory"):
        xpnn.tensor_split(xpnn.ones(3), 2**40)


@pytest.mark.parametrize("needs", [(False, True), (True, True)])
def test_the_nearest_cell_has_a_gradient_of_zeros(needs: tuple[bool, bool], backend: Target) -> None:
    """As in PyTorch: the place takes no part in the value, but it was asked for."""
    arrays = np.ones((1, 1, 3, 3)), np.zeros((1, 2, 2, 2))
    x, places = [xpnn.tensor(backend.array(a), requires_grad=need) for a, need in zip(arrays, needs)]
    xpnn.nn.functional.grid_sample(x, places, "nearest", align_corners=False).sum().backward()
    assert places.grad is not None
    assert not backend.numpy(places.grad).any()
