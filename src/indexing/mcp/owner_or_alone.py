"""The reading side for a process that owns nothing: the owner's where one runs, the data directory itself otherwise."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog

from indexing.control import OwnerGone, find_owner
from indexing.mcp.errors import ToolFailed
from indexing.remote_queries import RemoteQueries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from indexing.access import Principal
    from indexing.asks import SearchAsk, SymbolAsk, TextAsk
    from indexing.mcp.caller import Answers
    from indexing.queries import Queries
    from indexing.settings import Settings

T = TypeVar("T")
_log = structlog.get_logger("indexing.mcp")


class OwnerOrAlone:
    """Looks for an owner at every question, as one may come or go while an agent works.

    An async context manager. Raises the errors of ``Queries`` and of ``indexing.control``.
    """

    def __init__(self, settings: Settings) -> None:
        """Answer about the data directory that the settings name."""
        self._settings = settings
        self._data_dir = settings.storage.data_dir
        self._alone = _Alone(settings)

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what was opened."""
        await self._alone.close()

    async def search(self, caller: Principal, ask: SearchAsk) -> dict[str, Any]:
        """See ``Queries.search``."""
        return await self._asked(lambda answers: answers.search(caller, ask))

    async def symbols(self, caller: Principal, ask: SymbolAsk) -> dict[str, Any]:
        """See ``Queries.symbols``."""
        return await self._asked(lambda answers: answers.symbols(caller, ask))

    async def text(self, caller: Principal, ask: TextAsk) -> dict[str, Any]:
        """See ``Queries.text``."""
        return await self._asked(lambda answers: answers.text(caller, ask))

    async def repositories(self, caller: Principal) -> dict[str, Any]:
        """See ``Queries.repositories``."""
        return await self._asked(lambda answers: answers.repositories(caller))

    async def status(self, caller: Principal) -> dict[str, Any]:
        """See ``Queries.status``."""
        return await self._asked(lambda answers: answers.status(caller))

    async def index(self, caller: Principal, repository: str, paths: Sequence[str]) -> dict[str, Any]:
        """Submit a job to the owner; without one there is nobody to run it."""
        owner = await self._owner()
        if owner is None:
            raise ToolFailed(
                "no owner runs that could index; start 'codetrove serve' or run 'codetrove index DIRECTORY'"
            )
        return await owner.index(caller, repository, paths)

    async def _owner(self) -> RemoteQueries | None:
        client = await asyncio.to_thread(find_owner, self._data_dir)
        return None if client is None else RemoteQueries(client)

    async def _asked(self, ask: Callable[[Answers], Awaitable[T]]) -> T:
        for attempt in (1, 2):
            owner = await self._owner()
            if owner is None:
                break
            try:
                answer = await ask(owner)
            except OwnerGone as error:
                # One that is slow is not asked twice; one that has just ended may have a successor.
                if attempt == 2 or isinstance(error.__cause__, TimeoutError):
                    raise
            else:
                self._alone.leave()
                return answer
        async with self._alone.opened() as queries:
            return await ask(queries)


class _Alone:
    """The data directory opened for reading at the first question, and kept open: a model takes seconds to load.

    A task of its own opens and closes it, since task groups must be left by the task that entered them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: asyncio.Future[Queries] | None = None
        self._closing = asyncio.Event()
        self._holders: set[asyncio.Task[None]] = set()
        self._asking = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Queries]:
        if self._opened is None or (self._opened.done() and self._opened.exception() is not None):
            self._opened = asyncio.get_running_loop().create_future()
            self._closing = asyncio.Event()
            holder = asyncio.create_task(self._hold(self._opened, self._closing), name="mcp-alone")
            self._holders.add(holder)
            holder.add_done_callback(self._holders.discard)
        self._asking += 1
        try:
            # Shielded: others may wait for the same opening.
            yield await asyncio.shield(self._opened)
        finally:
            self._asking -= 1

    def leave(self) -> None:
        """Close what nobody asks any more."""
        if self._opened is not None and not self._asking:
            self._opened = None
            self._closing.set()

    async def close(self) -> None:
        self._closing.set()
        await asyncio.gather(*self._holders)

    async def _hold(self, opened: asyncio.Future[Queries], closing: asyncio.Event) -> None:
        from indexing.queries import open_queries  # noqa: PLC0415 - with an owner, none of the indexes is needed here

        try:
            async with open_queries(self._settings) as queries:
                opened.set_result(queries)
                await closing.wait()
        except Exception as error:  # noqa: BLE001 - task boundary: handed to the one who waits
            if opened.done():
                _log.exception("mcp.closing_failed")
            else:
                opened.set_exception(error)
