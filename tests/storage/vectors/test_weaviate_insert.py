"""How objects get into Weaviate, with a server that does what it is told: what no real one does on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from weaviate.exceptions import WeaviateInsertManyAllFailedError, WeaviateQueryError, WeaviateTimeoutError

from storage.errors import DimensionMismatch, VectorStoreUnavailable
from storage.vectors import PointPayload, VectorBatch, WeaviateOptions
from storage.vectors.weaviate_errors import Pressure
from storage.vectors.weaviate_insert import LEAST_OBJECTS, MOST_TRIES, SLOW_SECONDS, Inserter, Pace
from tests.storage.vectors.points import batch_of, point_id

Judge: TypeAlias = Callable[[bytes], str | None]
"""Says of an id why it is not stored, or nothing."""


class Server:
    """Stores what it is not told to refuse."""

    def __init__(self, judge: Judge = lambda _: None) -> None:
        self.judge = judge
        self.calls: list[list[bytes]] = []
        self.stored: dict[bytes, int] = {}
        self.running = self.most_running = 0
        self.silent_on: frozenset[bytes] = frozenset()
        self.largest_message = 1 << 30

    async def insert_many(self, objects: Sequence[Any]) -> Any:
        ids = [each.uuid.bytes for each in objects]
        self.calls.append(ids)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            return self._answer(objects, ids)
        finally:
            self.running -= 1

    def _answer(self, objects: Sequence[Any], ids: list[bytes]) -> Any:
        size = sum(4 * len(each.vector) + len(each.properties["text"]) for each in objects)
        if size > self.largest_message:
            raise WeaviateQueryError(
                f"grpc: received message larger than max ({size} vs. {self.largest_message})", "GRPC"
            )
        errors, uuids = {}, {}
        for number, id in enumerate(ids):
            message = self.judge(id)
            if message is not None:
                errors[number] = SimpleNamespace(message=message)
            elif id not in self.silent_on:
                uuids[number] = objects[number].uuid
                self.stored[id] = self.stored.get(id, 0) + 1
        if len(errors) == len(ids):
            raise WeaviateInsertManyAllFailedError(next(iter(errors.values())).message)
        return SimpleNamespace(errors=errors, uuids=uuids)


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


def inserting(server: Server, **options: Any) -> tuple[Inserter, Pace]:
    chosen = WeaviateOptions(**options)
    pace = Pace(chosen)
    return Inserter(chosen, pace, server.insert_many, pause=no_pause), pace


async def insert(inserter: Inserter, batch: VectorBatch) -> frozenset[bytes]:
    return await inserter.insert(batch, np.asarray(batch.vectors, np.float32))


async def test_slices_are_bounded_by_objects_and_by_bytes() -> None:
    server = Server()
    inserter, _ = inserting(server, batch_objects=8)
    batch = batch_of(range(20))
    assert await insert(inserter, batch) == frozenset(batch.ids)
    assert [len(call) for call in server.calls] == [8, 8, 4]
    large = VectorBatch(batch.ids[:5], batch.vectors[:5], (PointPayload("r1", "python", text="x" * 40_000),) * 5)
    server.calls.clear()
    inserter, _ = inserting(server, batch_bytes=200_000)
    assert len(await insert(inserter, large)) == 5
    assert [len(call) for call in server.calls] == [2, 2, 1]


async def test_f032_only_what_failed_is_sent_again_and_comes_through() -> None:
    failed_once: set[bytes] = set()

    def every_seventh(id: bytes) -> str | None:
        if int.from_bytes(id[:4], "big") % 7 == 0 and id not in failed_once:
            failed_once.add(id)
            return "grpc: the client connection is closing"
        return None

    server = Server(every_seventh)
    inserter, _ = inserting(server, batch_objects=50)
    batch = batch_of(range(50))
    assert await insert(inserter, batch) == frozenset(batch.ids)
    assert set(server.stored.values()) == {1}
    assert [len(call) for call in server.calls] == [50, 8]


async def test_f032_an_object_that_always_fails_is_left_out_and_the_others_are_stored() -> None:
    server = Server(lambda id: "invalid text: broken" if id == point_id(3) else None)
    inserter, _ = inserting(server)
    batch = batch_of(range(6))
    assert await insert(inserter, batch) == frozenset(batch.ids) - {point_id(3)}
    assert sum(point_id(3) in call for call in server.calls) == MOST_TRIES


async def test_f032_one_object_that_fails_every_call_it_is_in_is_found_by_halving() -> None:
    class AllOrNothing(Server):
        def _answer(self, objects: Sequence[Any], ids: list[bytes]) -> Any:
            if point_id(5) in ids:
                raise WeaviateInsertManyAllFailedError("no object was stored: broken")
            return super()._answer(objects, ids)

    server = AllOrNothing()
    inserter, _ = inserting(server)
    batch = batch_of(range(16))
    assert await insert(inserter, batch) == frozenset(batch.ids) - {point_id(5)}


async def test_f034_an_id_that_is_not_acknowledged_is_sent_again_and_never_taken_for_stored() -> None:
    server = Server()
    server.silent_on = frozenset({point_id(2)})
    inserter, _ = inserting(server)
    batch = batch_of(range(4))
    assert await insert(inserter, batch) == frozenset(batch.ids) - {point_id(2)}
    assert sum(point_id(2) in call for call in server.calls) == MOST_TRIES


async def test_f040_a_message_that_is_too_large_is_halved_and_one_object_that_is_too_large_is_left_out() -> None:
    server = Server()
    server.largest_message = 5_000
    inserter, pace = inserting(server)
    texts = ["x" * 100] * 39 + ["x" * 6_000]
    numbers = range(40)
    payloads = tuple(PointPayload("r1", "python", text=text) for text in texts)
    batch = VectorBatch(tuple(map(point_id, numbers)), batch_of(numbers).vectors, payloads)
    assert await insert(inserter, batch) == frozenset(batch.ids[:-1])
    assert pace.objects < WeaviateOptions().batch_objects


@pytest.mark.parametrize(
    "message",
    [
        "store is read-only due to: disk usage too high",
        "RESOURCE_EXHAUSTED: too many requests",
        "not enough memory mappings",
    ],
)
async def test_f033_pressure_makes_calls_smaller_and_is_told(message: str) -> None:
    server = Server(lambda _: message)
    inserter, pace = inserting(server, insert_mode="pool", pool_size=4)
    with pytest.raises(Pressure, match="not stored"):
        await insert(inserter, batch_of(range(3)))
    assert (pace.objects, pace.calls) == (256, 2)
    assert len(server.calls) == 1


def test_the_pace_goes_down_by_halves_and_up_by_steps() -> None:
    pace = Pace(WeaviateOptions(insert_mode="pool", pool_size=4))
    for _ in range(20):
        pace.was_too_much()
    assert (pace.objects, pace.calls) == (LEAST_OBJECTS, 1)
    pace.went_well(0.1)
    assert (pace.objects, pace.calls) == (LEAST_OBJECTS + 51, 2)
    for _ in range(20):
        pace.went_well(0.1)
    assert (pace.objects, pace.calls) == (512, 4)
    pace.went_well(SLOW_SECONDS + 1)
    assert (pace.objects, pace.calls) == (256, 2)


@pytest.mark.parametrize(("mode", "most"), [("lock", 1), ("pool", 3)])
async def test_one_call_at_a_time_or_as_many_as_the_pool_has_clients(mode: Any, most: int) -> None:
    server = Server()
    inserter, _ = inserting(server, insert_mode=mode, pool_size=3, batch_objects=2)
    batches = [batch_of(range(start, start + 10)) for start in (0, 10, 20)]
    await asyncio.gather(*(insert(inserter, batch) for batch in batches))
    assert server.most_running == most


async def test_a_call_without_an_answer_leaves_the_batch_in_doubt() -> None:
    class Dead(Server):
        async def insert_many(self, _: Sequence[Any]) -> Any:
            raise WeaviateTimeoutError("no answer in time")

    inserter, _ = inserting(Dead(), batch_objects=2)
    with pytest.raises(
        VectorStoreUnavailable, match=r"2 objects were to be stored: Weaviate at http://.*no answer in time"
    ):
        await insert(inserter, batch_of(range(6)))


async def test_f038_another_dimension_is_told_as_such() -> None:
    server = Server(lambda _: "new node has a vector with length 7. Existing nodes have vectors with length 8")
    inserter, _ = inserting(server)
    with pytest.raises(DimensionMismatch):
        await insert(inserter, batch_of(range(2)))
