"""What was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

import psutil
import pytest

from indexing.freed_memory import give_back_freed_memory

BLOCK = 64 * 1024
BLOCKS = 800


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no glibc")
def test_what_was_freed_below_something_that_is_in_use_goes_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    blocks = [ctypes.c_void_p(libc.malloc(BLOCK)) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    last = blocks.pop()
    for block in blocks:
        libc.free(block)
    before = psutil.Process().memory_info().rss
    give_back_freed_memory()
    after = psutil.Process().memory_info().rss
    libc.free(last)
    assert before - after > BLOCK * BLOCKS // 2


def test_it_may_be_called_at_any_time() -> None:
    give_back_freed_memory()
    give_back_freed_memory()
