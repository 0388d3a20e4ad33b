"""Who is asking, and what they may do: the one vocabulary of rights shared by HTTP, MCP and the control socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Scope: TypeAlias = Literal["read", "index", "admin"]
"""`admin` includes `index`, `index` includes `read`."""

SCOPES: Final[tuple[Scope, ...]] = ("read", "index", "admin")
"""Every scope, weakest first."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One authenticated caller.

    `name` is the name of its token, `local` for the control socket; `repositories` are the uuids it sees, None for
    all; `is_local` callers came over the control socket and may add any root.
    """

    name: str
    scopes: frozenset[Scope]
    repositories: frozenset[str] | None = None
    is_local: bool = False

    def may(self, scope: Scope) -> bool:
        """Whether a held scope is `scope` or includes it."""
        return not self.scopes.isdisjoint(SCOPES[SCOPES.index(scope) :])

    def sees(self, repository: str) -> bool:
        """Whether the repository with this uuid exists as far as the caller is concerned."""
        return self.repositories is None or repository in self.repositories

    def visible(self, uuids: Iterable[str]) -> frozenset[str]:
        """Those of `uuids` that the caller sees."""
        return frozenset(uuid for uuid in uuids if self.sees(uuid))


LOCAL: Final = Principal("local", frozenset(SCOPES), None, is_local=True)
"""The user who runs the service, known by the peer uid of the control socket."""
