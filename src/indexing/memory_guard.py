"""How many workers may run with the memory there is: fewer before it runs out, more again when there is room.

The decision is a pure function of a reading; the guard looks from time to time and tells who hands out permits.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Self

import structlog

from indexing.freed_memory import GIVE_BACK_SECONDS, give_back_freed_memory
from indexing.memory import MemoryReading, read_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from indexing.settings.schema import MemorySettings

log = structlog.get_logger(__name__)

RAISE_BELOW_POINTS = 10
"""Percentage points below ``max_percent`` at which a permit is given back, so that the limit does not flutter."""
_MIB = 1024 * 1024
_PLACES = {"host": "of this machine", "cgroup": "of the control group", "rlimit": "of the resource limit (ulimit)"}


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What the guard holds workers to."""

    max_percent: int
    max_worker_bytes: int
    check_seconds: float

    @classmethod
    def of(cls, settings: MemorySettings) -> Self:
        """Take over the group ``memory`` of the settings."""
        return cls(settings.max_percent, settings.max_memory_per_worker * _MIB, settings.check_seconds)

    @property
    def pressed_percent(self) -> float:
        """Percent above which nothing new is taken in: half of what is left above ``max_percent``."""
        return self.max_percent + (100 - self.max_percent) / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much may run now."""

    limit: int
    """permits that may be out, at least 1"""
    is_pressed: bool
    """whether intake is to stop until memory is freed: what runs goes on, nothing new is planned"""
    reason: str
    """empty when nothing is held back, else a sentence with the value, the limit and the remedy"""


def decide(reading: MemoryReading, *, limit_now: int, wanted: int, running: int, settings: GuardSettings) -> Verdict:
    """Return how many of the ``wanted`` permits may be out, one step away from ``limit_now``; at least 1.

    Above ``max_percent`` it is one less; well below, one more if the memory stays below ``max_percent`` with one more
    worker of ``max_worker_bytes``; in between as many as now. In no case more than fit: the ``running`` workers
    (those that have work in hand) and as many as the available bytes hold.

    Intake is never stopped while nothing runs: nothing would ever free the memory that others hold, and no job end.
    """
    wanted = max(1, wanted)
    percent = reading.percent
    limit = min(max(1, limit_now), wanted)
    if percent > settings.max_percent:
        limit -= 1
    elif percent < settings.max_percent - RAISE_BELOW_POINTS and _has_room_for_another(reading, settings):
        limit += 1
    fitting = max(0, running) + reading.available_bytes // settings.max_worker_bytes
    limit = max(1, min(limit, wanted, fitting))
    is_pressed = running > 0 and percent > settings.pressed_percent
    is_held_back = is_pressed or limit < wanted
    reason = _reason(reading, limit, wanted, is_pressed=is_pressed, settings=settings) if is_held_back else ""
    return Verdict(limit, is_pressed, reason)


class MemoryGuard:
    """Looks at the memory every ``check_seconds`` while its context is open, and once when it opens.

    ``wanted`` tells how many permits the settings ask for, ``running`` how many workers have work in hand (not those
    that wait for some). ``on_verdict`` is called on the event loop at the first look and whenever the limit, the
    pressure, or whether anything is held back changes. A reading that fails changes nothing. Once a minute what was
    freed and is still held goes back to the system.
    """

    def __init__(
        self,
        settings: GuardSettings,
        *,
        wanted: Callable[[], int],
        running: Callable[[], int],
        on_verdict: Callable[[Verdict], None],
        read: Callable[[], MemoryReading] = read_memory,
        give_back: Callable[[], None] = give_back_freed_memory,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._running = running
        self._on_verdict = on_verdict
        self._read = read
        self._give_back = give_back
        self._reading: MemoryReading | None = None
        self._verdict: Verdict | None = None
        self._is_blind = False
        self._task: asyncio.Task[None] | None = None

    @property
    def reading(self) -> MemoryReading | None:
        """What was read last; None before the first look that succeeded."""
        return self._reading

    @property
    def verdict(self) -> Verdict:
        """What was decided last; before the first look everything that is wanted may run."""
        return self._verdict or Verdict(max(1, self._wanted()), is_pressed=False, reason="")

    async def __aenter__(self) -> Self:
        await self.look()
        self._task = asyncio.create_task(self._watch(), name="memory guard")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop looking; raises what ``on_verdict`` raised, unless something else is being raised already."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.wait([task])
        if error is None:
            with suppress(asyncio.CancelledError):
                task.result()

    async def look(self) -> Verdict:
        """Read the memory in a thread and decide; to be called also when ``wanted`` has changed."""
        try:
            reading = await asyncio.to_thread(self._read)
        except OSError as error:
            if not self._is_blind:
                log.warning("memory.unreadable", error=str(error))
            self._is_blind = True
            return self.verdict
        self._is_blind = False
        wanted, before = max(1, self._wanted()), self._verdict
        verdict = decide(
            reading,
            limit_now=self._limit_now(wanted),
            wanted=wanted,
            running=self._running(),
            settings=self._settings,
        )
        self._reading, self._verdict = reading, verdict
        if before is None or _essence(before) != _essence(verdict):
            self._tell(verdict, was_held_back=before is not None and bool(before.reason))
        return verdict

    def _limit_now(self, wanted: int) -> int:
        """The limit that is in force; where memory held nothing back, what is wanted now comes into force at once."""
        if self._reading is None or self._verdict is None:
            return wanted
        is_free = not self._verdict.reason and self._reading.percent <= self._settings.max_percent
        return wanted if is_free else self._verdict.limit

    def _tell(self, verdict: Verdict, *, was_held_back: bool) -> None:
        if verdict.reason:
            log.warning("memory.held_back", limit=verdict.limit, pressed=verdict.is_pressed, reason=verdict.reason)
        elif was_held_back:
            log.info("memory.released", limit=verdict.limit)
        self._on_verdict(verdict)

    async def _watch(self) -> None:
        due = monotonic() + GIVE_BACK_SECONDS
        try:
            while True:
                await asyncio.sleep(self._settings.check_seconds)
                if monotonic() >= due:
                    await asyncio.to_thread(self._give_back)
                    due = monotonic() + GIVE_BACK_SECONDS
                await self.look()
        except Exception:
            # The body of the context may run for days before it sees the error.
            log.exception("memory.guard_ended")
            raise


def _has_room_for_another(reading: MemoryReading, settings: GuardSettings) -> bool:
    """Whether one more worker, as large as it may get, keeps the memory below ``max_percent``."""
    return 100 * (reading.used_bytes + settings.max_worker_bytes) <= settings.max_percent * reading.limit_bytes


def _essence(verdict: Verdict) -> tuple[int, bool, bool]:
    """What makes a verdict another one; the figures in its reason change with every look."""
    return verdict.limit, verdict.is_pressed, bool(verdict.reason)


def _reason(reading: MemoryReading, limit: int, wanted: int, *, is_pressed: bool, settings: GuardSettings) -> str:
    state = f"{reading.percent:.0f} % of the {reading.limit_bytes // _MIB} MiB {_PLACES[reading.source]} are in use"
    if reading.percent > settings.max_percent:
        why = f"above memory.max_percent = {settings.max_percent}"
    else:
        why = (
            f"{reading.available_bytes // _MIB} MiB are left for workers of up to {settings.max_worker_bytes // _MIB} "
            f"MiB (memory.max_memory_per_worker) below memory.max_percent = {settings.max_percent}"
        )
    effect = f"{limit} of {wanted} workers may run" + (" and no new files are taken in" if is_pressed else "")
    remedy = "give codetrove more memory, end other programs, or lower indexing.concurrent_workers"
    return f"{state}, {why}, so {effect}; {remedy}"
