"""Puts objects into Weaviate: slices bounded by count and bytes, every id verified, each failure tried again by itself.

The size of a slice follows the server (additive increase, multiplicative decrease; Chiu and Jain, 1989): slow answers
and signs of pressure halve it. ``ingest`` and ``batch.stream`` of the client are not used: they lose data silently when
their stream breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog
from weaviate.classes.data import DataObject
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from storage.vectors.weaviate_errors import MessageTooLarge, Pressure, answered, kind_of_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from storage.vectors.records import PointPayload, VectorBatch, Vectors
    from storage.vectors.weaviate_options import WeaviateOptions

log = structlog.get_logger(__name__)

SLOW_SECONDS: Final = 5.0
"""A call that takes longer makes the next ones smaller."""
LEAST_OBJECTS: Final = 8
MOST_TRIES: Final = 5
"""Calls about one object; then its failure is left to the caller, who counts attempts."""
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
OBJECT_BYTES: Final = 300
"""What an object takes beside its vector and its text."""


@dataclass(frozen=True, slots=True)
class _Item:
    id: bytes
    object: DataObject[Any, None]
    bytes: int


class Pace:
    """How many objects a call holds, and how many calls run at once."""

    def __init__(self, options: WeaviateOptions) -> None:
        """Begin with what the options allow."""
        self._most_objects = options.batch_objects
        self._most_calls = options.pool_size if options.insert_mode == "pool" else 1
        self.objects = options.batch_objects
        self.calls = self._most_calls
        self.bytes = options.batch_bytes
        self._running = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until another call may run."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < self.calls)
            self._running += 1
        try:
            yield
        finally:
            async with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def went_well(self, seconds: float) -> None:
        """Take note of a call that was answered."""
        if seconds > SLOW_SECONDS:
            self.was_too_much()
            return
        self.objects = min(self._most_objects, self.objects + max(1, self._most_objects // 10))
        self.calls = min(self._most_calls, self.calls + 1)

    def was_too_much(self) -> None:
        """Ask for less from now on."""
        self.objects = max(LEAST_OBJECTS, self.objects // 2)
        self.calls = max(1, self.calls // 2)


class Inserter:
    """Inserts batches for one collection."""

    def __init__(
        self,
        options: WeaviateOptions,
        pace: Pace,
        insert: Callable[[Sequence[Any]], Awaitable[Any]],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; ``insert`` is one call of ``insert_many`` on some client."""
        self._options = options
        self._pace = pace
        self._insert = insert
        self._pause = pause

    async def insert(self, batch: VectorBatch, rows: Vectors) -> frozenset[bytes]:
        """Insert or replace; returns the ids that the server acknowledged, each by itself.

        ``rows`` are the batch's vectors at unit length. Raises the errors of ``answered``; then nothing is known of
        the batch.
        """
        items = await asyncio.to_thread(_items, batch, rows)
        stored: set[bytes] = set()
        slices: list[list[_Item]] = []
        # A call for each client, also where one would do: the server works on one while the next is put into bytes.
        share = -(-len(items) // self._pace.calls)
        most_objects = min(self._pace.objects, max(share, LEAST_OBJECTS))
        while items:
            taken = _take(items, most_objects, self._pace.bytes)
            slices.append(items[:taken])
            items = items[taken:]
        try:
            async with asyncio.TaskGroup() as group:
                for each in slices:
                    group.create_task(self._insert_slice(each, stored), name="weaviate-insert")
        except BaseExceptionGroup as errors:
            # One is enough to know that the batch is in doubt.
            raise errors.exceptions[0] from None
        return frozenset(stored)

    async def _insert_slice(self, items: Sequence[_Item], stored: set[bytes]) -> None:
        """Insert what a slice holds; failed objects are tried again, alone at last."""
        left, tries, pause = list(items), 0, FIRST_PAUSE_SECONDS
        while left:
            failed = await self._call(left, stored)
            if not failed:
                return
            tries += 1
            if tries >= MOST_TRIES:
                for item, message in failed:
                    log.warning("weaviate.object_refused", id=item.id.hex(), message=message)
                return
            await self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            left = [item for item, _ in failed]
            if len(left) == len(items) and len(left) > 1:
                # Perhaps it is one object that fails the whole call.
                half = len(left) // 2
                await self._insert_slice(left[:half], stored)
                await self._insert_slice(left[half:], stored)
                return

    async def _call(self, items: Sequence[_Item], stored: set[bytes]) -> list[tuple[_Item, str]]:
        """Insert with one call; returns what failed with the server's message on it."""
        try:
            async with self._pace.turn():
                began = monotonic()
                doing = f"{len(items)} objects were to be stored"
                async with answered(doing, self._options.url, self._options.deadline_seconds):
                    messages = await _messages(self._insert([item.object for item in items]), len(items))
        except MessageTooLarge as error:
            if len(items) == 1:
                return [(items[0], str(error))]
            self._pace.was_too_much()
            half = len(items) // 2
            return await self._call(items[:half], stored) + await self._call(items[half:], stored)
        except Pressure:
            self._pace.was_too_much()
            raise
        self._pace.went_well(monotonic() - began)
        failed = []
        for item, message in zip(items, messages, strict=True):
            if message is None:
                stored.add(item.id)
            else:
                failed.append((item, message))
        for _, message in failed:
            kind = kind_of_message(message)
            if kind is Pressure:
                self._pace.was_too_much()
            if kind is not None:
                raise kind(f"{len(failed)} of {len(items)} objects were not stored: {message}")
        return failed


async def _messages(call: Awaitable[Any], count: int) -> list[str | None]:
    """Return for each position why it failed, or None; an object whose id is not acknowledged has failed too."""
    try:
        answer = await call
    except WeaviateInsertManyAllFailedError as error:
        return [str(error)] * count
    failed = {number: error.message for number, error in answer.errors.items()}
    unknown = "the server did not acknowledge its id"
    return [failed.get(number, None if number in answer.uuids else unknown) for number in range(count)]


def _items(batch: VectorBatch, rows: Vectors) -> list[_Item]:
    width = rows.shape[1] * 4 + OBJECT_BYTES
    return [
        _Item(id, DataObject(properties=_properties(payload), uuid=UUID(bytes=id), vector=row), width + _size(payload))
        for id, payload, row in zip(batch.ids, batch.payloads, rows.tolist(), strict=True)
    ]


def _properties(payload: PointPayload) -> dict[str, str | int]:
    return {
        "repository": payload.repository,
        "language": payload.language,
        "path": payload.path,
        "start_line": payload.start_line,
        "end_line": payload.end_line,
        "symbol": payload.symbol,
        "kind": payload.kind,
        "text": payload.text,
    }


def _size(payload: PointPayload) -> int:
    # At most four bytes a character, and few have more than one.
    return 2 * (len(payload.path) + len(payload.symbol) + len(payload.text))


def _take(items: Sequence[_Item], most_objects: int, most_bytes: int) -> int:
    taken = total = 0
    for item in items[:most_objects]:
        total += item.bytes
        if taken and total > most_bytes:
            break
        taken += 1
    return taken
