"""Whom a tool works for, and through what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from indexing.mcp.errors import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from indexing.access import Principal
    from indexing.asks import SearchAsk, SymbolAsk, TextAsk

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_NAMED: Final = 5


class Answers(Protocol):
    """What the tools ask: ``Queries`` in an owner or alone, ``RemoteQueries`` over its socket."""

    async def search(self, caller: Principal, ask: SearchAsk) -> dict[str, Any]:
        """See ``Queries.search``."""

    async def symbols(self, caller: Principal, ask: SymbolAsk) -> dict[str, Any]:
        """See ``Queries.symbols``."""

    async def text(self, caller: Principal, ask: TextAsk) -> dict[str, Any]:
        """See ``Queries.text``."""

    async def repositories(self, caller: Principal) -> dict[str, Any]:
        """See ``Queries.repositories``."""

    async def status(self, caller: Principal) -> dict[str, Any]:
        """See ``Queries.status``."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller of tools."""

    principal: Principal
    answers: Answers
    index: Callable[[Principal, str, Sequence[str]], Awaitable[dict[str, Any]]] | None = None
    """``index(principal, uuid, paths)`` submits a job and returns it as JSON; None where indexing is not allowed"""

    async def repository(self, named: str) -> str:
        """Return the uuid of the repository with this uuid, root, path inside a root, or name.

        Raises ``ToolFailed`` when the caller sees none or more than one.
        """
        if _UUID.fullmatch(named):
            return str(UUID(named))
        rows = (await self.answers.repositories(self.principal))["repositories"]
        found = _around(named.rstrip("/") or "/", rows) or [row for row in rows if row["name"] == named]
        if len(found) == 1:
            return str(found[0]["uuid"])
        if found:
            roots = ", ".join(repr(row["root"]) for row in found[:_NAMED])
            raise ToolFailed(f"{len(found)} repositories are called {named[:200]!r}: {roots}; give one's root or uuid")
        raise ToolFailed(f"no repository {named[:200]!r} is indexed; list_repositories shows those that are")


def _around(path: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The innermost repository whose root is the path or contains it."""
    around = [row for row in rows if path == row["root"] or path.startswith(row["root"].rstrip("/") + "/")]
    return [max(around, key=lambda row: len(row["root"]))] if around else []
