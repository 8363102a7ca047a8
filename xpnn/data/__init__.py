"""Datasets, samplers, transforms and the DataLoader; data stays on the host until its batch is given out."""

from xpnn.data.collate import default_collate
from xpnn.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, TransformDataset, random_split
from xpnn.data.digits import Digits, load_digits
from xpnn.data.folder import ImageFolder, read_image
from xpnn.data.idx import read_idx
from xpnn.data.loader import DataLoader
from xpnn.data.mnist import MNIST, FashionMNIST
from xpnn.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
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

__all__ = [
    "MNIST",
    "BatchSampler",
    "CenterCrop",
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "OneHot",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomSampler",
    "Rescale",
    "Resize",
    "Sampler",
    "SequentialSampler",
    "Standardize",
    "Subset",
    "TensorDataset",
    "ToFloat",
    "Transform",
    "TransformDataset",
    "default_collate",
    "load_digits",
    "random_split",
    "read_idx",
    "read_image",
]
