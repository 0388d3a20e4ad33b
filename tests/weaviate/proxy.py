"""A TCP proxy between client and server that misbehaves on demand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """Passes bytes on; what it does wrong is set while it runs."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.refuses = False
        """Ends each new connection at once, and those there are."""
        self.cut_answers_after: int | None = None
        """Bytes of answers, counted from when it is set, after which every connection is reset."""
        self.requests = asyncio.Event()
        self.requests.set()
        self.passed_requests = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def hold(self) -> None:
        """Pass nothing on, in neither direction, until `let_go`."""
        self.requests.clear()

    def let_go(self) -> None:
        self.requests.set()

    def reset(self) -> None:
        """End every connection there is without a goodbye."""
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self, refuses: bool) -> None:
        self.refuses = refuses
        if refuses:
            self.reset()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.let_go()
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        async with self._known(writer), self._known(back):
            await asyncio.gather(self._pass(reader, back, answers=False), self._pass(there, writer, answers=True))

    @asynccontextmanager
    async def _known(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self.requests.wait()
                if not answers:
                    self.passed_requests += len(data)
                elif self.cut_answers_after is not None:
                    self.cut_answers_after -= len(data)
                    if self.cut_answers_after < 0:
                        self.reset()
                        return
                writer.write(data)
                await writer.drain()
            writer.write_eof()
