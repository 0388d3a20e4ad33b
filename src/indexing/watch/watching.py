"""Automatic re-indexing: one follower for each repository, side by side, none of which ends another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import structlog

from indexing.watch.changes import Territory
from indexing.watch.following import Follower
from indexing.watch.handing_in import Forgotten, Jobs
from indexing.watch.records import OFF

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from indexing.settings import WatchSettings
    from indexing.watch.records import Pending, WatchState
    from storage import JobOrigin, Repository

log = structlog.get_logger(__name__)

ON_ITS_WAY_SECONDS: Final = 0.08
"""That a change may need from the system to the event loop."""


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    follower: Follower
    task: asyncio.Task[None]


class Watching:
    """Watches all repositories inside its context, as long as that is wanted."""

    def __init__(
        self,
        settings: WatchSettings,
        *,
        repositories: Callable[[], Awaitable[Sequence[Repository]]],
        submit: Callable[[Repository, Sequence[bytes] | None, JobOrigin], Awaitable[str]],
        wait: Callable[[str], Awaitable[object]],
        enabled: Callable[[], bool],
        ignored: tuple[bytes, ...],
    ) -> None:
        """Prepare; ``ignored`` are absolute directories that are of no tree, such as the data directory.

        ``submit`` takes a job about some paths, or all, and returns its id; ``wait`` waits until it is over and raises
        what made it fail. Nothing is watched while ``enabled`` says no.
        """
        self._settings = settings
        self._repositories = repositories
        self._jobs = Jobs(self._current, submit, wait)
        self._enabled = enabled
        self._ignored = ignored
        self._followed: dict[str, _Followed] = {}
        self._refreshing = asyncio.Lock()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        await self.refresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Watch no more; jobs that were handed in go on."""
        self._is_closed = True
        async with self._refreshing:
            await self._end(list(self._followed))

    async def refresh(self) -> None:
        """Follow those repositories, and only those, that there are now, or none where that is not wanted.

        Raises what ``repositories`` raises.
        """
        async with self._refreshing:
            if self._is_closed:
                return
            wanted = self._territories(await self._repositories()) if self._enabled() else {}
            former = {uuid: each.follower.territory for uuid, each in self._followed.items() if not each.task.done()}
            await self._end([uuid for uuid in self._followed if wanted.get(uuid) != former.get(uuid)])
            for uuid, territory in wanted.items():
                if uuid not in self._followed:
                    follower = Follower(uuid, territory, self._settings, self._jobs)
                    task = asyncio.create_task(follower.run(), name=f"watch-{uuid[:8]}")
                    task.add_done_callback(_log_end)
                    self._followed[uuid] = _Followed(follower, task)

    def state_of(self, uuid: str) -> WatchState:
        """Return how a repository is watched."""
        followed = self._followed.get(uuid)
        return OFF if followed is None or followed.task.done() else followed.follower.state

    async def settled(self, uuids: Iterable[str], deadline: float) -> list[Pending]:
        """Wait until what has changed in some repositories is searchable, at most until ``deadline`` (of the loop).

        Returns what is not. Changes that no event told, where there are none, are not waited for.
        """
        loop = asyncio.get_running_loop()
        followers = [
            each.follower for uuid in uuids if (each := self._followed.get(uuid)) is not None and not each.task.done()
        ]
        if followers:
            await asyncio.sleep(max(0.0, min(ON_ITS_WAY_SECONDS, deadline - loop.time())))
            resting = [asyncio.ensure_future(follower.rests()) for follower in followers]
            try:
                await asyncio.wait(resting, timeout=max(0.0, deadline - loop.time()))
            finally:
                for task in resting:
                    task.cancel()
                await asyncio.gather(*resting, return_exceptions=True)
        return [pending for follower in followers if (pending := follower.pending) is not None]

    async def _end(self, uuids: Sequence[str]) -> None:
        ending = [self._followed.pop(uuid).task for uuid in uuids]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    def _territories(self, repositories: Sequence[Repository]) -> dict[str, Territory]:
        roots = [repository.root.path for repository in repositories]
        return {
            repository.uuid: Territory(
                repository.root.path,
                tuple(sorted(each for each in (*self._ignored, *roots) if _is_inside(each, repository.root.path))),
            )
            for repository in repositories
        }

    async def _current(self, uuid: str) -> Repository:
        for repository in await self._repositories():
            if repository.uuid == uuid:
                return repository
        raise Forgotten(uuid)


def _is_inside(path: bytes, root: bytes) -> bool:
    return path.startswith(root.rstrip(b"/") + b"/")


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("watch.ended", task=task.get_name(), error=repr(error))
