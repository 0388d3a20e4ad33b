"""Vectors between two processes: memory without a name, that both have open.

There is nothing to clean up: the memory is gone with the last descriptor, also when both processes are killed.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from embeddings.encoder import Vectors

_ITEM_BYTES = 4


class SharedRows:
    """A float32 matrix in memory shared by file descriptor; one process writes, then the other reads."""

    def __init__(self, descriptor: int) -> None:
        """Use a descriptor that is open, as one inherited from the parent; it is closed by ``close``."""
        self._descriptor = descriptor

    @classmethod
    def create(cls) -> SharedRows:
        """New and empty; other processes get its descriptor only when it is passed to them."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("encoder-rows")
        else:
            descriptor, name = tempfile.mkstemp()
            Path(name).unlink()
        return cls(descriptor)

    @property
    def descriptor(self) -> int:
        """The descriptor; -1 once closed."""
        return self._descriptor

    def write(self, rows: Vectors) -> None:
        """Put ``rows``, of shape ``(n, dimension)``, in place of what is there."""
        content = np.ascontiguousarray(rows, dtype=np.float32)
        if content.nbytes == 0:
            return
        if os.fstat(self._descriptor).st_size < content.nbytes:
            os.ftruncate(self._descriptor, content.nbytes)
        with mmap.mmap(self._descriptor, content.nbytes) as memory:
            memory[:] = content.tobytes()

    def read(self, count: int, dimension: int) -> Vectors:
        """A copy of the first ``count`` rows; raises ``ValueError`` where there are not so many."""
        size = count * dimension * _ITEM_BYTES
        if size == 0:
            return np.zeros((count, dimension), dtype=np.float32)
        with mmap.mmap(self._descriptor, size, prot=mmap.PROT_READ) as memory:
            return np.frombuffer(memory[:], dtype=np.float32).reshape(count, dimension).copy()

    def close(self) -> None:
        """Close the descriptor; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
