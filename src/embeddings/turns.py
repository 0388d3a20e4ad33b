"""One thread on which functions take turns: those that someone waits for now come before all others that wait."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import PriorityQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Turn:
    rank: int
    number: int
    """unique, in the order of the calls"""
    function: Callable[[], Any] = field(compare=False)
    answer: Future[Any] = field(compare=False)


class TurnThread:
    """Runs functions one at a time, the urgent ones first, each kind in the order in which it was asked for.

    The function in hand is never interrupted: an urgent one waits for it, and for nothing else.
    """

    def __init__(self, name: str) -> None:
        """Prepare; the thread starts with the first function."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: PriorityQueue[_Turn] = PriorityQueue()
        self._numbers = itertools.count()

    async def run(self, function: Callable[[], T], *, urgent: bool = False) -> T:
        """Return what the function returns, or raise what it raises; cancelled before its turn, it never runs.

        Raises ``RuntimeError`` once the thread was shut down.
        """
        answer: Future[T] = Future()
        # There are as many turns as functions, and whoever has a turn takes the most urgent function. The turn first:
        # after a shutdown it is refused, and nothing stays in the queue.
        self._executor.submit(self._take_turn)
        self._waiting.put(_Turn(0 if urgent else 1, next(self._numbers), function, answer))
        return await asyncio.wrap_future(answer)

    def shut_down(self) -> None:
        """Wait for what is in hand and what waits, then end the thread; may be called twice."""
        self._executor.shutdown(wait=True)

    def _take_turn(self) -> None:
        turn = self._waiting.get()
        if not turn.answer.set_running_or_notify_cancel():
            return
        try:
            turn.answer.set_result(turn.function())
        except BaseException as error:  # noqa: BLE001  (it is raised to whoever asked)
            turn.answer.set_exception(error)
