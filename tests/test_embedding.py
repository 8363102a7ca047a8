"""Embedding: what is written into the table, how gradients are scaled, and tables that are there already."""

from __future__ import annotations

import numpy as np
import pytest
from halves import half_types, in_half
from targets import Target

import xpnn.functional as F
from xpnn import nn
from xpnn.autograd import Tensor, grad
from xpnn.backend import ArgumentError, DTypeError, ShapeError, dtype_name, to_numpy
from xpnn.testing import assert_close

INDICES = np.asarray([[0, 2, 2], [2, 1, 0]])
TABLE = np.random.default_rng(0).standard_normal((4, 3)) * [[1.0], [2.0], [3.0], [4.0]]


def test_embedding_padding_row_has_no_gradient(backend: Target) -> None:
    indices = backend.array(np.asarray([[0, 2], [2, 1]]))
    weight = Tensor(backend.array(np.ones((3, 2))), requires_grad=True)
    for padding in (2, -1):
        (g,) = grad([F.embedding(indices, weight, padding).sum()], [weight])
        assert to_numpy(g).tolist() == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize("bags", [False, True])
@pytest.mark.parametrize("options", [{"norm_type": 2.0}, {"norm_type": 1.0}, {"norm_type": np.inf}])
def test_max_norm_shortens_the_rows_that_are_looked_up(bags: bool, options, backend: Target) -> None:
    """In the table itself, and no others; the gradient is that of the shortened table."""
    torch = pytest.importorskip("torch")
    weight = Tensor(backend.array(TABLE), requires_grad=True)
    theirs = torch.nn.Parameter(torch.tensor(TABLE))
    name = "embedding_bag" if bags else "embedding"
    y = getattr(F, name)(backend.array(INDICES), weight, max_norm=1.5, **options)
    expected = getattr(torch.nn.functional, name)(torch.tensor(INDICES), theirs, max_norm=1.5, **options)
    assert_close(to_numpy(y.detach()), expected.detach().numpy(), rtol=1e-9)
    assert_close(to_numpy(weight.detach()), theirs.detach().numpy(), rtol=1e-9)
    expected.sum().backward()
    assert_close(to_numpy(grad([y.sum()], [weight])[0]), theirs.grad.numpy(), rtol=1e-9)


def test_max_norm_refusals() -> None:
    with pytest.raises(DTypeError, match="embedding expects weight as a Tensor where max_norm changes it"):
        F.embedding(INDICES, TABLE, max_norm=1.0)
    for wrong in ({"max_norm": -1.0}, {"max_norm": 1.0, "norm_type": 0.0}):
        with pytest.raises(ArgumentError, match="expects max_norm of at least 0 and norm_type above 0"):
            F.embedding(INDICES, Tensor(TABLE), **wrong)


@pytest.mark.parametrize("mode", [None, "sum", "mean"])
def test_gradients_by_frequency(mode: str | None, backend: Target) -> None:
    """Each row's is divided by how often it was looked up; PyTorch's bags take the count of another row."""
    weight = Tensor(backend.array(TABLE), requires_grad=True)
    name, options = ("embedding_bag", {"mode": mode}) if mode else ("embedding", {})
    gradients = []
    for scaled in (True, False):
        y = getattr(F, name)(backend.array(INDICES), weight, scale_grad_by_freq=scaled, **options)
        above = Tensor(backend.array(np.random.default_rng(1).standard_normal(y.shape)))
        gradients.append(to_numpy(grad([y], [weight], [above])[0]))
    assert_close(gradients[0], gradients[1] / [[2.0], [1.0], [3.0], [1.0]], rtol=1e-12)


def test_infinities_of_the_padding(backend: Target) -> None:
    """Neither its row nor its weight is seen, not in gradients either."""
    indices = backend.array(np.asarray([[0, 1]]))
    for weight in (1.0, np.nan):
        weights = Tensor(backend.array(np.asarray([[weight, 2.0]])), requires_grad=True)
        table = Tensor(backend.array(np.asarray([[np.inf], [1.0]])), requires_grad=True)
        y = F.embedding_bag(indices, table, mode="sum", per_sample_weights=weights, padding_idx=0)
        found = [to_numpy(x).tolist() for x in (y.detach(), *grad([y.sum()], [table, weights]))]
        assert found == [[[2.0]], [[0.0], [2.0]], [[0.0, 1.0]]]


def test_empty_bags(backend: Target) -> None:
    """Give zeros, as do bags of nothing but padding, whatever stands in the row of the padding."""
    table = Tensor(backend.array(np.where(np.arange(4)[:, None] == 3, np.nan, TABLE)), requires_grad=True)
    indices, offsets = backend.array(np.asarray([3, 0, 3])), backend.array(np.asarray([0, 1, 1]))
    for mode in ("sum", "mean", "max"):
        y = F.embedding_bag(indices, table, offsets, mode=mode, padding_idx=3)
        assert_close(to_numpy(y.detach()), np.stack([np.zeros(3), np.zeros(3), TABLE[0]]), rtol=1e-12)
        expected = np.where(np.arange(4)[:, None] == 0, np.ones((4, 3)), 0)
        assert_close(to_numpy(grad([y.sum()], [table])[0]), expected, rtol=1e-12)
        for nothing in (F.embedding_bag(indices[:0], table, offsets[:1] * 0, mode=mode),):
            assert to_numpy(nothing.detach()).tolist() == [[0.0, 0.0, 0.0]]
        assert F.embedding_bag(indices[:0], table, offsets[:0], mode=mode).shape == (0, 3)


def test_bags_of_half_precision_add_up_in_float32(backend: Target) -> None:
    for dtype in half_types(backend):
        (table,) = in_half(backend, dtype, [np.ones((1, 2))])
        y = F.embedding_bag(backend.array(np.zeros((1, 3000), int)), table, mode="sum")
        assert dtype_name(y.dtype) == dtype
        assert abs(float(y[0, 0]) - 3000) <= 16


def test_from_pretrained() -> None:
    table = Tensor(TABLE.astype(np.float32))
    layer = nn.Embedding.from_pretrained(table, padding_idx=1)
    assert not layer.weight.requires_grad
    assert layer.padding_idx == 1
    assert repr(layer) == "Embedding(4, 3, padding_idx=1)"
    np.testing.assert_array_equal(layer(np.asarray([1])).numpy(), table.numpy()[1:2])
    bag = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="max")
    assert bag.weight.requires_grad
    assert repr(bag) == "EmbeddingBag(4, 3, mode='max')"
    with pytest.raises(ShapeError, match=r"Embedding.from_pretrained expects embeddings of 2 axes"):
        nn.Embedding.from_pretrained(table[0])
    with pytest.raises(ShapeError, match=r"Embedding expects a weight of shape \(4, 2\), got \(4, 3\)"):
        nn.Embedding(4, 2, _weight=table)
    with pytest.raises(ArgumentError, match="EmbeddingBag expects mode to be"):
        nn.EmbeddingBag(4, 3, mode="min")
