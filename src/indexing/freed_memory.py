"""Memory that was freed and that the allocator keeps goes back to the system from time to time.

glibc keeps what a thread frees in an arena of its own, and tantivy makes new threads for each commit: under constant
change a process held 110 to 160 MB that way beside 40 to 55 MB in use, and more by the minute.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

GIVE_BACK_SECONDS: Final = 60.0
"""Between two times; each takes 10 to 20 ms, and what is wanted again after it has to be asked of the system again."""


def give_back_freed_memory() -> None:
    """Return freed memory to the system (``malloc_trim``, malloc_trim(3)); nothing happens where there is no glibc.

    To be called in a thread of its own: it takes some milliseconds, without the interpreter's lock.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  (needed here only)

        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
