"""Opens the HTTP edge of an owner: always on its control socket, and on TCP where that is asked for.

On the control socket alone (a single ``codetrove index``), the application is loaded when the first client connects.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from indexing.http.listening import ControlSocket, listen_on_tcp, url_of
from indexing.task_end import ended

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from pathlib import Path

    from indexing.http.sessions import Sessions
    from indexing.http.wire import WireServer
    from indexing.runtime import Owner
    from indexing.settings import ServiceSettings

_IDLE_FOR_EACH: Final = 8
"""Connections that are kept alive, for each request that may be answered at the same time."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Served:
    """An owner's edge while it is open."""

    control: Path
    """the control socket"""
    url: str
    """such as ``http://127.0.0.1:7878``; empty without TCP"""
    _edge: _Edge = field(repr=False)

    def sign_in_link(self, token_id: str) -> str:
        """Return a link that signs a browser in once, with the rights of the token with this id; TCP only."""
        return f"{self.url}/sign-in?code={self._edge.sessions.new_code(token_id)}"

    async def ended(self) -> None:
        """Wait until the edge has failed; raises why."""
        await asyncio.shield(self._edge.begin())


@asynccontextmanager
async def serving(owner: Owner, *, tcp: bool) -> AsyncIterator[Served]:
    """Answer for an owner until the context ends; requests in hand then have half of ``service.drain_seconds`` to end.

    Raises ``AddressUnavailable`` and ``DataDirectoryUnsuitable``.
    """
    settings = owner.settings.service
    listening = await asyncio.to_thread(listen_on_tcp, settings.host, settings.port) if tcp else None
    try:
        control = await asyncio.to_thread(ControlSocket, owner.directory.path)
        at_control = await asyncio.to_thread(control.open)
        edge = _Edge(owner, at_control, listening)
        try:
            if listening is not None:
                await edge.up()
            else:
                edge.begin_when_called()
            yield Served(control.path, "" if listening is None else url_of(listening), edge)
        finally:
            # The name goes first: who comes now finds nobody, rather than someone about to leave.
            await asyncio.to_thread(control.remove)
            await edge.close()
            at_control.close()
    finally:
        if listening is not None:
            listening.close()


def most_connections(settings: ServiceSettings) -> int:
    """Return how many connections a socket may have: some idle ones beside all that may be answered at once.

    Never more than a third of the files that the process may open: each of two sockets has as many.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_event_streams + _IDLE_FOR_EACH * settings.max_concurrent_requests
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft // 3)


class _Edge:
    """The servers of both sockets, in a task of their own: what the application opens, that task closes."""

    def __init__(self, owner: Owner, control: socket.socket, tcp: socket.socket | None) -> None:
        self._owner = owner
        self._control = control
        self._tcp = tcp
        self._closing = asyncio.Event()
        self._is_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._waits_for_a_call = False
        self._sessions: Sessions | None = None

    @property
    def sessions(self) -> Sessions:
        """Sign-ins of the page; once the edge is up."""
        assert self._sessions is not None  # noqa: S101
        return self._sessions

    def begin_when_called(self) -> None:
        """Begin when somebody connects to the control socket."""
        self._waits_for_a_call = True
        asyncio.get_running_loop().add_reader(self._control, self._called)

    def begin(self) -> asyncio.Task[None]:
        """Begin now, unless that is done."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="http-edge")
        return self._task

    async def up(self) -> None:
        """Begin, and wait until requests are taken; raises what prevents it."""
        task = self.begin()
        up = asyncio.create_task(self._is_up.wait(), name="http-edge-up")
        try:
            await asyncio.wait([task, up], return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if task.done():
            task.result()

    async def close(self) -> None:
        """Take no more requests, let those in hand end, and close; cancelled, at once."""
        self._stop_waiting_for_a_call()
        self._closing.set()
        if self._task is None:
            return
        await ended([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            log.error("http.failed", error=repr(error))

    def _called(self) -> None:
        self._stop_waiting_for_a_call()
        self.begin()

    def _stop_waiting_for_a_call(self) -> None:
        if self._waits_for_a_call:
            self._waits_for_a_call = False
            asyncio.get_running_loop().remove_reader(self._control)

    async def _run(self) -> None:
        await asyncio.to_thread(_load)
        from indexing.http.app import create_app, secured  # noqa: PLC0415 - loaded in a thread, above
        from indexing.http.wire import BoundedProtocol, ControlProtocol, WireConfig, WireServer  # noqa: PLC0415

        context = self._context()
        app = await asyncio.to_thread(create_app, context)
        settings = self._owner.settings.service

        def server(listening: socket.socket, protocol: type[BoundedProtocol], *, trusted: bool) -> WireServer:
            guarded = secured(app, context, trusted=trusted)
            half = settings.drain_seconds / 2
            config = WireConfig(
                guarded,
                protocol,
                read_seconds=settings.read_seconds,
                drain_seconds=half,
                most_connections=most_connections(settings),
            )
            return WireServer(config, listening)

        servers = [server(self._control, ControlProtocol, trusted=True)]
        if self._tcp is not None:
            servers.append(server(self._tcp, BoundedProtocol, trusted=False))
        async with app.router.lifespan_context(app):
            await self._serve(servers)

    def _context(self) -> Any:
        from indexing.http.context import ServiceContext  # noqa: PLC0415 - as above
        from indexing.http.sessions import Sessions  # noqa: PLC0415
        from indexing.queries import queries_of  # noqa: PLC0415
        from indexing.tokens import Tokens  # noqa: PLC0415

        self._sessions = Sessions()
        return ServiceContext(
            owner=self._owner,
            queries=queries_of(self._owner),
            watching=self._owner.watching,
            closing=self._closing,
            sessions=self._sessions,
            tokens=Tokens(self._owner.directory.path),
            started=monotonic(),
        )

    async def _serve(self, servers: list[WireServer]) -> None:
        """Run the servers until the edge closes, or one of them fails."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.run_until_told(), name="http-server") for each in servers]
            for each in servers:
                await each.is_up.wait()
            self._is_up.set()
            told = group.create_task(self._closing.wait(), name="http-closing")
            await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            for each in servers:
                each.stop()


def _load() -> None:
    """Load the application: half a second, which the event loop need not wait for."""
    import indexing.http.app  # noqa: PLC0415
    import indexing.http.wire  # noqa: F401, PLC0415
