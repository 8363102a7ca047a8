"""Datasets, samplers, transforms and the DataLoader; data stays on the host until its batch is given out."""

from xpnn.data import synthetic
from xpnn.data.collate import default_collate, default_convert
from xpnn.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    TransformDataset,
    random_split,
)
from xpnn.data.digits import Digits, load_digits
from xpnn.data.folder import ImageFolder, read_image
from xpnn.data.idx import read_idx
from xpnn.data.loader import DataLoader
from xpnn.data.mnist import MNIST, FashionMNIST
from xpnn.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from xpnn.data.transforms import (
    CenterCrop,
    Compose,
    OneHot,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    Rescale,
    Resize,
    Standardize,
    ToFloat,
    Transform,
)
from xpnn.data.workers import get_worker_info

__all__ = [
    "MNIST",
    "BatchSampler",
    "CenterCrop",
    "ChainDataset",
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "DistributedSampler",
    "FashionMNIST",
    "ImageFolder",
    "IterableDataset",
    "OneHot",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomSampler",
    "Rescale",
    "Resize",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Standardize",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "ToFloat",
    "Transform",
    "TransformDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "load_digits",
    "random_split",
    "read_idx",
    "read_image",
    "synthetic",
]
