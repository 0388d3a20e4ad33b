"""The thread on which functions take turns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from embeddings.turns import TurnThread


@pytest.fixture
async def turns() -> AsyncIterator[TurnThread]:
    thread = TurnThread("turns")
    yield thread
    await asyncio.to_thread(thread.shut_down)


class Recorder:
    """Functions that note when they ran; the first one holds the thread until it is let go."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.begun.set()
        assert self.go_on.wait(20)

    def note(self, name: str) -> Callable[[], str]:
        def run() -> str:
            self.ran.append(name)
            return name

        return run


async def test_an_urgent_function_waits_for_the_one_in_hand_and_for_no_other(turns: TurnThread) -> None:
    record = Recorder()
    held = asyncio.create_task(turns.run(record.hold))
    await asyncio.to_thread(record.begun.wait)
    wanted = [("document 1", False), ("document 2", False), ("query 1", True), ("query 2", True)]
    answers = [asyncio.create_task(turns.run(record.note(name), urgent=urgent)) for name, urgent in wanted]
    await asyncio.sleep(0)
    record.go_on.set()
    assert await asyncio.gather(*answers) == [name for name, _ in wanted]
    assert record.ran == ["query 1", "query 2", "document 1", "document 2"]
    await held


async def test_what_a_function_raises_is_raised_and_the_next_one_runs(turns: TurnThread) -> None:
    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await turns.run(fails)
    assert await turns.run(lambda: 7) == 7


async def test_a_function_that_is_given_up_before_its_turn_never_runs(turns: TurnThread) -> None:
    record = Recorder()
    held = asyncio.create_task(turns.run(record.hold))
    await asyncio.to_thread(record.begun.wait)
    given_up = asyncio.create_task(turns.run(record.note("given up")))
    kept = asyncio.create_task(turns.run(record.note("kept")))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    record.go_on.set()
    await asyncio.gather(held, kept)
    assert record.ran == ["kept"]


async def test_after_a_shutdown_nothing_is_taken() -> None:
    turns = TurnThread("turns")
    await turns.run(lambda: None)
    await asyncio.to_thread(turns.shut_down)
    await asyncio.to_thread(turns.shut_down)
    with pytest.raises(RuntimeError):
        await turns.run(lambda: None)
