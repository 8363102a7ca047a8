"""An optimizer whose state is shared out: each process of a job keeps that of a part of the parameters.

See: Rajbhandari, Rasley, Ruwase & He (2020), "ZeRO: memory optimizations toward training trillion parameter
models", stage 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.autograd import Tensor, enable_grad
from xpnn.backend import ArgumentError, Group, ProcessError, expect_processes, is_array, namespace, to_numpy
from xpnn.optim.optimizer import Optimizer
from xpnn.optim.state import in_our_layout

__all__ = ["ZeroRedundancyOptimizer", "own_states", "shared_out"]


def shared_out(optimizer: Any) -> list[ZeroRedundancyOptimizer]:
    """The optimizers with a state that is shared out: this one, or those inside of one that wraps others.

    What wraps an optimizer holds it as an attribute, or in a list or dict that is one.
    """
    found: list[ZeroRedundancyOptimizer] = []
    seen: set[int] = set()

    def look(value: Any) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, ZeroRedundancyOptimizer):
            found.append(value)
        elif isinstance(value, list | tuple):
            for part in value:
                look(part)
        elif isinstance(value, dict):
            for part in value.values():
                look(part)
        elif hasattr(type(value), "step") and hasattr(value, "param_groups"):
            look(getattr(value, "__dict__", {}))

    look(optimizer)
    return found


@contextmanager
def own_states(objects: Iterable[Any]) -> Iterator[None]:
    """In the block each process's state dicts are of its own part, also within what wraps an optimizer."""
    sharing = [part for value in objects for part in shared_out(value)]
    for part in sharing:
        part.gives_own_part = True
    try:
        yield
    finally:
        for part in sharing:
            part.gives_own_part = False


