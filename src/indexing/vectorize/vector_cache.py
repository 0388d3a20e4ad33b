"""The embedding cache, from a coroutine: one thread of its own, and no error that would stop the work.

A cache that cannot be read or written costs time only: texts are encoded that were encoded before.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import structlog

from indexing.vectorize.encode import expand
from storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from storage import EmbeddingCache, Vectors

T = TypeVar("T")
log = structlog.get_logger(__name__)


class VectorCache:
    """Vectors by (fingerprint, hash of the embedded text); shared by all collections of an owner."""

    def __init__(self, open_cache: Callable[[], EmbeddingCache]) -> None:
        """Prepare; ``open_cache`` runs on the cache's thread when the context is entered."""
        self._open_cache = open_cache
        self._thread: ThreadPoolExecutor | None = None
        self._cache: EmbeddingCache | None = None
        self.failure = ""
        """Why the cache is of no use at present; empty while it works."""

    async def __aenter__(self) -> Self:
        """Open the cache; one that cannot be opened is done without."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding-cache")
        try:
            self._cache = await self._attempt(self._open_cache)
            if self._cache is not None and self._cache.set_aside is not None:
                path, reason = self._cache.set_aside
                log.warning("embedding_cache.begun_anew", former=str(path), reason=reason)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the cache and its thread."""
        if self._cache is not None:
            await self._attempt(self._cache.close)
            self._cache = None
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)

    async def get(self, fingerprint: str, hashes: Collection[bytes]) -> dict[bytes, Vectors]:
        """Return what is known of texts by their hash: float32 rows."""
        cache = self._cache
        if cache is None or not hashes:
            return {}
        found = await self._attempt(lambda: cache.get(fingerprint, list(hashes)))
        return {} if found is None else {each: expand(row) for each, row in found.items()}

    async def put(self, fingerprint: str, vectors: Mapping[bytes, Vectors]) -> None:
        """Keep vectors by the hash of their text."""
        cache = self._cache
        if cache is None or not vectors:
            return
        await self._attempt(lambda: _put(cache, fingerprint, vectors))

    async def evict(self, most_bytes: int, in_use: Collection[str]) -> None:
        """Forget vectors of fingerprints that are not in use while the cache is larger than ``most_bytes``."""
        cache = self._cache
        if cache is not None:
            gone = await self._attempt(lambda: cache.evict(most_bytes, in_use))
            if gone:
                log.info("embedding_cache.evicted", vectors=gone)

    async def _attempt(self, work: Callable[[], T]) -> T | None:
        """Run ``work`` on the thread; None where it failed, which is said once."""
        assert self._thread is not None  # noqa: S101  (inside the context)
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except StorageError as error:
            if not self.failure:
                log.warning("embedding_cache.unusable", error=str(error))
            self.failure = str(error)
            return None
        self.failure = ""
        return result


def _put(cache: EmbeddingCache, fingerprint: str, vectors: Mapping[bytes, Vectors]) -> None:
    cache.put(fingerprint, list(vectors), np.stack(list(vectors.values())).astype(np.float16))
