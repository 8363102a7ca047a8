"""Worker processes: each makes batches by a recipe, for the thread that asks it.

A process gets the recipe once, then one request at a time, and answers with the batch or with what went
wrong. It ends when its pipe is closed, or when the process that started it is gone, however that came.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random as python_random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from xpnn.backend import (
    ArgumentError,
    DataError,
    get_backend,
    get_device,
    is_tensor,
    manual_seed,
    set_backend,
    set_num_threads,
)
from xpnn.data.recipe import Recipe, Target
from xpnn.data.seeding import stream_at
from xpnn.data.workers import WorkerInfo, enter_worker

_LOOK = 0.25  # seconds between looks whether the program goes on
GRACE = 2.0  # seconds that a process gets to end, or a persistent one to end a batch, by itself
_SEEDS = 2**32  # of Python's and NumPy's own generators


class Processes:
    """Worker processes of a DataLoader, one for each info.

    Args:
        recipe: is pickled for each process, unless the context forks.
        infos: who they are; what they say of the dataset is replaced by the process's own copy.
        context: a context of `multiprocessing`, or its name.
        begin: is called with its number in each process at first.

    Batches that xpnn collates come as NumPy arrays, which `settled` makes Tensors of.

    Raises: DataError for what cannot be pickled; ArgumentError for a context that there is not.
    """

    def __init__(
        self, recipe: Recipe, infos: list[WorkerInfo], context: Any, begin: Callable[[int], Any] | None
    ) -> None:
        self._workers: list[_Worker] = []
        try:
            made = multiprocessing.get_context(context) if isinstance(context, str) else context
        except ValueError as error:
            raise ArgumentError(
                f"expects multiprocessing_context as one of {multiprocessing.get_all_start_methods()}, "
                f"got {context!r}",
                subject="DataLoader",
            ) from error
        try:
            recipe = replace(recipe, tensors=False)
            for info in infos:
                self._workers.append(_Worker(made, recipe, replace(info, dataset=None), begin))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.close()
            raise DataError(
                f"cannot send the dataset, transforms, collate_fn or worker_init_fn to a process: {error}",
                subject="DataLoader",
                hint="Define their functions and classes at the top of a module, or use threads by "
                "multiprocessing_context=None",
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether all of them can be asked."""
        return bool(self._workers) and all(
            worker.process.is_alive() and not worker.interrupted for worker in self._workers
        )

    def load(self, number: int, seed: int, epoch: int, numbered: tuple[int, Any]) -> Any:
        """The batch that the process of that number makes of a numbered list of indices."""
        return self._workers[number].ask(("load", seed, epoch, numbered))

    def read(self, number: int) -> Iterator[Any]:
        """The batches that the process of that number reads from its IterableDataset."""
        worker = self._workers[number]
        worker.ask(("begin",))
        while (answer := worker.ask(("next",))) is not None:
            yield answer[0]

    def interrupt(self) -> None:
        """End those that are at work, so that nobody waits for them."""
        for worker in self._workers:
            if worker.busy:
                worker.interrupted = True  # it may have answered before, and be alive for a moment yet
                worker.process.terminate()

    def close(self) -> None:
        """End all of them. No thread may be asking any more."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.connection.close()
        end = time.monotonic() + GRACE
        for worker in workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join(GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()


class _Worker:
    """A process and the way to it."""

    def __init__(
        self, context: Any, recipe: Recipe, info: WorkerInfo, begin: Callable[[int], Any] | None
    ) -> None:
        self.connection, theirs = context.Pipe()
        self.number = info.id
        self.busy = False
        self.interrupted = False
        self._lock = threading.Lock()
        self.process = context.Process(
            target=_serve,
            args=(
                theirs,
                self.connection if context.get_start_method() == "fork" else None,
                recipe,
                info,
                begin,
            ),
            name=f"xpnn-loader-{info.id}",
            daemon=True,
        )
        try:
            self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()

    def ask(self, request: tuple[Any, ...]) -> Any:
        """What the process answers. Raises: what it raised; DataError if it has died."""
        with self._lock:
            self.busy = True
            try:
                self.connection.send(request)
                while not wait([self.connection, self.process.sentinel], _LOOK):
                    if not threading.main_thread().is_alive():  # the program ends, and waits for this thread
                        self.process.terminate()
                if not self.connection.poll():
                    raise EOFError
                answer, failure = _receive(self.connection)
            except (EOFError, OSError):
                raise self._death(request) from None
            finally:
                self.busy = False
        if failure is not None:
            error, text = failure
            raise error from _WorkerTracebackError(f'\n"""\n{text}"""')
        return answer

    def _death(self, request: tuple[Any, ...]) -> DataError:
        self.process.join(GRACE)
        code = self.process.exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            hint = "Is the memory used up? Fewer workers or smaller batches need less"
        else:
            how = f"ended with exit code {code}"
            hint = (
                "What it wrote before stands above. A script that starts processes must do so below "
                '`if __name__ == "__main__":`, as each of them imports it'
            )
        what = f" while loading batch {request[3][0]} of epoch {request[2]}" if request[0] == "load" else ""
        return DataError(
            f"has lost worker process {self.number} (pid {self.process.pid}), which {how}{what}",
            subject="DataLoader",
            hint=hint,
        )


class _WorkerTracebackError(Exception):  # the cause of an error, as it came about in the other process
    """The traceback of a worker process, as text."""

    def __str__(self) -> str:
        return self.args[0]


def settled(batch: Any, recipe: Recipe, finish: Callable[[Any], Any]) -> Any:
    """A batch of a process in this one: Tensors of the current backend instead of NumPy's."""
    if recipe.collates:
        return _mapped(
            batch, lambda value: isinstance(value, np.ndarray) and value.dtype.kind in "biufc", finish
        )
    return _mapped(batch, is_tensor, finish)


