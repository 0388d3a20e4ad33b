"""Merges of segments yield to whoever commits and searches."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

NICENESS: Final = 15
_THREADS: Final = Path("/proc/self/task")
_NAME: Final = "merge_thread_"
"""So tantivy names the threads that merge segments (``segment_updater.rs``)."""


def let_merges_yield() -> None:
    """Let threads that merge have the processor after others; to be called after a writer's first commit.

    Nothing is merged before that, and by then the threads have their names: just started, one of them had none yet in
    one of seven runs, and kept its niceness.
    A merge of large segments takes seconds on several threads, and a commit beside it took three times as long. Only
    Linux gives each thread a niceness of its own (sched(7)); elsewhere nothing changes.
    """
    # A thread may end meanwhile, and what cannot be lowered stays as it is.
    with suppress(OSError):
        for task in _THREADS.iterdir():
            with suppress(OSError):
                if (task / "comm").read_text(encoding="utf-8").startswith(_NAME):
                    os.setpriority(os.PRIO_PROCESS, int(task.name), NICENESS)
