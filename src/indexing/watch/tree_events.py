"""The events of one tree, brought to the event loop as what they make dirty."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, Self

from indexing.watch.changes import Heard, hear
from indexing.watch.directories import directories_below, is_directory
from indexing.watch.dirt import WHOLE_TREE
from indexing.watch.errors import EventsEnded, RootGone
from indexing.watch.listener import LISTENS_TO_TREES, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from indexing.watch.changes import Change, Territory

FEW_DIRECTORIES: Final = 500
"""That a second listener takes on, as they appear, before the first is made anew with all of them."""
FEW_SHARE: Final = 4
"""In large trees, a fraction of this instead."""


class TreeEvents:
    """Listens to a tree inside its context.

    Every directory is listened to by one of two listeners. The first knows those that were there at the start; the
    second is made anew, which is cheap while it has few, whenever directories appear.
    """

    def __init__(
        self,
        territory: Territory,
        *,
        quiet: Callable[[], frozenset[bytes]],
        most: int,
        only_utf8: bool,
        on_heard: Callable[[Heard], None],
    ) -> None:
        """Prepare; ``on_heard`` is called on the event loop, ``quiet`` gives the directories that are not indexed.

        With ``only_utf8`` nothing is heard of directories that hold a name which is no UTF-8: to touch or even open
        such a file ends all events.
        """
        self._territory = territory
        self._quiet = quiet
        self._most = most
        self._only_utf8 = only_utf8
        self._on_heard = on_heard
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[NoReturn] = self._loop.create_future()
        self._first: Listener | None = None
        self._second: Listener | None = None
        self.count = 0
        """Directories that were listened to at the start."""
        self._later: set[bytes] = set()

    async def __aenter__(self) -> Self:
        """Begin to listen; raises ``EventsUnavailable`` and ``RootGone``."""
        try:
            await self._begin_anew()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more."""
        listeners = [listener for listener in (self._first, self._second) if listener is not None]
        self._first = self._second = None
        await asyncio.shield(asyncio.to_thread(_close, listeners))
        if self._ended.done():
            self._ended.exception()
        else:
            self._ended.cancel()

    async def ended(self) -> NoReturn:
        """Wait until the events end, and raise why: ``EventsLost`` or ``RootGone``."""
        await asyncio.shield(self._ended)

    def fail(self, error: EventsEnded) -> None:
        """Have ``ended`` raise this."""
        if not self._ended.done():
            self._ended.set_exception(error)

    async def cover(self, directories: Iterable[bytes]) -> None:
        """Listen also to these, relative to the root, and to what is below them.

        What happened in them before this returns may not have been told. Raises ``EventsUnavailable``.
        """
        if LISTENS_TO_TREES:
            return
        found = await asyncio.to_thread(self._find, directories)
        if not found:
            return
        self._later.update(found)
        if len(self._later) > max(FEW_DIRECTORIES, self.count // FEW_SHARE):
            await self._begin_anew()
            return
        former, self._second = self._second, await self._opened(sorted(self._later))
        await asyncio.to_thread(_close, [former])

    async def _begin_anew(self) -> None:
        root = self._territory.root
        found = await asyncio.to_thread(self._find, [WHOLE_TREE])
        if not found and not await asyncio.to_thread(is_directory, root):
            raise RootGone(f"the root {root!r} cannot be listed")
        # The new one first: what happens in between is told twice, not never.
        former = [self._first, self._second]
        self._first, self._second = await self._opened(found), None
        self.count, self._later = len(found), set()
        await asyncio.to_thread(_close, former)

    def _find(self, tops: Iterable[bytes]) -> list[bytes]:
        if LISTENS_TO_TREES:
            return [top for top in tops if is_directory(self._territory.absolute(top))]
        return directories_below(self._territory, tops, self._quiet(), only_utf8=self._only_utf8)

    async def _opened(self, directories: Sequence[bytes]) -> Listener:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, directories))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on all the same, and nobody else would ever close what it opens.
            with suppress(EventsEnded):
                await asyncio.to_thread((await opening).close)
            raise

    def _open(self, directories: Sequence[bytes]) -> Listener:
        return Listener([self._territory.absolute(path) for path in directories], self._tell, self._tell_end)

    def _tell(self, changes: Sequence[Change], is_lossy: bool) -> None:  # noqa: FBT001 - a callback
        heard = hear(changes, self._territory, self._quiet(), self._most)
        if heard.has_lost_root and not is_directory(self._territory.root):
            self._tell_end(RootGone(f"the root {self._territory.root!r} was removed or moved"))
        if heard.dirt or is_lossy:
            self._call(self._on_heard, Heard(heard.dirt, heard.new_directories, heard.events, is_lossy))

    def _tell_end(self, error: EventsEnded) -> None:
        self._call(self.fail, error)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: nobody listens any more.
            return


def _close(listeners: Iterable[Listener | None]) -> None:
    for listener in listeners:
        if listener is not None:
            listener.close()
