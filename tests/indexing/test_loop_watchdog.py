"""Row 28: an event loop that is held up is noticed, with what holds it."""

from __future__ import annotations

import asyncio
import threading

from structlog.testing import capture_logs

from indexing.loop_watchdog import LoopWatchdog


def hold_the_loop(watchdog: LoopWatchdog) -> None:
    """Block until the watchdog has noticed; it has a minute (the time limit of a test)."""
    while not watchdog.times_held_up:
        threading.Event().wait(0.005)


async def test_f028_a_held_up_loop_is_told_with_its_stack() -> None:
    with capture_logs() as logs:
        async with LoopWatchdog(beat=0.005, held_up=0.2) as watchdog:
            hold_the_loop(watchdog)
            assert not watchdog.is_stuck
    told = [each for each in logs if each["event"] == "loop.held_up"]
    assert told
    assert "hold_the_loop" in told[0]["stack"]


async def test_a_loop_that_answers_is_left_alone() -> None:
    with capture_logs() as logs:
        async with LoopWatchdog(beat=0.005, held_up=30) as watchdog:
            await asyncio.to_thread(threading.Event().wait, 0.05)
        assert watchdog.times_held_up == 0
    assert logs == []
    assert not any(thread.name == "loop-watchdog" for thread in threading.enumerate())
