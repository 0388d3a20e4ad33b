"""The first SIGINT or SIGTERM lets the work in hand be finished, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode
from indexing.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRAIN_SECONDS = 10.0
"""After this the process ends as if a second signal had come (design: drain to a deadline)."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def draining(
    stop: Callable[[], None],
    *,
    drain_seconds: float = DRAIN_SECONDS,
    message: str = "finishing what is in hand; press Ctrl-C again to stop at once",
) -> Iterator[None]:
    """Say ``message`` and call ``stop`` at the first signal; at the second, or later, end the process with 130.

    Later means ``drain_seconds`` after the first.
    Must be entered on a running event loop's thread. Handlers that were there come back; a signal that is ignored
    (a job in the background of a shell script) stays ignored.
    """
    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    deadline: asyncio.TimerHandle | None = None

    def handle() -> None:
        nonlocal deadline
        if deadline is not None:
            stop_at_once("stopped at once; what was committed stays, 'codetrove index' goes on from there")
        say(f"codetrove: {message}")
        overdue = f"not finished after {drain_seconds:.0f} s, stopped at once; what was committed stays"
        deadline = loop.call_later(drain_seconds, stop_at_once, overdue)
        stop()

    installed = [number for number in _SIGNALS if former[number] is not signal.SIG_IGN]
    for number in installed:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        if deadline is not None:
            deadline.cancel()
        for number in installed:
            loop.remove_signal_handler(number)
            signal.signal(number, former[number])


def stop_at_once(message: str) -> None:
    """Say why and end the process without any further step; everything on disk is made for that."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\r" + _SHOW_CURSOR)
    os.write(sys.stderr.fileno(), f"codetrove: {message}\n".encode())
    os._exit(ExitCode.INTERRUPTED)
