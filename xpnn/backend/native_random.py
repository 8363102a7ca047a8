"""Uniform numbers by each library's own generator, for `RandomStream(rng="native")`.

Every draw starts a generator of its own from (seed, counter), so that a native stream, too, can be resumed
and replayed from its two numbers.
"""

from __future__ import annotations

import importlib

import numpy as np

from xpnn.backend.registry import Array, find_backend


def _numpy_uniform(shape: tuple[int, ...], like: Array, seed: int, counter: int) -> Array:
    return np.random.Generator(np.random.SFC64([seed, counter])).random(shape, dtype=np.float32)


def _torch_uniform(shape: tuple[int, ...], like: Array, seed: int, counter: int) -> Array:
    torch = importlib.import_module("torch")
    generator = torch.Generator(device=like.device)
    generator.manual_seed(int(np.random.SeedSequence([seed, counter]).generate_state(1, np.uint64)[0] >> 1))
    return torch.rand(shape, generator=generator, dtype=torch.float32, device=like.device)


find_backend("numpy").extra["uniform"] = _numpy_uniform
find_backend("torch").extra["uniform"] = _torch_uniform
