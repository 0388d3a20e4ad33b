"""What can go wrong below the local store, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import (
    DataDirectoryUnsuitable,
    DiskFull,
    VectorStoreDamaged,
    VectorStoreError,
    VectorStoreUnavailable,
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise ``VectorStoreUnavailable`` or ``VectorStoreDamaged`` for every failure of the libraries inside the block.

    ``doing`` completes the sentence "the vector store failed …".

    The file system raises ``OSError`` (mmap too), memory that cannot be had ``MemoryError``: try again later. usearch
    raises ``RuntimeError`` for what its files hold, numpy, numkong, mmap and json ``ValueError``, ``TypeError``,
    ``KeyError`` or ``IndexError``: what was read is not what we wrote.
    """
    try:
        yield
    except VectorStoreError:
        raise
    except (OSError, MemoryError, DiskFull, DataDirectoryUnsuitable) as error:
        raise VectorStoreUnavailable(f"the vector store failed {doing}: {error}") from error
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise VectorStoreDamaged(f"the vector store failed {doing}: {error!r}") from error
