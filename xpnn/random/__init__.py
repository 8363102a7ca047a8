"""Random numbers of the whole process: PyTorch's `torch.random`, and the sources that xpnn draws from."""

from xpnn.autograd.functions.random import (
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from xpnn.backend.random import (
    RandomStream,
    default_stream,
    fork_rng,
    host_generator,
    load_state_dict,
    set_rng,
    state_dict,
    use_stream,
)

__all__ = [
    "RandomStream",
    "default_generator",
    "default_stream",
    "fork_rng",
    "get_rng_state",
    "host_generator",
    "initial_seed",
    "load_state_dict",
    "manual_seed",
    "seed",
    "set_rng",
    "set_rng_state",
    "state_dict",
    "use_stream",
]
