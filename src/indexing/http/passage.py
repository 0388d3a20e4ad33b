"""One request inside the application: the slot that it holds, how long its reader may stall, and when it must end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from anyio import CancelScope
from anyio.lowlevel import checkpoint

from indexing.http.refusals import Refused, send_refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from indexing.http.limits import Slots

_BUSY_SECONDS = 5

log = structlog.get_logger(__name__)


class Passage:
    """Runs the application for one request that holds a slot of ``requests``.

    An answer that turns out to be an event stream changes to a slot of ``streams``. It ends when the caller's rights
    do; any answer ends when its reader takes nothing for ``stall_seconds``.
    """

    def __init__(
        self, requests: Slots, streams: Slots, stall_seconds: float, still_good: Callable[[], Awaitable[bool]] | None
    ) -> None:
        """Prepare to run once; ``still_good`` is None for a caller whose rights cannot end."""
        self._slots = requests
        self._streams = streams
        self._stall_seconds = stall_seconds
        self._still_good = still_good
        self._cancel = CancelScope()
        self._is_over = False
        self._is_stream = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; gives the slot back."""

        async def send_on(message: Message) -> None:
            if self._is_over:
                return
            if message["type"] == "http.response.start" and _is_event_stream(message):
                if not self._streams.take():
                    refused = Refused.until(
                        _BUSY_SECONDS, "too many event streams are open (service.max_event_streams)"
                    )
                    await send_refusal(refused, scope, receive, send)
                    await self._end()
                    return
                self._slots.give()
                self._slots = self._streams
                self._is_stream = True
            elif self._is_stream and self._still_good is not None and not await self._still_good():
                await self._send(send, {"type": "http.response.body", "body": b""})
                await self._end()
                return
            await self._send(send, message)

        try:
            with self._cancel:
                await app(scope, receive, send_on)
        finally:
            self._slots.give()

    async def _send(self, send: Send, message: Message) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await send(message)
        except TimeoutError:
            log.info("request.reader_stalled", seconds=self._stall_seconds)
            await self._end()

    async def _end(self) -> None:
        """Cancel the application: its answer is complete, or nobody takes it."""
        self._is_over = True
        self._cancel.cancel()
        await checkpoint()


def _is_event_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )
