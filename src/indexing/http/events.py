"""``GET /jobs/{id}/events``: server-sent events of one job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header
from starlette.responses import Response

from indexing.access import Principal
from indexing.http.context import Context
from indexing.http.job_streams import Reader
from indexing.http.jobs import JobId, visible_job
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from indexing.http.context import ServiceContext
    from indexing.http.job_streams import JobStream
    from storage import Repository

KEEP_ALIVE_SECONDS: Final = 15.0
"""Between two signs of life on a stream; proxies cut one that is silent for 30 or 60."""
RECONNECT_MS: Final = 2000
router = APIRouter(tags=["jobs"], route_class=StrictRoute)


@router.get(
    "/jobs/{job_id}/events",
    summary="How a job goes on, as it goes on",
    response_class=Response,
    responses={
        200: {
            "description": (
                "Events 'job', each with the whole job as it is then, at every change and a few times a second while"
                " it runs; the last one is 'end'. A slow client misses some and never gets an old one. A stream that"
                " breaks without 'end' may be asked for again; it begins with the latest snapshot."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def job_events(
    context: Context,
    caller: Annotated[Principal, needs("read")],
    job_id: JobId,
    last_event_id: Annotated[  # noqa: ARG001 - documented: clients send it, and the latest snapshot is all there is
        str | None, Header(max_length=64, description="Taken, and not needed: a stream begins with the latest.")
    ] = None,
) -> Response:
    """Follow a job to its end, or until the service closes."""
    found = await visible_job(context, caller, job_id)
    return EventStream(context, found.repository, job_id, everything=caller.repositories is None)


class EventStream(Response):
    """Sends the latest snapshot whenever the client has taken the one before; keeps nothing for it.

    How many streams there may be, and how long a client may take nothing, is the guard's to say.
    """

    media_type = "text/event-stream"

    def __init__(self, context: ServiceContext, repository: Repository, job_id: str, *, everything: bool) -> None:
        """Prepare to follow a job."""
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._context = context
        self._repository = repository
        self._job_id = job_id
        self._everything = everything

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send events until the job ends, the client leaves or stops to read, or the service closes."""
        reader = Reader()
        streams = self._context.streams
        stream = streams.join(reader, self._repository, self._job_id, everything=self._everything)
        leaving = asyncio.create_task(_left(receive, reader.woken), name=f"left-{self._job_id}")
        try:
            await self._send_all(send, stream, reader.woken, leaving.done)
        finally:
            streams.leave(reader, stream)
            leaving.cancel()

    async def _send_all(
        self, send: Send, stream: JobStream, woken: asyncio.Event, has_left: Callable[[], bool]
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send_part(send, b"retry: %d\n\n" % RECONNECT_MS)
        sent = 0
        while not has_left():
            woken.clear()
            if stream.number != sent:
                sent = stream.number
                await _send_part(send, stream.latest)
                continue
            if stream.is_closed:
                break
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await woken.wait()
            except TimeoutError:
                await _send_part(send, b": still here\n\n")
        if has_left():
            return
        if stream.end:
            await _send_part(send, stream.end)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _left(receive: Receive, woken: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    # Done a moment later, when the reader that this wakes looks.
    woken.set()
