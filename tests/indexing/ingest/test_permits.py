"""The adjustable semaphore: its limit holds whatever happens, owners share, and a cancelled wait costs nothing."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from indexing.ingest.permits import Permit, Permits

Step: TypeAlias = tuple[str, int]
OWNERS = ("a", "b", "c")
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "ask", "give back", "obey", "cancel", "cancel late", "limit"]),
              st.integers(0, 11)),
    max_size=60,
)  # fmt: skip


class Bench:
    """Some tasks that ask for permits and keep them until they are told otherwise."""

    def __init__(self, limit: int) -> None:
        self.permits = Permits(limit)
        self.tasks: dict[asyncio.Task[None], str] = {}
        self.held: dict[asyncio.Task[None], tuple[Permit, asyncio.Event]] = {}
        self.lowered_from = 0
        """how many may be out although the limit is lower, because they were before it was lowered"""

    async def hold(self, owner: str) -> None:
        async with self.permits.take(owner) as permit:
            task, over = asyncio.current_task(), asyncio.Event()
            assert task is not None
            self.held[task] = permit, over
            try:
                await over.wait()
            finally:
                del self.held[task]

    def ask(self, owner: str) -> None:
        task = asyncio.create_task(self.hold(owner))
        self.tasks[task] = owner

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        self.tasks = {task: owner for task, owner in self.tasks.items() if not task.done()}

    def waiting(self) -> list[str]:
        return [owner for task, owner in self.tasks.items() if task not in self.held]

    def count(self, owner: str) -> int:
        return sum(self.tasks[task] == owner for task in self.held)

    def check(self) -> None:
        permits = self.permits
        assert permits.in_use == len(self.held)
        self.lowered_from = min(self.lowered_from, permits.in_use)
        assert permits.in_use <= max(permits.limit, self.lowered_from)
        # None is kept back: whoever waits does so because as many are out as may be.
        assert not self.waiting() or permits.in_use >= permits.limit
        recalled = [permit for permit, _ in self.held.values() if permit.is_recalled]
        assert len(recalled) >= permits.in_use - permits.limit
        for owner in self.waiting():
            for other in OWNERS:
                if other != owner and self.count(owner) == 0 and self.count(other) > 0:
                    mine = [permit for permit, _ in self.held.values() if permit.owner == other]
                    assert all(permit.is_recalled for permit in mine)

    async def obey(self) -> None:
        """Let everyone give back what is recalled, and ask again, as the tasks of a job do."""
        for task, (permit, over) in list(self.held.items()):
            if permit.is_recalled:
                over.set()
                self.ask(self.tasks[task])
        await self.settle()


async def _play(limit: int, steps: list[Step]) -> None:
    bench = Bench(limit)
    for step, number in steps:
        before, tasks = bench.permits.in_use, list(bench.tasks)
        if step == "ask":
            bench.ask(OWNERS[number % 3])
        elif step == "limit":
            bench.permits.set_limit(number % 5)
            bench.lowered_from = before
        elif step == "obey":
            await bench.obey()
        elif step == "give back" and bench.held:
            list(bench.held.values())[number % len(bench.held)][1].set()
        elif step == "cancel" and tasks:
            tasks[number % len(tasks)].cancel()
        elif step == "cancel late" and tasks and bench.held:
            # A permit is granted and, before its new holder runs, that one is cancelled.
            next(iter(bench.held.values()))[1].set()
            await asyncio.sleep(0)
            tasks[number % len(tasks)].cancel()
        await bench.settle()
        bench.check()
    await _end(bench)


async def _end(bench: Bench) -> None:
    for task in list(bench.tasks):
        task.cancel()
    await bench.settle()
    await bench.settle()
    assert bench.tasks == {}
    assert bench.permits.in_use == 0
    async with asyncio.timeout(5), bench.permits.take("a"):
        assert bench.permits.in_use == 1


@given(limit=st.integers(1, 4), steps=STEPS)
@examples(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_the_limit_holds_and_nothing_leaks_whatever_happens(limit: int, steps: list[Step]) -> None:
    asyncio.run(_play(limit, steps))


@given(limit=st.integers(1, 6), asked=st.lists(st.integers(0, 2), min_size=1, max_size=24))
@examples(max_examples=60)
def test_owners_that_want_more_than_there_is_come_to_equal_shares(limit: int, asked: list[int]) -> None:
    asyncio.run(_share(limit, [OWNERS[number] for number in asked]))


async def _share(limit: int, asked: list[str]) -> None:
    bench = Bench(limit)
    for owner in asked:
        bench.ask(owner)
        await bench.settle()
    for _ in range(2 * len(asked)):
        await bench.obey()
    hungry = [owner for owner in OWNERS if owner in bench.waiting()]
    counts = [bench.count(owner) for owner in OWNERS if asked.count(owner)]
    if len(hungry) == len(counts) and limit >= len(hungry):
        assert max(counts) - min(counts) <= 1
        before = dict(bench.held)
        await bench.obey()
        assert bench.held == before, "a permit goes to and fro between equals"
    await _end(bench)


async def test_one_permit_goes_round_between_owners() -> None:
    bench = Bench(1)
    turns = []
    for owner in OWNERS:
        bench.ask(owner)
    await bench.settle()
    for _ in range(9):
        turns += [owner for owner in OWNERS if bench.count(owner)]
        await bench.obey()
    assert turns == list(OWNERS) * 3
    await _end(bench)


async def test_a_lone_owner_keeps_its_permit() -> None:
    bench = Bench(1)
    bench.ask("a")
    bench.ask("a")
    await bench.settle()
    assert [permit.is_recalled for permit, _ in bench.held.values()] == [False]
    await _end(bench)


async def test_a_lowered_limit_recalls_the_latest_and_serves_nobody_until_they_are_back() -> None:
    bench = Bench(3)
    for owner in "abcb":
        bench.ask(owner)
    await bench.settle()
    bench.permits.set_limit(1)
    first, *others = [permit for permit, _ in bench.held.values()]
    assert [permit.is_recalled for permit in (first, *others)] == [False, True, True]
    for permit, over in list(bench.held.values()):
        if permit in others:
            over.set()
            await bench.settle()
    assert [permit for permit, _ in bench.held.values()] == [first]
    bench.permits.set_limit(2)
    await bench.settle()
    assert bench.permits.in_use == 2
    await _end(bench)


@pytest.mark.parametrize("limit", [0, -3])
async def test_one_may_always_work(limit: int) -> None:
    permits = Permits(limit)
    assert permits.limit == 1
    permits.set_limit(limit)
    async with asyncio.timeout(5), permits.take("a") as permit:
        assert not permit.is_recalled
