"""How long a committed chunk takes until the text index finds it, sampled while an index is being made.

A thread looks at the catalog every few milliseconds. When new chunks are there, it takes the last of them and asks the
index that serves searches, again and again, for a definition in it. The time starts at the look *before* the one that
saw the chunk, so it errs on the long side by one look.
"""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from storage import TextClause, TextQuery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage import TextIndex

LOOK_SECONDS: Final = 0.01
ASK_SECONDS: Final = 0.005
GIVE_UP_SECONDS: Final = 30.0


@dataclass(slots=True)
class Delays:
    """Seconds from a file's commit until a definition in it was found by text."""

    seconds: list[float] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    """names not found within ``GIVE_UP_SECONDS``"""


@contextmanager
def sampled_delays(catalog: Path, index: TextIndex, *, most: int, every_seconds: float) -> Iterator[Delays]:
    """Take at most ``most`` samples, one each ``every_seconds``, until the context ends."""
    delays, stop = Delays(), threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="findable") as pool:
        sampling = pool.submit(_sample, catalog, index, delays, stop, most=most, every_seconds=every_seconds)
        try:
            yield delays
        finally:
            stop.set()
        sampling.result()


def _sample(
    catalog: Path, index: TextIndex, delays: Delays, stop: threading.Event, *, most: int, every_seconds: float
) -> None:
    connection = sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)
    last, before, due = _last_chunk(connection), perf_counter(), perf_counter()
    while len(delays.seconds) < most and not stop.wait(LOOK_SECONDS):
        now = perf_counter()
        newest = _last_chunk(connection)
        if newest > last and now >= due:
            sample = _definition(connection, last, newest)
            if sample is not None:
                _follow(index, *sample, since=before, delays=delays)
                due = now + every_seconds
                newest = _last_chunk(connection)
                now = perf_counter()
        last, before = newest, now
    connection.close()


def _follow(index: TextIndex, name: str, cut_id: int, repository: str, *, since: float, delays: Delays) -> None:
    # Only chunks of its own cut count, so that an older definition of the same name is no answer.
    query = TextQuery((TextClause("symbol", name), TextClause("code", name)), frozenset({repository}), cut_ids=[cut_id])
    while not index.search(query, 1).hits:
        if perf_counter() - since > GIVE_UP_SECONDS:
            delays.given_up.append(name)
            return
        threading.Event().wait(ASK_SECONDS)
    delays.seconds.append(perf_counter() - since)


def _last_chunk(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    return 0 if row is None else int(row[0])


def _definition(connection: sqlite3.Connection, after: int, upto: int) -> tuple[str, int, str] | None:
    """The newest definition among the new chunks: (name, cut id, repository)."""
    row: tuple[str, int, str] | None = connection.execute(
        "SELECT symbol, cut_id, uuid FROM chunks JOIN cuts ON cuts.id = cut_id"
        " JOIN repositories ON repositories.id = repository_id"
        " WHERE chunk_id > ? AND chunk_id <= ? AND length(symbol) BETWEEN 6 AND 60 ORDER BY chunk_id DESC LIMIT 1",
        (after, upto),
    ).fetchone()
    return row
