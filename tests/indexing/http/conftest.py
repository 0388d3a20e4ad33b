"""A service in this process, over a real owner: what tests of routes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest

from indexing.access import LOCAL, Principal
from indexing.http.app import create_app, secured
from indexing.http.context import ServiceContext
from indexing.http.request_log import RequestLog
from indexing.http.sessions import Sessions
from indexing.queries import queries_of
from indexing.runtime import Owner, open_owner
from indexing.settings import Settings
from indexing.tokens import Tokens
from tests.faults.driver import settings_for

ClientFor: TypeAlias = Callable[..., httpx2.AsyncClient]
"""``client_for(who)``: a `Principal` is let in as it is; a token (text), or nobody (None), has to pass the guard."""
Indexed: TypeAlias = Callable[[Path], Awaitable[str]]
"""``await indexed(root)``: index the tree to the end and return the uuid of its repository."""

READER = Principal("reader", frozenset({"read"}))
INDEXER = Principal("indexer", frozenset({"index"}))
ADMIN = Principal("admin", frozenset({"admin"}))


@pytest.fixture
def service_settings(data_dir: Path, tmp_path: Path) -> Settings:
    """Settings of the service under test; a module may override this fixture."""
    return settings_for(data_dir, {"service.allowed_roots": (str(tmp_path),), "storage.garbage_grace_days": 14})


@pytest.fixture
async def owner(service_settings: Settings) -> AsyncIterator[Owner]:
    """An owner that is open for the length of the test, in a task of its own."""
    opened: asyncio.Future[Owner] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        async with open_owner(service_settings) as owner:
            opened.set_result(owner)
            await over.wait()

    task = asyncio.create_task(hold())
    both: set[asyncio.Future[Any]] = {task, opened}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield opened.result()
    finally:
        over.set()
        await task


@pytest.fixture
async def context(owner: Owner) -> AsyncIterator[ServiceContext]:
    """What the routes work with."""
    made = ServiceContext(
        owner=owner,
        queries=queries_of(owner),
        watching=None,
        closing=asyncio.Event(),
        sessions=Sessions(),
        tokens=Tokens(owner.directory.path),
    )
    yield made
    made.closing.set()
    await made.streams.closed()


@pytest.fixture
def app(context: ServiceContext) -> Any:
    """The application, without the layers around it."""
    return create_app(context)


@pytest.fixture
async def client_for(context: ServiceContext, app: Any) -> AsyncIterator[ClientFor]:
    """Make clients for who they are to be."""
    clients: list[httpx2.AsyncClient] = []

    def make(who: Principal | str | None = ADMIN, *, raise_errors: bool = True) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {who}"} if isinstance(who, str) else {}
        edge = as_principal(app, who) if isinstance(who, Principal) else secured(app, context, trusted=False)
        transport = httpx2.ASGITransport(app=edge, raise_app_exceptions=raise_errors)
        clients.append(httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7878", headers=headers))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def indexed(owner: Owner) -> Indexed:
    """Index trees."""

    async def index(root: Path) -> str:
        repository = await owner.register(root)
        await owner.service.wait(await owner.service.submit(repository))
        await owner.service.idle()
        return repository.uuid

    return index


def as_principal(app: Any, who: Principal) -> Any:
    """Return the application with ``who`` for the caller of every request, the guard left out."""

    async def edge(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["principal"] = who
        await app(scope, receive, send)

    return RequestLog(edge)


def only(*uuids: str, scope: str = "admin") -> Principal:
    """Return a caller that sees these repositories alone."""
    return Principal("limited", frozenset({scope}), frozenset(uuids))  # type: ignore[arg-type]


__all__ = ["ADMIN", "INDEXER", "LOCAL", "READER", "ClientFor", "Indexed", "as_principal", "only"]