class ZeroRedundancyOptimizer(Optimizer):
    """An optimizer of another class, of which each process updates a part of the parameters.

    Gradients must be those of all processes, as `DistributedDataParallel` or a Trainer makes them. A process
    updates the parameters that it owns, and sends them to the others: all of them have the same bits as
    without. The state of a parameter (two arrays as large as itself for Adam) is kept by its owner only.

    Args:
        params: as any optimizer takes them.
        optimizer_class: such as `optim.Adam`, with a formula for one parameter.
        process_group: the processes; None is all of them.
        parameters_as_bucket_view, overlap_with_ddp: are accepted as PyTorch writes them; the second one only
            as False.
        defaults: the options of `optimizer_class`.

    Attributes:
        optim: the optimizer that updates this process's part.

    `state_dict` is that of an `optimizer_class` without processes, and goes into one, or into any number of
    processes. All of them must have called `consolidate_state_dict` before; a Trainer does so.

    Raises: ProcessError without processes; ArgumentError for a class whose step is more than a formula, such
    as LBFGS.
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer_class: type[Optimizer],
        process_group: Group | None = None,
        parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False,
        **defaults: Any,
    ) -> None:
        self.group = expect_processes(process_group)
        if overlap_with_ddp:
            raise ArgumentError(
                "steps after the backward only",
                subject="ZeroRedundancyOptimizer",
                hint="Leave overlap_with_ddp out; gradients are sent while the backward runs all the same",
            )
        self.optim = optimizer_class(params, **defaults)
        if not self.optim.has_formula:
            raise ArgumentError(
                f"cannot share {optimizer_class.__name__} out, whose step is not one of each parameter alone",
                subject="ZeroRedundancyOptimizer",
                hint="Use optimizer_class=optim.Adam or another one with a formula",
            )
        super().__init__(self.optim.param_groups, self.optim.defaults)
        # One list of groups, so that a schedule acts on both.
        self.optim.param_groups, self.optim._repeated = self.param_groups, self._repeated
        self._owners: dict[str, int] = {}
        self._whole: dict[str, Any] | None = None
        self.gives_own_part = False

    def check_options(self, group: dict[str, Any]) -> None:
        """Raise ArgumentError for an option that is outside of its domain."""
        self.optim.check_options(group)

    @property
    def state(self) -> Any:
        """What this process keeps, for the parameters that it owns."""
        return self.optim.state

    @state.setter
    def state(self, state: Any) -> None:
        self.optim.state = state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; every process must call this alike."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._whole = None
        owners = self.owners()
        with self._own_gradients(owners):
            self.optim.step()
        self._share(owners)
        return loss

    def owners(self) -> dict[str, int]:
        """The process that updates each parameter, by name: the largest first, to whom has least as yet."""
        parameters = dict(self.named_parameters())
        new = [name for name in parameters if name not in self._owners]  # the others' state stays where it is
        if new:
            sizes = {name: parameter.numel() for name, parameter in parameters.items()}
            loads = [0] * self.group.size
            for name, owner in self._owners.items():
                loads[owner] += sizes[name]
            for name in sorted(new, key=lambda name: -sizes[name]):
                self._owners[name] = loads.index(min(loads))
                loads[self._owners[name]] += sizes[name]
        return self._owners

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Gather the state of all parameters in process `to`; every process must call this alike."""
        mine = {
            name: {slot: to_numpy(array) if is_array(array) else array for slot, array in slots.items()}
            for name, slots in self.own_state_dict()["state"].items()
        }
        parts = self.group.gather_object(mine, to)
        self._whole = None if parts is None else {name: s for part in parts for name, s in part.items()}

    def state_dict(self) -> dict[str, Any]:
        """The state of all processes, once `consolidate_state_dict` has gathered it here.

        Raises: ProcessError where it has not, or where a step was taken since.
        """
        if self.gives_own_part:
            return self.own_state_dict()
        if self._whole is None:
            raise ProcessError(
                f"has the state of its own part only, in rank {self.group.rank}",
                subject="ZeroRedundancyOptimizer",
                hint="Call consolidate_state_dict(to=rank) in every process before state_dict() in that one",
            )
        names = [name for name in self.owners() if name in self._whole]
        whole = {name: dict(self._whole[name]) for name in names}
        return {**self.own_state_dict(), "state": whole, "updated": names}

    def own_state_dict(self) -> dict[str, Any]:
        """The state of the parameters that this process owns, which `load_state_dict` takes as well."""
        return self.optim.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this process's part of the state of all. Raises: CheckpointError; then nothing was changed."""
        self.check_state_dict(state_dict)
        whole = in_our_layout(state_dict, self.optim)
        owners = self.owners()
        mine = [name for name in whole["state"] if owners[name] == self.group.rank]
        state = {name: whole["state"][name] for name in mine}
        self.optim.load_state_dict({**whole, "state": state, "updated": mine})
        self.schedules_stepped |= self.optim.schedules_stepped
        self._whole = None

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        self.optim.check_state_dict(state_dict)

    @contextmanager
    def _own_gradients(self, owners: dict[str, int]) -> Iterator[None]:
        """In the block only the parameters that this process owns have gradients."""
        others = [
            (parameter, parameter.grad)
            for name, parameter in self.named_parameters()
            if owners[name] != self.group.rank
        ]
        try:
            for parameter, _ in others:
                parameter.grad = None
            yield
        finally:
            for parameter, gradient in others:
                parameter.grad = gradient

    def _share(self, owners: dict[str, int]) -> None:
        """Send what each process has updated to all: its parameters of one element type in one message."""
        together: dict[tuple[int, str], dict[int, Tensor]] = {}
        for name, parameter in self.named_parameters():
            together.setdefault((owners[name], str(parameter.dtype)), {})[id(parameter)] = parameter
        for (owner, _), parameters in together.items():
            arrays = [parameter.array for parameter in parameters.values()]
            xp = namespace(*arrays)
            sent = self.group.broadcast(xp.concat([xp.reshape(array, (-1,)) for array in arrays]), owner)
            if owner == self.group.rank:
                continue
            start = 0
            for parameter, array in zip(parameters.values(), arrays):
                end = start + parameter.numel()
                parameter.store(xp.reshape(sent[start:end], array.shape))
                start = end
