"""Settings of a process that answers while it works."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SWITCH_SECONDS: Final = 0.0005
"""How long a thread may hold the interpreter while others wait for it.

A search gives the interpreter up some thirty times (SQLite, tantivy, zstd) and waits for it as often. Beside one busy
thread, as when a tree is indexed, text searches in 91,000 chunks took 57 ms with Python's own 5 ms, 37 ms with 1 ms and
34 ms with this (medians, taken in turns on a busy machine); with no other thread they take the same.
"""


@contextmanager
def quick_turns() -> Iterator[None]:
    """Let threads take turns quickly, as long as the context lasts."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def leave_start_to_itself() -> None:
    """Leave what was loaded at the start to no garbage collection.

    To be called once a daemon has opened what it works with: a full collection then looks at what came since, and does
    not stop every thread for 70 ms.
    """
    gc.collect()
    gc.freeze()
