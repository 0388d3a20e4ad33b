"""Follows one repository: listens to its tree, hands in jobs about what changed, and starts over after an error."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Final

import structlog

from indexing.live_job import ServiceClosed
from indexing.sources import display
from indexing.watch.dirt import CLEAN, WHOLE
from indexing.watch.errors import EventsEnded, EventsLost, EventsUnavailable, RootGone
from indexing.watch.handing_in import Forgotten, HandingIn
from indexing.watch.ledger import Ledger
from indexing.watch.listener import STEP_MS
from indexing.watch.records import Pending, WatchState
from indexing.watch.timing import delay
from indexing.watch.tree_events import TreeEvents

if TYPE_CHECKING:
    from indexing.settings import WatchSettings
    from indexing.watch.changes import Heard, Territory
    from indexing.watch.handing_in import Jobs

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final[dict[type[EventsEnded], tuple[float, float]]] = {
    EventsLost: (0.1, 30.0),
    EventsUnavailable: (15.0, 600.0),
    RootGone: (0.5, 15.0),
}
"""Before the next try to listen: after the first failure, and at most."""
STEADY_SECONDS: Final = 60.0
"""What went well for so long begins with a clean sheet when it fails."""
GATHERED_SECONDS: Final = 1.5 * STEP_MS / 1000
"""That a change has waited for others, on average, before it is heard of."""
PATIENT_TIMES: Final = 3
"""Times in a row that events were lost, after which directories with names that may have ended them are left out."""
_NOT_ALL: Final = (
    "directories that hold a name which is no UTF-8 are scanned only; rename the file to have events of them"
)
START_OVER_SECONDS: Final = (1.0, 60.0)
"""Before following begins again after an unexpected error: the first time, and at most."""


class Follower:
    """What is done about one repository while it is watched."""

    def __init__(self, uuid: str, territory: Territory, settings: WatchSettings, jobs: Jobs) -> None:
        """Prepare to follow the repository ``uuid``, whose tree ``territory`` describes."""
        self.uuid = uuid
        self.territory = territory
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._ledger = Ledger(settings.debounce_ms / 1000, settings.most_paths)
        self._handing_in = HandingIn(uuid, territory.root, settings, jobs, self._ledger)
        self._handing_in.uncovered = self._cover
        self._events: TreeEvents | None = None
        self._problem = ""

    @property
    def state(self) -> WatchState:
        """How it stands."""
        return WatchState(
            "scan" if self._events is None else "events",
            self._ledger.dirt.count,
            "; ".join(filter(None, (self._problem, self._handing_in.problem))),
            self._ledger.events,
            self._ledger.overflows,
            self._handing_in.scanned_at,
        )

    @property
    def pending(self) -> Pending | None:
        """What is not searchable yet; None where everything is that was heard of."""
        if self._handing_in.is_at_rest:
            return None
        dirt = self._ledger.dirt.joined(self._ledger.in_hand, self._settings.most_paths)
        return Pending(self.uuid, None if dirt.is_whole else dirt.count)

    async def rests(self) -> None:
        """Wait until everything is searchable that was heard of."""
        await self._handing_in.rests()

    async def run(self) -> None:
        """Follow until cancelled, or until the repository is forgotten or no more jobs are taken."""
        failures = 0
        while True:
            began = self._loop.time()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen(), name=f"listen-{self.uuid[:8]}")
                    group.create_task(self._handing_in.run(), name=f"hand-in-{self.uuid[:8]}")
            except ExceptionGroup as errors:
                if errors.subgroup((Forgotten, ServiceClosed)) is not None:
                    return
                failures = 1 if self._loop.time() - began > STEADY_SECONDS else failures + 1
                wait = delay(failures, first=START_OVER_SECONDS[0], most=START_OVER_SECONDS[1])
                self._problem = f"watching failed: {errors.exceptions[0]!r}; it begins again in {wait:g} s"
                trace = "".join(await asyncio.to_thread(traceback.format_exception, errors))
                log.error("watch.failed", repository=self.uuid, again_in_seconds=wait, traceback=trace)  # noqa: TRY400 - to format it reads files
                await asyncio.sleep(wait)
                self._problem = ""
                self._soil_all()

    async def _listen(self) -> None:
        """Listen until cancelled, as well as it goes."""
        # The first job tells which directories are not indexed, and need not be listened to.
        await self._handing_in.has_looked.wait()
        failures = lost = 0
        while True:
            began, wait = self._loop.time(), 0.0
            try:
                await self._listen_once(only_utf8=lost >= PATIENT_TIMES)
            except EventsEnded as error:
                if self._loop.time() - began > STEADY_SECONDS:
                    failures = lost = 0
                failures, lost = failures + 1, lost + isinstance(error, EventsLost)
                first, most = AGAIN_SECONDS[type(error)]
                wait = delay(failures, first=first, most=most)
                self._note(error, wait)
            self._soil_all()
            await asyncio.sleep(wait)

    async def _listen_once(self, *, only_utf8: bool) -> None:
        try:
            async with TreeEvents(
                self.territory,
                quiet=lambda: self._ledger.quiet,
                most=self._settings.most_paths,
                only_utf8=only_utf8,
                on_heard=self._hear,
            ) as events:
                self._events = events
                self._handing_in.is_told = True
                self._problem = _NOT_ALL if only_utf8 else ""
                # What happened before, nobody was told.
                self._soil_all()
                log.info("watch.listening", repository=self.uuid, directories=events.count)
                await events.ended()
        finally:
            self._events = None
            self._handing_in.is_told = False

    def _note(self, error: EventsEnded, wait: float) -> None:
        self._ledger.overflows += isinstance(error, EventsLost)
        if isinstance(error, RootGone):
            return
        shown = display(self.territory.root)
        self._problem = (
            f"no events of {shown!r}: {error}; it is scanned instead, and events are asked for in {wait:g} s"
        )
        log.warning("watch.no_events", repository=self.uuid, error=str(error), again_in_seconds=wait)

    def _hear(self, heard: Heard) -> None:
        self._ledger.hear(heard, self._loop.time() - GATHERED_SECONDS)
        self._handing_in.nudge()

    def _soil_all(self) -> None:
        self._ledger.soil(WHOLE, self._loop.time())
        self._handing_in.nudge()

    async def _cover(self, directories: frozenset[bytes]) -> None:
        """Listen to directories that are new; what happened in them meanwhile is found by one more look."""
        if self._events is None:
            return
        try:
            await self._events.cover(directories)
        except EventsEnded as error:
            if self._events is not None:
                self._events.fail(error)
            return
        self._ledger.soil(CLEAN.with_paths(directories, self._settings.most_paths), self._loop.time())
        self._handing_in.nudge()
