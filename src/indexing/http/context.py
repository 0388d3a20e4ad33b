"""What every route gets to work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

from fastapi import Depends, Request

from indexing.http.job_streams import JobStreams
from indexing.http.looking import Looking
from indexing.http.loop_health import LoopHealth

if TYPE_CHECKING:
    import asyncio

    from indexing.http.sessions import Sessions
    from indexing.queries import Queries
    from indexing.runtime import Owner
    from indexing.tokens import Tokens
    from indexing.watch import Watching


@dataclass(slots=True, eq=False)
class ServiceContext:
    """One running service; the routes share it, whichever socket a request came over."""

    owner: Owner
    queries: Queries
    watching: Watching | None
    closing: asyncio.Event
    """set when the service begins to shut down"""
    sessions: Sessions
    tokens: Tokens
    started: float = field(default_factory=monotonic)
    """``monotonic`` at the start"""
    streams: JobStreams = field(init=False)
    """the event streams of jobs"""
    looking: Looking = field(init=False)
    """sums over the catalog, shared by those who ask at about the same time"""

    health: LoopHealth = field(init=False)
    """how the event loop was at the last probes"""

    def __post_init__(self) -> None:
        """Make what the routes share."""
        self.streams = JobStreams(self.owner, self.closing)
        self.looking = Looking(self.owner)
        self.health = LoopHealth(self.started)

    async def repositories_changed(self) -> None:
        """Let the watcher see that a repository came or went."""
        if self.watching is not None:
            await self.watching.refresh()


async def context_of(request: Request) -> ServiceContext:
    """Return the context that `create_app` was given. Asynchronous, as a plain dependency is run in another thread."""
    return cast("ServiceContext", request.app.state.context)


Context: TypeAlias = Annotated[ServiceContext, Depends(context_of)]
"""How a route asks for it."""
