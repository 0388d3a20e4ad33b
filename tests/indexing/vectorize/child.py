"""A vectorizer in a process of its own, for tests that kill it.

``python child.py CATALOG VECTORS CACHE TEXTS FAULT``: works off the points of a catalog into a local store until the
fault strikes, and writes every text into a file before it encodes it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from embeddings import TextKind
from storage import LocalStore, Vectors
from storage.faults import arm
from tests.indexing.vectorize.conftest import Bench, SideCatalog, TestEncoder


class NotingEncoder(TestEncoder):
    """Writes down what it encodes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        os.write(self._file, "".join(texts).encode())
        return await super().encode(texts, kind)


def run_until_killed(bench: Bench, vectors: Path, fault: str) -> tuple[int, list[str]]:
    """Run a child; returns its status and the texts that it encoded, a line each, in order."""
    texts = vectors.with_name("texts")
    texts.touch()
    arguments = [str(each) for each in (bench.catalog.path, vectors, bench.cache_path, texts, fault)]
    path = [*sys.path, str(Path(__file__).parents[3])]
    done = subprocess.run(
        [sys.executable, "-P", __file__, *arguments],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        stdout=subprocess.DEVNULL,
        timeout=30,
    )
    return done.returncode, texts.read_text().splitlines(keepends=True)


async def _work(catalog: Path, vectors: Path, cache: Path, texts: Path, fault: str) -> None:
    store = await LocalStore.open_for_writing(vectors)
    bench = Bench(SideCatalog(catalog), cache, store)
    arm(fault)
    async with bench.run(NotingEncoder(texts)) as run:
        await run.drained()
    await store.aclose()


if __name__ == "__main__":
    catalog_path, vectors_path, cache_path, texts_path = map(Path, sys.argv[1:5])
    asyncio.run(_work(catalog_path, vectors_path, cache_path, texts_path, sys.argv[5]))
