from __future__ import annotations

import asyncio

import pytest

from storage import ClosableQueue, QueueClosed


async def _let_others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_come_out_in_the_order_they_went_in() -> None:
    queue: ClosableQueue[int] = ClosableQueue(10)
    for number in range(5):
        await queue.put(number)
    assert await queue.get() == 0
    assert await queue.get_many(2) == [1, 2]
    assert await queue.get_many(99) == [3, 4]


async def test_a_producer_waits_while_the_queue_is_full() -> None:
    queue: ClosableQueue[int] = ClosableQueue(1)
    await queue.put(1)
    second = asyncio.create_task(queue.put(2))
    await _let_others_run()
    assert not second.done()
    assert await queue.get() == 1
    await second
    assert await queue.get() == 2


async def test_taking_many_makes_room_for_every_producer_that_waits() -> None:
    queue: ClosableQueue[int] = ClosableQueue(3)
    producers = [asyncio.create_task(queue.put(number)) for number in range(6)]
    await _let_others_run()
    assert await queue.get_many(3) == [0, 1, 2]
    await asyncio.gather(*producers)
    assert await queue.get_many(3) == [3, 4, 5]


async def test_a_consumer_waits_for_an_item() -> None:
    queue: ClosableQueue[int] = ClosableQueue(1)
    consumer = asyncio.create_task(queue.get())
    await _let_others_run()
    assert not consumer.done()
    await queue.put(7)
    assert await consumer == 7


async def test_after_closing_what_is_inside_still_comes_out_and_then_iteration_ends() -> None:
    queue: ClosableQueue[int] = ClosableQueue(5)
    await queue.put(1)
    await queue.put(2)
    await queue.close()
    assert queue.closed
    assert [item async for item in queue] == [1, 2]
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_closing_ends_waiting_consumers_and_producers() -> None:
    empty: ClosableQueue[int] = ClosableQueue(1)
    full: ClosableQueue[int] = ClosableQueue(1)
    await full.put(1)
    waiting = [asyncio.create_task(empty.get()) for _ in range(3)]
    waiting += [asyncio.create_task(full.put(2)) for _ in range(3)]  # type: ignore[arg-type]
    await _let_others_run()
    await empty.close()
    await full.close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [QueueClosed] * 6
    assert await full.get() == 1


async def test_nothing_goes_into_a_closed_queue() -> None:
    queue: ClosableQueue[int] = ClosableQueue(1)
    await queue.close()
    with pytest.raises(QueueClosed):
        await queue.put(1)
    with pytest.raises(QueueClosed):
        queue.put_nowait(1)
    assert queue.empty()


async def test_a_consumer_cancelled_as_its_item_arrives_leaves_it_to_the_next() -> None:
    queue: ClosableQueue[int] = ClosableQueue(1)
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await _let_others_run()
    await queue.put(1)
    first.cancel()
    assert await second == 1
    assert first.cancelled()


async def test_a_cancelled_producer_leaves_no_item_and_its_room_to_the_next() -> None:
    queue: ClosableQueue[int] = ClosableQueue(1)
    await queue.put(0)
    first, second = asyncio.create_task(queue.put(1)), asyncio.create_task(queue.put(2))
    await _let_others_run()
    assert await queue.get() == 0
    first.cancel()
    await second
    assert await queue.get() == 2
    assert queue.empty()


async def test_a_deadline_that_passes_as_items_arrive_loses_none() -> None:
    queue: ClosableQueue[int] = ClosableQueue(4)
    taken: list[int] = []

    async def consume() -> None:
        while True:
            try:
                async with asyncio.timeout(0):
                    taken.extend(await queue.get_many(2))
            except TimeoutError:
                await asyncio.sleep(0)
            except QueueClosed:
                return

    consumer = asyncio.create_task(consume())
    for number in range(200):
        await queue.put(number)
        if number % 3 == 0:
            await asyncio.sleep(0)
    await queue.close()
    await consumer
    assert taken == list(range(200))


async def test_closing_cannot_be_cancelled_into() -> None:
    """A writer that is cancelled while it closes its queue must have closed it."""
    queue: ClosableQueue[int] = ClosableQueue(1)

    async def close() -> None:
        await queue.close()

    closing = close()
    with pytest.raises(StopIteration):
        closing.send(None)
    assert queue.closed


async def test_many_producers_and_consumers_pass_every_item_once() -> None:
    queue: ClosableQueue[int] = ClosableQueue(3)
    taken: list[int] = []

    async def produce(start: int) -> None:
        for number in range(start, start + 50):
            await queue.put(number)
            if number % 7 == 0:
                await asyncio.sleep(0)

    async def consume() -> None:
        async for item in queue:
            taken.append(item)
            await asyncio.sleep(0)

    consumers = [asyncio.create_task(consume()) for _ in range(4)]
    await asyncio.gather(*(produce(start) for start in (0, 100, 200)))
    await queue.close()
    await asyncio.gather(*consumers)
    assert sorted(taken) == [*range(50), *range(100, 150), *range(200, 250)]
