"""The reading side of another process's owner: the same questions as ``Queries``, over its control socket."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from indexing.control import ANSWER_SECONDS, segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.access import Principal
    from indexing.asks import SearchAsk, SimilarAsk, SymbolAsk, TextAsk
    from indexing.control import ControlClient


class RemoteQueries:
    """Answers of an owner as plain JSON values; all raise the errors of ``indexing.control``.

    Each question has a connection of its own, so an owner that was started again is simply asked again. The owner
    takes whoever comes over its socket for the local user: a caller who may do less must not be handed on.
    """

    def __init__(self, client: ControlClient) -> None:
        """Ask through ``client``."""
        self._client = client

    async def search(self, caller: Principal, ask: SearchAsk) -> dict[str, Any]:
        """See ``Queries.search``."""
        seconds = ANSWER_SECONDS + (ask.wait_ms / 1000 if ask.consistency == "wait" else 0.0)
        return await self._post(caller, "/search", asdict(ask), answer_seconds=seconds)

    async def symbols(self, caller: Principal, ask: SymbolAsk) -> dict[str, Any]:
        """See ``Queries.symbols``."""
        return await self._get(
            caller,
            "/symbols",
            name=ask.name,
            matching=ask.matching,
            repository=list(ask.repositories),
            language=list(ask.languages),
            limit=ask.k,
        )

    async def similar(self, caller: Principal, ask: SimilarAsk) -> dict[str, Any]:
        """See ``Queries.similar``."""
        body = {**asdict(ask), "path_b64": _b64(ask.path)}
        del body["path"]
        return await self._post(caller, "/similar", body)

    async def text(self, caller: Principal, ask: TextAsk) -> dict[str, Any]:
        """See ``Queries.text``."""
        path = f"/repositories/{segment(ask.repository)}/text"
        return await self._get(caller, path, path_b64=_b64(ask.path), start=ask.start, end=ask.end)

    async def repositories(self, caller: Principal) -> dict[str, Any]:
        """See ``Queries.repositories``."""
        return await self._get(caller, "/repositories")

    async def status(self, caller: Principal) -> dict[str, Any]:
        """See ``Queries.status``."""
        return await self._get(caller, "/status")

    async def index(self, caller: Principal, repository: str, paths: Sequence[str] = ()) -> dict[str, Any]:
        """Submit a job for a repository or some paths of it; returns the job as JSON."""
        body = {"repository": repository, **({"paths": list(paths)} if paths else {})}
        return await self._post(caller, "/index", body, key=uuid4().hex)

    async def _get(self, caller: Principal, path: str, **query: object) -> dict[str, Any]:
        _check(caller)
        found = await asyncio.to_thread(self._client.get, path, **query)
        return dict(found)

    async def _post(self, caller: Principal, path: str, body: object, **options: Any) -> dict[str, Any]:
        _check(caller)
        found = await asyncio.to_thread(self._client.post, path, body, **options)
        return dict(found)


def _check(caller: Principal) -> None:
    if not caller.is_local:
        raise PermissionError(f"the caller {caller.name!r} must not be handed on as the local user")


def _b64(path: bytes) -> str:
    return b64encode(path).decode("ascii")
