"""Who follows the catalog's writer: the text index, and whoever wants to know that something was committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from indexing.ingest.text_feed import TextFeed
    from storage import Given


@dataclass(slots=True)
class Followers:
    """What the writer calls; nobody follows before ``feed`` is there, which needs the catalog open."""

    feed: TextFeed | None = None
    on_commit: Callable[[], None] | None = None

    async def take(self, results: Sequence[object]) -> Given:
        """Hand the results of applied changes to the text index."""
        return "nothing" if self.feed is None else await self.feed.take(results)

    async def caught_up(self) -> None:
        """Wait until the text index holds what it was handed."""
        if self.feed is not None:
            await self.feed.caught_up()

    async def confirm(self, _: Sequence[object]) -> None:
        """Let what was handed over become findable, and tell of the commit."""
        if self.feed is not None:
            await self.feed.confirm()
        if self.on_commit is not None:
            self.on_commit()

    async def withdraw(self) -> None:
        """Have the text index forget what was handed over."""
        if self.feed is not None:
            await self.feed.withdraw()
