"""What answers come from: everything that an owner has open, or a data directory that is only read."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from indexing.pending import Pending
from indexing.reading import open_for_search, serving_collection
from storage import repositories, unfinished_jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from indexing.read_vectors import ReadVectors
    from indexing.runtime import Owner
    from indexing.search import Pages, VectorSource
    from indexing.settings import Settings
    from storage import Reader, TextIndex

RELOAD_SECONDS: Final = 1.0
"""How old the view of a text index may be that another process writes."""


@dataclass(frozen=True, slots=True)
class VectorNeed:
    """What a question needs of the vectors."""

    patience: float
    """seconds that a model may be waited for that is not loaded"""
    encodes_query: bool = True


class Sources(Protocol):
    """What `Queries` asks."""

    settings: Settings
    reader: Reader

    @property
    def is_owned(self) -> bool:
        """Whether there is an owner behind it."""
        ...

    @property
    def hybrid_search(self) -> bool:
        """Whether vectors take part in searches that do not ask for them alone."""
        ...

    @property
    def pages(self) -> Pages | None:
        """What makes the pages of searches; None: whoever searches does."""
        ...

    async def repositories(self) -> frozenset[str]:
        """The uuids of all repositories."""
        ...

    async def text_index(self) -> TextIndex:
        """The text index, as new as it has to be."""
        ...

    def vectors(self, need: VectorNeed) -> AbstractAsyncContextManager[VectorSource | None]:
        """The vectors to search with; None where none were ever made."""
        ...

    def want_first(self, cut_ids: Iterable[int]) -> None:
        """Let the vectors of some cuts be made before others; returns at once."""
        ...

    async def settle(self, repositories: frozenset[str], seconds: float) -> None:
        """Wait at most so long until what is pending is searchable."""
        ...

    async def pending(self, repositories: frozenset[str]) -> dict[str, int]:
        """``{uuid: files}`` of what is pending."""
        ...

    def watching(self, repository: str) -> dict[str, Any]:
        """How a repository is watched, as plain JSON values."""
        ...


class OwnerSources:
    """What an owner has open; it sees each commit at once."""

    is_owned: Final = True

    def __init__(self, owner: Owner) -> None:
        """Answer from ``owner`` as it is at each question."""
        self.settings, self.reader = owner.settings, owner.reader
        self._owner = owner
        self._pending = Pending(owner)
        self._repositories: tuple[int, frozenset[str]] | None = None
        """as they were after so many commits"""

    @property
    def hybrid_search(self) -> bool:
        """As the flag says."""
        return self._owner.flags.hybrid_search

    @property
    def pages(self) -> Pages | None:
        """A process beside this one, in a daemon."""
        return self._owner.pages

    async def repositories(self) -> frozenset[str]:
        """See `Sources`. All commits are this process's, so they are read again only after one."""
        commits = self._owner.writer.commits
        if self._repositories is None or self._repositories[0] != commits:
            self._repositories = commits, await _repositories(self.reader)
        return self._repositories[1]

    async def text_index(self) -> TextIndex:
        """The index that is being written: a commit is visible in it at once."""
        return self._owner.feed.index

    @asynccontextmanager
    async def vectors(self, need: VectorNeed) -> AsyncIterator[VectorSource | None]:
        """See `Sources`."""
        if self._owner.vectors is None:
            yield None
            return
        async with self._owner.vectors.source(patience=need.patience, encodes_query=need.encodes_query) as source:
            yield source

    def want_first(self, cut_ids: Iterable[int]) -> None:
        """See `Sources`."""
        if self._owner.vectors is not None:
            self._owner.vectors.service.want_first(cut_ids)

    async def settle(self, repositories: frozenset[str], seconds: float) -> None:
        """See `Sources`."""
        await self._pending.settle(repositories, seconds)

    async def pending(self, repositories: frozenset[str]) -> dict[str, int]:
        """See `Sources`."""
        return self._pending.files(repositories)

    def watching(self, repository: str) -> dict[str, Any]:
        """See `Sources`."""
        if self._owner.watching is None:
            return _UNWATCHED
        state = self._owner.watching.state_of(repository)
        return {"mode": state.mode, "dirty": state.dirty, "problem": state.problem}


class ReadSources:
    """A data directory that is only read; an owner may work on it meanwhile, elsewhere."""

    is_owned: Final = False

    def __init__(self, settings: Settings, reader: Reader, index: TextIndex, stack: AsyncExitStack) -> None:
        """Answer from what is open; what is opened later goes on ``stack``."""
        self.settings, self.reader = settings, reader
        self._index = index
        self._stack = stack
        self._vectors: ReadVectors | None = None
        self._reload_at = monotonic() + RELOAD_SECONDS
        self._reloading = asyncio.Lock()

    @property
    def hybrid_search(self) -> bool:
        """As the settings say: flags are the owner's."""
        return self.settings.search.hybrid_search

    @property
    def pages(self) -> None:
        """Nothing else is done here."""

    async def repositories(self) -> frozenset[str]:
        """See `Sources`."""
        return await _repositories(self.reader)

    async def text_index(self) -> TextIndex:
        """The index as of a moment ago."""
        async with self._reloading:
            if monotonic() >= self._reload_at:
                await asyncio.to_thread(self._index.reload)
                self._reload_at = monotonic() + RELOAD_SECONDS
        return self._index

    @asynccontextmanager
    async def vectors(self, need: VectorNeed) -> AsyncIterator[VectorSource | None]:
        """See `Sources`."""
        if await serving_collection(self.settings, self.reader) is None:
            yield None
            return
        if self._vectors is None:
            # usearch and numpy are for those who search vectors.
            from indexing.read_vectors import ReadVectors  # noqa: PLC0415

            self._vectors = ReadVectors(self.settings, self.reader)
            self._stack.push_async_callback(self._vectors.aclose)
        async with self._vectors.source(patience=need.patience, encodes_query=need.encodes_query) as source:
            yield source

    def want_first(self, cut_ids: Iterable[int]) -> None:
        """Nobody is here who makes vectors."""

    async def settle(self, repositories: frozenset[str], seconds: float) -> None:
        """Nobody is here whose work could be waited for."""

    async def pending(self, repositories: frozenset[str]) -> dict[str, int]:
        """The repositories of which a job is not at its end."""
        return {row.repository: 0 for row in await unfinished_jobs(self.reader) if row.repository in repositories}

    def watching(self, repository: str) -> dict[str, Any]:  # noqa: ARG002  (see `Sources`)
        """Nobody watches."""
        return _UNWATCHED


async def _repositories(reader: Reader) -> frozenset[str]:
    return frozenset([each.uuid for each in await reader.read(repositories)])


_UNWATCHED: Final[dict[str, Any]] = {"mode": "off", "dirty": 0, "problem": ""}


@asynccontextmanager
async def open_sources(settings: Settings) -> AsyncIterator[ReadSources]:
    """Open a data directory for reading. Raises the errors of ``storage``."""
    async with open_for_search(settings) as (reader, index), AsyncExitStack() as stack:
        yield ReadSources(settings, reader, index, stack)
