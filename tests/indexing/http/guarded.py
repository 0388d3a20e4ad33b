"""A small service behind the real guard, with real tokens in a real registry, called in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from indexing.access import Principal
from indexing.http.security import Guard, Sessions, Tokens, needs
from indexing.settings import ServiceSettings
from indexing.tokens import create_token
from tests.clock import Clock

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

BASE = "http://127.0.0.1:7878"
REPOSITORY = "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a01"


@dataclass(slots=True)
class Edge:
    """The guard, what is behind it, and how to call it."""

    guard: Guard
    tokens: Tokens
    sessions: Sessions
    clock: Clock
    directory: Path
    client: httpx2.AsyncClient
    token: str
    token_id: str
    reached: list[str] = field(default_factory=list)
    """Paths of requests that got through to the application."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each request for ``/held`` once it runs."""

    @property
    def bearer(self) -> dict[str, str]:
        """The headers of a caller with the administrator's token."""
        return {"authorization": f"Bearer {self.token}"}

    async def get(self, path: str = "/who", **headers: str) -> httpx2.Response:
        """GET with the token; a header's underscores stand for hyphens."""
        return await self.client.get(path, headers=self.bearer | _named(headers))

    async def post(self, path: str = "/echo", content: Any = b"{}", **headers: str) -> httpx2.Response:
        """POST JSON with the token."""
        given = {"content-type": "application/json"} | self.bearer | _named(headers)
        return await self.client.post(path, content=content, headers={k: v for k, v in given.items() if v})


@asynccontextmanager
async def edge(directory: Path, *, trusted: bool = False, **settings: Any) -> AsyncIterator[Edge]:
    """A service with one token of all rights; ``settings`` are those of the service."""
    directory.mkdir(mode=0o700, exist_ok=True)
    record, token = await asyncio.to_thread(create_token, directory, "all", "admin")
    clock = Clock()
    tokens, sessions = Tokens(directory, clock=clock), Sessions(clock=clock)
    app = _application()
    guard = Guard(
        app, settings=ServiceSettings.model_construct(**(ServiceSettings().model_dump() | settings)),
        tokens=tokens, sessions=sessions, trusted=trusted,
    )  # fmt: skip
    transport = httpx2.ASGITransport(guard, client=("192.0.2.1", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        made = Edge(guard, tokens, sessions, clock, directory, client, token, record.id)
        app.state.edge = made
        yield made


def http_scope(path: str = "/echo", method: str = "POST", **headers: str) -> Scope:
    """What a server would say of a request; ``headers`` as in `Edge.get`."""
    named = {"host": "127.0.0.1:7878"} | _named(headers)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
        "client": ("192.0.2.1", 4711),
        "server": ("127.0.0.1", 7878),
    }


async def call(guard: Guard, scope: Scope, receive: Receive) -> list[Message]:
    """Call the guard as a server does; returns what it sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    return sent


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _application() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.edge = None

    class Reached:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            app.state.edge.reached.append(scope["path"])
            await self.inner(scope, receive, send)

    app.add_middleware(Reached)

    @app.get("/who")
    async def who(caller: Annotated[Principal, needs("read")]) -> str:
        return caller.name

    @app.post("/change")
    async def change(caller: Annotated[Principal, needs("index")]) -> str:
        return caller.name

    @app.post("/everywhere")
    async def everywhere(caller: Annotated[Principal, needs("read", all_repositories=True)]) -> str:
        return caller.name

    @app.post("/echo")
    async def echo(caller: Annotated[Principal, needs("read")], request: Request) -> int:
        return len(await request.body())

    @app.get("/held")
    async def held(caller: Annotated[Principal, needs("read")]) -> str:
        app.state.edge.is_held.release()
        await app.state.edge.go_on.wait()
        return "went on"

    @app.get("/events")
    async def events(caller: Annotated[Principal, needs("read")], request: Request) -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            yield "event: job\n\n"
            await app.state.edge.go_on.wait()
            yield "event: end\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @app.get("/reflecting")
    async def reflecting(caller: Annotated[Principal, needs("read")]) -> PlainTextResponse:
        return PlainTextResponse("x", headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "public"})

    @app.get("/healthz")
    @app.get("/static/app.js")
    @app.get("/")
    async def public() -> PlainTextResponse:
        return PlainTextResponse("public", headers={"Cache-Control": "no-cache"})

    return app
