"""Pages made in a process of their own, where the daemon has other work.

Ranking and showing what was found is Python, about half of what a search costs. A daemon that indexes meanwhile has one
interpreter for everything; with this one beside it, both processors work.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import msgspec
import structlog

from indexing.frames import encode_frame, next_frame
from indexing.search.page import page
from indexing.search.page_messages import decode_answer, task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from indexing.search.legs import Filters
    from indexing.search.page import LegsFound
    from indexing.search.page_messages import PageAnswer
    from indexing.search.query import Query
    from indexing.search.records import SearchRequest, SearchResult
    from storage import Reader

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 5.0
"""A process that takes longer is ended, and its pages are made here."""
MOST_STARTS: Final = 4
"""After so many no other process is started."""
_PIPE_BYTES: Final = 4 << 20


class _Gone(Exception):
    """The process gave no answer, or not a usable one."""


class _Child:
    """A running process, and those who wait for its answers, which come in the order of the tasks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.is_ended = False
        self._waiting: deque[asyncio.Future[PageAnswer]] = deque()
        self._reading = asyncio.create_task(self._read(), name="pages")

    async def ask(self, task: bytes) -> PageAnswer:
        """Raises ``TimeoutError``, and ``_Gone`` where it ends first."""
        assert self.process.stdin is not None  # noqa: S101  (it was asked for)
        if self.is_ended:
            raise _Gone
        answer: asyncio.Future[PageAnswer] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self.process.stdin.write(task)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer

    async def end(self) -> None:
        """Kill it, and wait until nothing of it is left."""
        self.is_ended = True
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None  # noqa: S101  (it was asked for)
        try:
            while True:
                answer = decode_answer(await next_frame(stdout))
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError, IndexError) as error:
            if not self.is_ended:
                log.warning("page.process_ended", pid=self.process.pid, error=str(error))
        finally:
            self.is_ended = True
            for each in self._waiting:
                if not each.done():
                    each.set_exception(_Gone())
            if self.process.returncode is None:
                with suppress(ProcessLookupError):
                    self.process.kill()
            # Both pipes to their end: the transport closes before the loop does.
            await self.process.communicate()


class PageProcess:
    """Makes pages as ``page`` does; one that the process cannot make is made here. Belongs to one event loop."""

    def __init__(self, reader: Reader, is_busy: Callable[[], bool]) -> None:
        """``is_busy``: whether this process has other work. Without any, a page is made here: that saves the way."""
        self._reader = reader
        self._is_busy = is_busy
        self._child: _Child | None = None
        self._starting = asyncio.Lock()
        self._making = 0
        self._starts = 0
        self.made = 0
        """pages that the process made"""

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._child is None or self._child.is_ended else self._child.process.pid

    async def __aenter__(self) -> Self:
        """Start the process; pages are made here where that fails."""
        with suppress(_Gone):
            await self._running()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self._starts = MOST_STARTS
        if self._child is not None:
            await self._child.end()

    async def __call__(
        self, query: Query, found: LegsFound, request: SearchRequest, filters: Filters
    ) -> SearchResult | None:
        """See ``page``; raises what that raises."""
        is_taken = self.takes(filters)
        with self.counted():
            if is_taken:
                with suppress(_Gone):
                    answer = await self._asked(encode_frame(task_of(found, request)))
                    self.made += 1
                    return answer.page()
            return await self._reader.read(partial(page, query=query, found=found, request=request, filters=filters))

    def takes(self, filters: Filters) -> bool:
        """Whether the process would make a page now."""
        return filters.paths is None and (self._making > 0 or self._is_busy())

    @contextmanager
    def counted(self) -> Iterator[None]:
        """While a page is made, the next one is made by the other of the two processes."""
        self._making += 1
        try:
            yield
        finally:
            self._making -= 1

    async def _asked(self, task: bytes) -> PageAnswer:
        child = await self._running()
        try:
            answer = await child.ask(task)
        except TimeoutError:
            log.warning("page.process_silent", pid=child.process.pid, seconds=ANSWER_SECONDS)
            await child.end()
            raise _Gone from None
        if answer.problem:
            log.info("page.not_made", error=answer.problem)
            raise _Gone
        return answer

    async def _running(self) -> _Child:
        async with self._starting:
            if self._child is None or self._child.is_ended:
                if self._starts >= MOST_STARTS:
                    raise _Gone
                self._starts += 1
                self._child = _Child(await self._start())
            return self._child

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            # -P keeps the working directory off sys.path.
            return await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "indexing.search.page_worker", os.fsencode(self._reader.catalog),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONSAFEPATH": "1"}, limit=_PIPE_BYTES, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            log.warning("page.process_failed", error=str(error))
            raise _Gone from error
