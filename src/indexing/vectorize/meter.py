"""Counts what a vectorizer does, and how fast."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from indexing.vectorize.records import State, VectorProgress
from indexing.vectorize.work_meter import VectorWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SMOOTHING = 0.5
"""Weight of the latest batch in the rate; the first one is slow because it loads the model."""


COUNTED_EVERY_SECONDS = 1.0
"""Counting reads an index as long as the collection; in between, what is done is added and subtracted."""

COUNTING_SHARE = 50
"""Wait at least this many times as long as the last count took: searches use the same reader."""


RECENT_SECONDS = 30.0
"""Work that the rate shown is taken from: loading a model, or a slow hour, says nothing of what is left."""


class Meter:
    """Counters of one collection, and the state it is in."""

    def __init__(self, work: VectorWork | None = None) -> None:
        """Begin in state ``starting``; what is done is added to ``work``, which may have a longer life."""
        self.work_done = work or VectorWork()
        self._state: State = "starting"
        self._detail = ""
        self._waiting = ""
        self._pending = self._stored = self._failed = 0
        self._encoded = 0
        self.from_cache = 0
        self.texts_a_second: float | None = None
        """How fast the encoder has been lately; None before it encoded anything."""
        self._seconds = 0.0
        self._since: float | None = monotonic()
        self._recent: deque[tuple[float, int]] = deque([(0.0, 0)])
        """(seconds of work, vectors made by then), some of the last `RECENT_SECONDS` and one from before"""
        self._count_at = 0.0

    def progress(self) -> VectorProgress:
        """Return the counters as they are now."""
        waiting = self._waiting and self._state not in ("stopped", "failed")
        return VectorProgress(
            state="waiting" if waiting else self._state,
            detail=self._waiting if waiting else self._detail,
            pending=max(0, self._pending),
            stored=self._stored,
            failed=self._failed,
            encoded=self._encoded,
            from_cache=self.from_cache,
            seconds=self._worked_seconds(),
            per_second=self._made_per_second(),
        )

    def tell(self, reason: str) -> None:
        """Note why the store is waited for; empty when it is not any more."""
        self._waiting = reason

    def compare(self, reason: str) -> None:
        """Note that the collection is compared with the catalog, and why."""
        self._state, self._detail = "comparing", reason

    def work(self) -> None:
        """Note that there is something to do."""
        self._state, self._detail = "working", ""
        if self._since is None:
            self._since = monotonic()

    def rest(self) -> None:
        """Note that nothing is left to do."""
        self._state, self._detail = "idle", ""
        self._pause_clock()

    def end(self, failure: Exception | None) -> None:
        """Note that the work is over."""
        self._state, self._detail = ("stopped", "") if failure is None else ("failed", str(failure) or repr(failure))
        self._pause_clock()

    def is_stale(self) -> bool:
        """Whether points should be counted again."""
        return monotonic() >= self._count_at

    def count(self, states: Mapping[str, int], seconds: float) -> None:
        """Take over what the catalog counts, ``{state: points}``, and how long that took."""
        self._count_at = monotonic() + max(COUNTED_EVERY_SECONDS, COUNTING_SHARE * seconds)
        self._pending = states.get("pending", 0)
        self._stored = states.get("stored", 0)
        self._failed = states.get("failed", 0)

    def encoded_texts(self, texts: int, seconds: float) -> None:
        """Count texts that went through the encoder."""
        self._encoded += texts
        self.work_done.encoded += texts
        self.work_done.encode_seconds += seconds
        rate = texts / max(seconds, 1e-6)
        former = self.texts_a_second
        self.texts_a_second = rate if former is None else SMOOTHING * rate + (1 - SMOOTHING) * former
        self._note_recent()

    def count_cached(self, vectors: int) -> None:
        """Count vectors that needed no encoding."""
        self.from_cache += vectors
        self.work_done.from_cache += vectors
        self._note_recent()

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Measure a call of the store, waits for it left out."""
        work = self.work_done
        began, waited = monotonic(), work.store_wait_seconds
        try:
            yield
        finally:
            work.store_seconds += monotonic() - began - (work.store_wait_seconds - waited)

    def settled(self, *, stored: int, failed: int) -> None:
        """Count points that have left the backlog."""
        self._stored += stored
        self._failed += failed
        self.work_done.stored += stored
        self.work_done.store_errors += failed
        self._pending -= stored + failed

    def _note_recent(self) -> None:
        now = self._worked_seconds()
        if now - self._recent[-1][0] >= RECENT_SECONDS / 30:
            self._recent.append((now, self._encoded + self.from_cache))
        while len(self._recent) > 1 and now - self._recent[1][0] >= RECENT_SECONDS:
            self._recent.popleft()

    def _made_per_second(self) -> float | None:
        seconds, made = self._recent[0]
        more, longer = self._encoded + self.from_cache - made, self._worked_seconds() - seconds
        return more / longer if more and longer > 0 else None

    def _worked_seconds(self) -> float:
        return self._seconds + (0.0 if self._since is None else monotonic() - self._since)

    def _pause_clock(self) -> None:
        if self._since is not None:
            self._seconds += monotonic() - self._since
            self._since = None
