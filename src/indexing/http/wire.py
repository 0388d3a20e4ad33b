"""uvicorn as a guest in our event loop: its signals are ours, a request must arrive in time, peers are looked at."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from indexing.control import peer_uid

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

MOST_HEADER_BYTES: Final = 32 * 1024
"""Of the request line and all headers together."""
_PIECE_BYTES: Final = 8 * 1024
_LOOKS: Final = 4
"""At a peer that does not read, in ``read_seconds``: it has at most a quarter more."""
KEEP_ALIVE_SECONDS: Final = 15


class WireConfig(uvicorn.Config):
    """What uvicorn is told, and what it has no word for."""

    def __init__(
        self,
        app: ASGIApp,
        protocol: type[BoundedProtocol],
        *,
        read_seconds: float,
        drain_seconds: float,
        most_connections: int,
    ) -> None:
        """Serve ``app`` over ``protocol``; nothing is logged here, read from the environment, or trusted of proxies."""
        super().__init__(
            app,
            loop="none",
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, int(drain_seconds)),
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        )
        self.read_seconds = read_seconds
        self.most_connections = most_connections


class BoundedProtocol(H11Protocol):
    """HTTP/1.1; the head of a request must arrive within ``read_seconds``, and connections are bounded.

    A peer that takes nothing of what lies ready for it in ``read_seconds`` is hung up on.
    """

    config: WireConfig
    _overdue: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; what is one too many is hung up on, before it takes up memory."""
        super().connection_made(transport)
        # Whatever the kernel does not take is a pause: an answer waits for its reader, and is waited for below.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.config.most_connections:
            transport.abort()
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take in what came; what is no whole head yet must become one in time."""
        # h11 bounds only what is incomplete: a head that came at once would pass, however long.
        for start in range(0, len(data), _PIECE_BYTES):
            if not self.transport.is_closing():
                super().data_received(data[start : start + _PIECE_BYTES])
        in_hand = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        if in_hand is not None and not in_hand.response_complete:
            self._stop_waiting()
        elif self._overdue is None:
            self._await_head()

    def on_response_complete(self) -> None:
        """Leave the wait for the next request to uvicorn's keep-alive, until its first byte comes."""
        self._stop_waiting()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait for the peer to read."""
        super().pause_writing()
        self._await_reading(self.transport.get_write_buffer_size(), self.loop.time())

    def resume_writing(self) -> None:
        """Go on: the peer has read everything."""
        self._stop_awaiting_reading()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._stop_awaiting_reading()
        super().connection_lost(exc)

    def _await_reading(self, left: int, since: float) -> None:
        # Closing alone would wait for ever for a peer that never reads: the descriptor and the bytes would stay.
        seconds = self.config.read_seconds / _LOOKS
        self._untaken = self.loop.call_later(seconds, self._abort_unless_read, left, since)

    def _stop_awaiting_reading(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _abort_unless_read(self, before: int, since: float) -> None:
        left, now = self.transport.get_write_buffer_size(), self.loop.time()
        if left < before:
            since = now
        if now - since < self.config.read_seconds:
            self._await_reading(left, since)
        else:
            self.transport.abort()

    def _await_head(self) -> None:
        self._overdue = self.loop.call_later(self.config.read_seconds, self._abort)

    def _stop_waiting(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _abort(self) -> None:
        self._overdue = None
        self.transport.abort()


class ControlProtocol(BoundedProtocol):
    """The same for processes of this user (and root) only, by the peer's uid: unix(7), ``SO_PEERCRED``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hang up on everybody else, before a byte is read."""
        super().connection_made(transport)
        if peer_uid(transport.get_extra_info("socket")) not in {os.getuid(), 0}:
            transport.abort()


class WireServer(uvicorn.Server):
    """A server on one bound socket, run as a task; whoever runs it handles signals."""

    def __init__(self, config: WireConfig, listening: socket.socket) -> None:
        """Prepare; `run` serves."""
        super().__init__(config)
        self._listening = listening
        self.is_up = asyncio.Event()

    async def run_until_told(self) -> None:
        """Serve until `stop`, then let what is in hand end in time and hang up on the rest."""
        try:
            await self.serve(sockets=[self._listening])
        finally:
            for connection in list(self.server_state.connections):
                connection.transport.abort()

    def stop(self) -> None:
        """Accept no more."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals of the process alone."""
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Say when requests are taken."""
        await super().startup(sockets)
        self.is_up.set()
