"""An adjustable semaphore: how many workers may run at once, over all jobs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """Leave to work, for as long as it is not recalled."""

    owner: object
    _permits: Permits

    @property
    def is_recalled(self) -> bool:
        """Whether it should be given back before more work is taken."""
        return self._permits.recalls(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    owner: object
    granted: asyncio.Future[Permit]


class Permits:
    """At most ``limit`` permits are out at once; those above a lowered limit are recalled, not torn away.

    Owners share: whoever holds the fewest is served first, and a permit is recalled while another owner waits that
    holds none, or at least two fewer. Among equals the first to come is the first to be served.
    """

    def __init__(self, limit: int) -> None:
        """Allow ``limit`` at once, at least one."""
        self._limit = max(1, limit)
        self._held: list[Permit] = []
        self._waiting: list[_Waiter] = []

    @property
    def limit(self) -> int:
        """How many may be out."""
        return self._limit

    @property
    def in_use(self) -> int:
        """How many are out; above ``limit`` only until recalled ones come back."""
        return len(self._held)

    def set_limit(self, limit: int) -> None:
        """Allow ``limit`` at once from now on, at least one."""
        self._limit = max(1, limit)
        self._grant()

    @asynccontextmanager
    async def take(self, owner: object) -> AsyncIterator[Permit]:
        """Wait for a permit and hold it until the context ends."""
        permit = await self._taken(owner)
        try:
            yield permit
        finally:
            self._give_back(permit)

    def recalls(self, permit: Permit) -> bool:
        """Return whether a permit that is out should come back."""
        if permit in self._held[self._limit :]:
            return True
        mine = self._count(permit.owner)
        for waiter in self._waiting:
            theirs = self._count(waiter.owner)
            # For a difference of one, the odd permit would go to and fro for ever.
            if waiter.owner is not permit.owner and (theirs == 0 or theirs + 1 < mine):
                return True
        return False

    async def _taken(self, owner: object) -> Permit:
        waiter = _Waiter(owner, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._grant()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.granted.cancelled():
                self._give_back(waiter.granted.result())
            raise

    def _give_back(self, permit: Permit) -> None:
        self._held.remove(permit)
        self._grant()

    def _grant(self) -> None:
        while self._waiting and len(self._held) < self._limit:
            waiter = min(self._waiting, key=lambda each: self._count(each.owner))
            self._waiting.remove(waiter)
            if waiter.granted.cancelled():
                continue
            permit = Permit(waiter.owner, self)
            self._held.append(permit)
            waiter.granted.set_result(permit)

    def _count(self, owner: object) -> int:
        return sum(permit.owner is owner for permit in self._held)
