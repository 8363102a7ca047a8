"""The loop: epochs, batches, optimizer steps and schedules, and where validation comes between."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import AnomalyError, ArgumentError, idioms
from xpnn.optim import Optimizer, clip_grad_norm_, clip_grad_value_
from xpnn.optim.state import as_python
from xpnn.train.evaluation import EMPTY, Evaluation
from xpnn.train.limits import knows_its_position, length_of
from xpnn.train.optimization import Schedule, evaluates_again
from xpnn.train.tasks import detached, raw, size_of, target_of


class Loop(Evaluation):
    """The part of a Trainer that trains. What it goes by is set by the Trainer's constructor."""

    # -- epochs

    def _run_epoch(self) -> None:
        """One epoch, or what is left of it."""
        if not self._trained:
            samples, started = self.samples, time.perf_counter()
            self._train_epoch()
            measures = self._measures()  # waits for the device, so that the clock can be read
            self.throughput = (self.samples - samples) / max(time.perf_counter() - started, 1e-9)
            if self._halted:
                return
        else:
            measures = self._measures()
        if "loss" in measures:
            self._check_finite(measures["loss"])
        if self._validates_at_the_end():
            measures |= self._validate_within()
            self._due = False
        else:
            measures |= self._between  # of the validations in the course of the epoch
        measures |= self._learning_rate()

        self._resumable = False
        self._stage = self._training
        self._call("on_train_epoch_end", self._callback_module)
        self._task.hook("on_train_epoch_end")
        self._training.collect(self._training.taken())
        measures |= self._training.logged.epoch_measures(self._team)
        measures = self._team.gathered(measures)[0]  # all processes decide by the same numbers
        self.callback_metrics.update(measures)
        self._step_schedules("epoch", measures)
        self._training.logged.reset_metrics()
        self.epoch, self.batch, self._trained = self.epoch + 1, 0, False
        variants = self._training.logged.variants()
        row = {name: value for name, value in measures.items() if name not in variants}
        self.history.add({"epoch": self.epoch, **row})
        self._log({**self._training.logged.written(measures), "epoch": self.epoch - 1})
        self._call("on_epoch_end", measures)
        self._resumable = True

    def _train_epoch(self) -> None:
        """The batches of an epoch that are left."""
        loader = self._loader
        if self.batch == 0:
            self._meters, self._between = self._meters.fresh(), {}
            self._training = self._new_stage("train")
        elif not knows_its_position(loader):
            loader = itertools.islice(loader, self.batch, None)
        self._stage = self._training
        self._call("on_epoch_start")
        if self.batch == 0:
            self._call("on_train_epoch_start", self._callback_module)
            self._task.hook("on_train_epoch_start")
            self._training.collect(self._training.taken())
        elif self._due:
            self._between = self._validate_within()
            self._due = False
        for batch in loader:
            if not self._train_batch(batch):
                break
            self._check_interrupt()
            if self._due:
                self._between = self._validate_within()
                self._due = False
            if self._ends_now() and self.batch != length_of(self._loader):
                self._halted = True
                return
        if self.batch == 0:
            raise _error(EMPTY)
        self._team.share_buffers()
        self._resumable = False
        self._finish_group()
        self._trained = self._resumable = True

    def _train_batch(self, batch: Any) -> bool:
        """One batch of training; False if a hook has ended the epoch."""
        self._resumable = False
        index = self.batch
        stage = self._stage = self._training
        stage.by_step = stage.batches = True
        batch = self._received(batch)
        skipped = [self._call("on_train_batch_start", self._callback_module, batch, index)]
        skipped.append(self._task.hook("on_train_batch_start", batch, index))
        if -1 in skipped:
            return False
        size = size_of(batch)
        self._begin_together(size)
        step = self._compiled.get("train", self._step)
        with self._team.own_noise(self.batches):
            loss, outputs, logged = step(batch, index)
        self._has_stepped |= bool(self._compiled)  # which a step that is compiled says when it is traced only
        self._meters.update(loss, outputs, target_of(batch), size)
        stage.collect(logged, size)
        self._count_steps()
        self.batch, self.batches = self.batch + 1, self.batches + 1
        self.samples += self._total
        self._call("on_train_batch_end", self._callback_module, outputs, batch, index)
        self._task.hook("on_train_batch_end", outputs, batch, index)
        stage.collect(stage.taken(), size)
        stage.by_step = stage.batches = False
        if self.batches % self.log_every_n_steps == 0:
            self._log_step()
        self._due = self._validates_now()
        self._resumable = True
        self._call("on_batch_end")
        return True

    def _begin_together(self, size: int) -> None:
        """Agree with the team on the samples of a step, and on whether the run ends after it."""
        shares = not self._task.is_automatic or self._ends_group()
        wishes = (self._interrupt.noted, int(self._is_late()))
        self._total, (signal, late) = self._team.begin_step(size, wishes, shares)
        if self._team.size > 1:
            if signal:  # else one that has just come to this process is told of at the next batch
                self._interrupt.note(signal)
            self._ends_together, self._late = signal > 0, late > 0

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _ends_now(self) -> bool:
        """Whether the run ends in the middle of an epoch."""
        late = self._is_late() if self._team.size == 1 else self._late
        if late and not self._must_go_on():
            self._out_of_time = True
            return True
        return self._stops_at_once or (0 <= self.max_steps <= self.global_step)

    def _must_go_on(self) -> bool:
        """Whether the least number of epochs or steps is still to come."""
        return self.epoch < (self.min_epochs or 0) or self.global_step < (self.min_steps or 0)

    def _log_step(self) -> None:
        """Give the loggers what was logged by step."""
        if self.loggers:
            measures = self._training.logged.step_measures()
            if measures:
                self._log({**measures, "epoch": self.epoch})

    def _measures(self) -> dict[str, Any]:
        """The measures of the running epoch: the loss, the metrics, and what was logged."""
        found = self._meters.read(self._team) if self._team.any(self._meters.has_batches) else {}
        logged = self._training.logged.epoch_measures(self._team)
        self.callback_metrics.update({**logged, **found})
        self.progress_bar_metrics.update(self._training.logged.shown(logged))
        return found | logged

    # -- validation

    def _validates_at_the_end(self) -> bool:
        if not self._has_validation() or (self.epoch + 1) % (self.check_val_every_n_epoch or 1):
            return False
        return self._val_every is None

    def _validates_now(self) -> bool:
        """Whether a validation comes after this batch, before the end of the epoch."""
        if self._val_every is None or not self._has_validation():
            return False
        if self.check_val_every_n_epoch is None:
            return self.batches % self._val_every == 0
        if (self.epoch + 1) % self.check_val_every_n_epoch:
            return False
        return self.batch % self._val_every == 0

    def _check_interval(self, loader: Any) -> int | None:
        """After how many batches a validation comes; None at the end of the epoch."""
        interval = self.val_check_interval
        if interval is None or (isinstance(interval, float) and interval == 1.0):
            return None
        length = length_of(loader)
        if isinstance(interval, float):
            if length is None:
                raise _error(
                    "expects val_check_interval as a number of batches for a loader without a length, got "
                    f"{interval}"
                )
            return max(int(length * interval), 1)
        if length is not None and interval > length and self.check_val_every_n_epoch is not None:
            raise _error(
                f"expects val_check_interval of at most the {length} batches of an epoch, got {interval}",
                "To count over epochs, give check_val_every_n_epoch=None",
            )
        return interval

    # -- steps

    def _step(self, batch: Any, index: Any) -> tuple[Any, Any, dict[str, Any]]:
        """One batch of training; may be compiled. The loss, the outputs, and what was logged."""
        task = self._task
        if not task.is_automatic or not task.optimizers:
            with self.precision.forward():
                loss, outputs = task.training(batch, index)
            return detached(loss), raw(outputs), self._stage.taken()
        optimizer = task.optimizers[0]
        found: dict[str, Any] = {"loss": None, "outputs": None}
        steps = self._ends_group()
        own = size_of(batch)
        size = own if self._team.size == 1 else self._total

        def closure() -> Any:
            if self._group.count == 0 or found["loss"] is not None:
                self._call("on_before_zero_grad", self._callback_module, optimizer)
                task.zero_grad(optimizer, index)
            with self.precision.forward():
                loss, outputs = task.training(batch, index)
            if loss is None:
                return None
            found["loss"], found["outputs"] = detached(loss), raw(outputs)
            self._call("on_before_backward", self._callback_module, loss)
            task.hook("on_before_backward", loss)
            weight = (size / self._group.first) if self._group.unlike(size) else 1.0
            weight *= own * self._team.size / size if size else 1.0
            self.backward(loss if weight == 1.0 else loss * weight)
            self._call("on_after_backward", self._callback_module)
            task.hook("on_after_backward")
            if steps:
                self._make_ready(optimizer, size)
            return detached(loss)

        if steps:
            task.take_step(optimizer, closure, index)
        else:
            closure()
        self._has_stepped = steps and found["loss"] is not None
        if found["loss"] is not None:
            self._group.add(size)
        if self._has_stepped:
            self._group.clear()
            self._step_schedules("step", self.callback_metrics)
        return found["loss"], found["outputs"], self._stage.taken()

    def _ends_group(self) -> bool:
        """Whether the optimizer steps after this batch."""
        length = length_of(self._loader)
        at_the_end = length is not None and self.batch + 1 >= length
        return self._group.count + 1 >= self.accumulate_grad_batches or at_the_end

    def _finish_group(self) -> None:
        """Step with the gradients of a last group that is short, where that came as a surprise."""
        if not self._group.count:
            return
        optimizer = self._task.optimizers[0]
        self._make_ready(optimizer, 0)
        self._task.take_step(optimizer, lambda: None, self.batch)
        self._group.clear()
        self._has_stepped = True
        self._step_schedules("step", self.callback_metrics)
        self._count_steps()

    def _make_ready(self, optimizer: Optimizer, size: int) -> None:
        """From the sum of gradients to their mean over the samples, unscaled and clipped."""
        factor = self._group.factor(size)
        if factor != 1.0:
            for _, parameter in optimizer.named_parameters():
                if parameter.grad is not None:
                    parameter.grad.store(parameter.grad.array * factor)
        if self.precision.scaler is not None:
            self.precision.scaler.unscale_(optimizer)
        self._call("on_before_optimizer_step", self._callback_module, optimizer)
        self._task.hook("on_before_optimizer_step", optimizer)
        self._task.clip(optimizer)

    def step_optimizer(
        self, optimizer: Optimizer, closure: Callable[[], Any] | None = None, **kwargs: Any
    ) -> Any:
        """Take an optimizer step, by way of the scaler where there is one."""
        scaler = self.precision.scaler
        if not self._task.is_automatic:
            self._steps_by_hand += 1
        if scaler is None and closure is not None and evaluates_again(optimizer):
            return optimizer.step(closure, **kwargs)
        loss = None if closure is None else closure()
        if closure is not None and loss is None and not self._group.count:
            return None  # the batch is skipped
        if scaler is None:
            optimizer.step(**kwargs)
        else:
            scaler.step(optimizer, **kwargs)
            scaler.update()
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients of a loss, scaled where mixed precision asks for it."""
        scaler = self.precision.scaler
        if scaler is None:
            loss.backward(*args, **kwargs)
            return
        with idioms.overflowing():  # which the scaler looks for
            scaler.scale(loss).backward(*args, **kwargs)

    def clip_gradients(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of an optimizer's parameters; what is None is as the Trainer was told."""
        limit = self.gradient_clip_val if gradient_clip_val is None else gradient_clip_val
        if limit is None:
            return
        parameters = [parameter for _, parameter in optimizer.named_parameters()]
        how = gradient_clip_algorithm or self.gradient_clip_algorithm or "norm"
        if how not in ("norm", "value"):
            raise _error(f"expects gradient_clip_algorithm as 'norm' or 'value', got {how!r:.60}")
        (clip_grad_norm_ if how == "norm" else clip_grad_value_)(parameters, limit)

    def _count_steps(self) -> None:
        self.global_step += int(self._has_stepped) + self._steps_by_hand
        self._has_stepped, self._steps_by_hand = False, 0

    # -- schedules

    def _step_schedules(self, interval: str, measures: dict[str, Any]) -> None:
        if not self._task.is_automatic or self.pauses_schedules:
            return
        done = (self.epoch if interval == "epoch" else self.global_step) + 1
        for schedule in self._task.schedules:
            if schedule.interval != interval or (schedule.frequency > 1 and done % schedule.frequency):
                continue
            if not schedule.scheduler.watches:
                self._task.step_schedule(schedule, None)
                continue
            metric = self._watched(schedule, measures)
            if metric is not None:
                self._task.step_schedule(schedule, metric)

    def _watched(self, schedule: Schedule, measures: dict[str, Any]) -> Any:
        name = schedule.monitor or self.monitored(measures)
        known = {**self.callback_metrics, **measures}
        if name in known:
            return known[name]
        if schedule.strict:
            raise _error(
                f"has a schedule that monitors '{name}', which this run does not measure",
                f"There are: {', '.join(known)}. Log it, or give the schedule another monitor",
            )
        return None

    def _learning_rate(self) -> dict[str, float]:
        optimizers = self._task.optimizers
        return {"lr": float(as_python(optimizers[0].param_groups[0]["lr"]))} if optimizers else {}

    # -- helpers

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss) or self.nan_loss == "ignore":
            return
        problem = f"the training loss became {loss} in epoch {self.epoch + 1}, by batch {self.batch}"
        hint = (
            "Lower the learning rate, clip the gradients (max_grad_norm=1.0), or look for the origin with "
            "xpnn.detect_anomaly(); nan_loss='ignore' goes on"
        )
        if self.nan_loss == "raise":
            raise AnomalyError(problem, hint=hint)
        warnings.warn(f"{problem}. {hint}", RuntimeWarning, stacklevel=2)


class Group:
    """The batches whose gradients are summed up for one optimizer step.

    Attributes:
        count: batches so far. first: the size of the first. total: samples so far.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.count = self.first = self.total = 0

    def add(self, size: int) -> None:
        """Count a batch."""
        self.first = self.first if self.count else size
        self.count, self.total = self.count + 1, self.total + size

    def unlike(self, size: int) -> bool:
        """Whether a batch has another size than the first, so that its mean loss weighs differently."""
        return self.count > 0 and size != self.first and self.first > 0

    def factor(self, size: int) -> float:
        """What makes the sum of gradients their mean over the samples, with a last batch of a size."""
        total = self.total + size
        return self.first / total if self.count and total else 1.0


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="Trainer", hint=hint)