def _mapped(value: Any, chosen: Callable[[Any], bool], function: Callable[[Any], Any]) -> Any:
    """`value` with a function applied to chosen things in tuples, lists and dicts, which keep their types."""
    if chosen(value):
        return function(value)
    if isinstance(value, dict):
        items = {key: _mapped(entry, chosen, function) for key, entry in value.items()}
        if type(value) is dict:
            return items
        value.update(items)
        return value
    if isinstance(value, tuple | list):
        entries = [_mapped(entry, chosen, function) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return value


def _serve(
    connection: Connection,
    others: Connection | None,
    recipe: Recipe,
    info: WorkerInfo,
    begin: Callable[[int], Any] | None,
) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the loop is interrupted, and ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_the_parent, daemon=True).start()
    if others is not None:  # a fork's copy of the other end, which would keep the pipe open for ever
        others.close()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        host = _settle_down(replace(info, dataset=recipe.dataset))
        failure = _failure_of(begin, info.id) if begin is not None else None
        items: Iterator[Any] = iter(())
        while True:
            request = connection.recv()
            if failure is not None:
                _send(connection, (None, failure))
                continue
            try:
                if request[0] == "load":
                    _, seed, epoch, numbered = request
                    _seed_others(stream_at(seed, epoch, numbered[0]).seed)
                    answer = recipe.load(seed, epoch, host, numbered)
                elif request[0] == "begin":
                    answer, items = None, recipe.read(host, replace(info, dataset=recipe.dataset))
                else:
                    answer = next(((item,) for item in items), None)
                _send(connection, (answer, None))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                _send(connection, (None, _portable(error)))


def _follow_the_parent() -> None:
    """End this process, whatever it is at, when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _settle_down(info: WorkerInfo) -> Target:
    """Make this process that worker: arrays on the host, one thread, seeds of its own."""
    set_backend("numpy")
    set_num_threads(1)
    enter_worker(info)
    manual_seed(info.seed)
    _seed_others(info.seed)
    return Target(get_backend(), get_device())


def _seed_others(seed: int) -> None:
    """Seed the generators that are not xpnn's, but which datasets of the user's may draw from."""
    python_random.seed(seed)
    np.random.seed(seed % _SEEDS)


def _failure_of(begin: Callable[[int], Any], number: int) -> tuple[Exception, str] | None:
    try:
        begin(number)
    except Exception as error:
        error.add_note(f"(in worker_init_fn of worker {number})")
        return _portable(error)
    return None


def _portable(error: Exception) -> tuple[Exception, str]:
    """An error that can be pickled, and its traceback as text."""
    text = traceback.format_exc()
    try:
        copy = pickle.loads(pickle.dumps(error))
        if str(copy) == str(error):
            return error, text
    except Exception:  # whatever an error of the user's does when it is pickled
        pass
    return DataError(f"got {type(error).__name__} in a worker process: {error}", subject="DataLoader"), text


def _send(connection: Connection, message: Any) -> None:
    """Send a message, its arrays' values beside it without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(_with_whole_arrays(message), protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    connection.send_bytes(pickle.dumps((body, [view.nbytes for view in views])))
    for view in views:
        _write(connection, view)


def _receive(connection: Connection) -> Any:
    """A message of `_send`."""
    body, sizes = pickle.loads(connection.recv_bytes())
    return pickle.loads(body, buffers=[_read(connection, size) for size in sizes])


def _with_whole_arrays(message: Any) -> Any:
    """Arrays that are contiguous, as only those are sent without a copy."""
    return _mapped(message, lambda value: isinstance(value, np.ndarray), np.ascontiguousarray)


if os.name == "posix":

    def _write(connection: Connection, view: memoryview) -> None:
        while view.nbytes:
            view = view[os.write(connection.fileno(), view) :]

    def _read(connection: Connection, size: int) -> np.ndarray:
        values = np.empty(size, dtype=np.uint8)
        rest = memoryview(values)
        while rest.nbytes:
            count = os.readv(connection.fileno(), [rest])
            if not count:
                raise EOFError
            rest = rest[count:]
        return values

else:

    def _write(connection: Connection, view: memoryview) -> None:
        connection.send_bytes(view)

    def _read(connection: Connection, size: int) -> np.ndarray:
        values = np.empty(size, dtype=np.uint8)
        connection.recv_bytes_into(memoryview(values))
        return values
