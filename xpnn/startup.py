"""The first tenths of a second of the program `xpnn`, in which everything is imported.

Ctrl-C then would show a traceback through whatever it happened to meet; instead it ends the program.
This is the first module that is imported, and does nothing in any other program.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

_INTERRUPTED = 128 + signal.SIGINT


def over() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(_INTERRUPTED)


def _is_the_program() -> bool:
    """Whether this is `xpnn`, or `python -m xpnn`, or a process that one of them has started.

    Of `python -m xpnn` a "-m" is seen while Python searches for the module, and then the path of its file.
    """
    program = getattr(sys, "argv", [""])[0]
    name = os.path.splitext(os.path.basename(program))[0]
    if name == "__main__":
        name = os.path.basename(os.path.dirname(program))
    return name == "xpnn" or (program == "-m" and "xpnn" in sys.orig_argv)


if (
    _is_the_program()
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _end)
