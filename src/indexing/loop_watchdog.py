"""Notices when the event loop is held up, and says by what.

Everything is decided on one thread: while it is blocked no job goes on, nobody is answered, and nothing on that thread
can tell. So another thread asks it for a sign of life.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

import structlog

if TYPE_CHECKING:
    from types import FrameType

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 0.25
HELD_UP_SECONDS: Final = 1.0
"""Without a sign of life the stack is logged, once for each time."""
STUCK_SECONDS: Final = 3.0
"""Without one the process is not healthy."""


class LoopWatchdog:
    """Watches the event loop that its context is entered in."""

    def __init__(self, *, beat: float = BEAT_SECONDS, held_up: float = HELD_UP_SECONDS) -> None:
        """Ask every ``beat`` seconds; without an answer for ``held_up`` seconds say so."""
        self._beat = beat
        self._held_up = held_up
        self._answered = monotonic()
        self._stop = threading.Event()
        self._told = False
        self.times_held_up = 0
        self._thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)

    @property
    def silent_seconds(self) -> float:
        """For how long the loop has given no sign of life; up to a beat while all is well."""
        return monotonic() - self._answered

    @property
    def is_stuck(self) -> bool:
        """Whether the loop has been silent for so long that the process is not healthy."""
        return self.silent_seconds > STUCK_SECONDS

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        self._loop = asyncio.get_running_loop()
        self._looked_at = threading.get_ident()
        self._answer()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Watch no more."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _answer(self) -> None:
        self._answered = monotonic()

    def _watch(self) -> None:
        while not self._stop.wait(self._beat):
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop was closed under a context that was never left
                return
            silent = self.silent_seconds
            if silent < self._held_up:
                self._told = False
            elif not self._told:
                self._told = True
                self.times_held_up += 1
                log.warning("loop.held_up", seconds=round(silent, 2), stack=_stack_of(self._looked_at))


def _stack_of(thread: int) -> str:
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way to look
    return "" if frame is None else "".join(traceback.format_stack(frame)).rstrip()
