"""Brings vectors to a collection and takes them away, one call at a time, until the store has said what it did.

After a call without an answer nothing is known of its points, and it may still take effect: they are *in doubt*.
Nothing else is sent until it cannot take effect any more; then the store is asked what it holds.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from indexing.vectorize.work_meter import VectorWork
from storage import VectorBatch, VectorStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from indexing.vectorize.records import VectorizeSettings
    from storage import Collection

log = structlog.get_logger(__name__)

LOOKED_UP_ONE_BY_ONE = 8
"""Times as many ids as this in the collection: reading all of them is dearer than asking for each one in doubt."""


class Interrupted(Exception):
    """The work is to end, and the store has not answered."""


class Patience:
    """Waits between attempts at a store: doubled each time, and ended at once when the work is to end."""

    def __init__(
        self,
        settings: VectorizeSettings,
        *,
        pause: Callable[[float], Awaitable[None]],
        tell: Callable[[str], None],
        meter: VectorWork | None = None,
    ) -> None:
        """Prepare; ``pause`` waits for seconds, ``tell`` is given the reason, and an empty one when it is over."""
        self._meter = meter or VectorWork()
        self._settings = settings
        self._pause = pause
        self._tell = tell
        self._attempts = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the present wait and all later ones."""
        self._stopping.set()

    def answered(self) -> None:
        """Note that the store answered as it should."""
        if self._attempts:
            self._attempts = 0
            self._tell("")

    async def wait(self, reason: str, *, in_doubt: bool) -> None:
        """Wait before the next attempt, past the time in which a call in doubt may still take effect.

        Raises ``Interrupted`` when the work is to end.
        """
        settings = self._settings
        seconds = min(settings.longest_wait_seconds, settings.first_wait_seconds * 2.0 ** min(self._attempts, 32))
        if in_doubt:
            seconds = max(seconds, settings.settle_seconds)
        if self._attempts == 0:
            log.warning("vectors.store_waits", reason=reason)
        self._attempts += 1
        self._tell(reason)
        began = monotonic()
        pausing = asyncio.ensure_future(self._pause(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({pausing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._meter.store_wait_seconds += monotonic() - began
            pausing.cancel()
            stopping.cancel()
        if self._stopping.is_set():
            raise Interrupted(reason)
        self._meter.store_retries += 1


class Delivery:
    """The one who changes a collection: all calls are made one after the other."""

    def __init__(self, collection: Collection, patience: Patience) -> None:
        """Prepare to change ``collection``."""
        self._collection = collection
        self._patience = patience
        self.left_in_doubt = False
        """Whether the work was interrupted before a call in doubt was cleared up."""

    async def store(self, batch: VectorBatch) -> frozenset[bytes]:
        """Put a batch into the store; returns the ids that it holds now, as it says itself.

        Raises ``Interrupted``, and the errors of the store but ``VectorStoreUnavailable``.
        """
        held: frozenset[bytes] = frozenset()
        rest = batch
        in_doubt = False
        while True:
            try:
                if in_doubt:
                    held |= await present(self._collection, rest.ids)
                    rest = _without(rest, held)
                if rest.ids:
                    in_doubt = True
                    held |= await self._collection.upsert(rest)
            except VectorStoreUnavailable as error:
                await self._wait(error)
            else:
                self._patience.answered()
                return held & frozenset(batch.ids)

    async def remove(self, ids: Sequence[bytes]) -> None:
        """Take vectors out of the store; raises as `store` does."""
        while True:
            try:
                await self._collection.delete(ids)
            except VectorStoreUnavailable as error:
                await self._wait(error)
            else:
                self._patience.answered()
                return

    async def _wait(self, error: VectorStoreUnavailable) -> None:
        try:
            await self._patience.wait(str(error), in_doubt=True)
        except Interrupted:
            self.left_in_doubt = True
            raise


async def present(collection: Collection, ids: Sequence[bytes], *, page: int = 10_000) -> frozenset[bytes]:
    """Return which of the ids the collection holds."""
    wanted = sorted(ids)
    if await collection.count() > LOOKED_UP_ONE_BY_ONE * page:
        found = [await collection.ids(_before(each), 1) for each in wanted]
        return frozenset(each for each, answer in zip(wanted, found, strict=True) if answer == [each])
    held: set[bytes] = set()
    after = _before(wanted[0]) if wanted else None
    while wanted and (answer := await collection.ids(after, page)):
        held.update(answer)
        after = answer[-1]
        if after >= wanted[-1]:
            break
    return frozenset(held.intersection(wanted))


def _before(identifier: bytes) -> bytes | None:
    """Return the id right before this one; None before the first of all."""
    number = int.from_bytes(identifier, "big")
    return None if number == 0 else (number - 1).to_bytes(len(identifier), "big")


def _without(batch: VectorBatch, held: frozenset[bytes]) -> VectorBatch:
    kept = [number for number, each in enumerate(batch.ids) if each not in held]
    if len(kept) == len(batch.ids):
        return batch
    return VectorBatch(
        tuple(batch.ids[number] for number in kept),
        batch.vectors[kept],
        tuple(batch.payloads[number] for number in kept),
    )
