"""The local vector store by itself: made-up clustered vectors, no catalog, no encoder.

    python benchmarks/vectors.py [--rows 100000] [--dimension 384] [--directory DIR]

Prints how fast a caller gets rid of batches of 512 while the store merges in the background, how long the rest of the
merging takes, how long searches take and how many of the ten nearest they find, with and without filters, how long
opening takes with all checksums, and the bytes on disk. Recall is measured against the store's own exact search of all
ids, the reference of the contract suite.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np

from storage.vectors import CollectionSpec, LocalStore, PointPayload, VectorBatch, VectorHits, Vectors
from storage.vectors.scoring import Rows, exact_scores, unit_query, unit_rows

BATCH = 512
K = 10
QUERIES = 200
REPOSITORY = "repository"
LANGUAGES = (("python", 0.6), ("typescript", 0.28), ("go", 0.1), ("rust", 0.02))
ALLOWED = 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--directory", type=Path, help="where the store is written; a temporary directory by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        asyncio.run(measure(Path(directory), arguments.rows, arguments.dimension))


async def measure(path: Path, count: int, dimension: int) -> None:
    """Fill, optimize, search, close, open, search."""
    random = np.random.default_rng(1)
    rows, queries = clustered(random, count, dimension)
    languages = random.choice([name for name, _ in LANGUAGES], count, p=[share for _, share in LANGUAGES])
    ids = [random.bytes(16) for _ in range(count)]
    spec = CollectionSpec("benchmark", dimension)

    store = await LocalStore.open_for_writing(path)
    collection = await store.open(spec)
    stalls: list[float] = []
    watching = asyncio.create_task(watch(stalls))
    began = time.perf_counter()
    slowest = 0.0
    for start in range(0, count, BATCH):
        chosen = slice(start, start + BATCH)
        payloads = tuple(PointPayload(REPOSITORY, str(name)) for name in languages[chosen])
        before = time.perf_counter()
        await collection.upsert(VectorBatch(tuple(ids[chosen]), rows[chosen], payloads))
        slowest = max(slowest, time.perf_counter() - before)
    filled = time.perf_counter()
    while_merging = await time_searches(collection.search, queries[:50])
    before = time.perf_counter()
    await collection.optimize()
    done = time.perf_counter()
    watching.cancel()
    print(f"{count:,} vectors of {dimension} dimensions, {os.cpu_count()} cores")
    print(f"upsert: {count / (filled - began):,.0f} rows/s, slowest batch {slowest * 1000:.0f} ms")
    print(f"search right after the last upsert, merging still going on: p50 {while_merging:.2f} ms")
    print(f"optimize: {done - before:.1f} s after that; all merged {done - began:.1f} s after the first upsert")
    print(f"longest stall of the event loop: {max(stalls) * 1000:.0f} ms")

    halves = unit_rows(rows, dimension)
    await report("no filter", collection.search, queries, halves, ids)
    strange = random.standard_normal(queries.shape).astype(np.float32)
    await report("no filter, queries far from all rows", collection.search, strange, halves, ids)
    for name, share in LANGUAGES:
        places = np.flatnonzero(languages == name)
        search = narrowed(collection.search, languages=frozenset({name}))
        await report(f"{name} ({share:.0%})", search, queries, halves[places], [ids[each] for each in places])
    places = random.choice(count, min(ALLOWED, count), replace=False)
    allowed = [ids[each] for each in places]
    search = narrowed(collection.search, allowed_ids=allowed)
    await report(f"{ALLOWED:,} allowed ids", search, queries, halves[places], allowed)

    before = time.perf_counter()
    await store.aclose()
    closed = time.perf_counter()
    store = await LocalStore.open_for_writing(path)
    collection = await store.open(spec)
    opened = time.perf_counter()
    assert await collection.count() == count
    size = size_of(path)
    print(f"close {(closed - before) * 1000:.0f} ms, open {(opened - closed) * 1000:.0f} ms, checksums included")
    print(f"disk: {size / count:.0f} bytes a vector")
    await store.aclose()


def clustered(random: np.random.Generator, count: int, dimension: int) -> tuple[Vectors, Vectors]:
    """Rows and queries around common centres, as embeddings of code lie."""
    centres = random.standard_normal((500, dimension)).astype(np.float32)
    members = random.integers(0, len(centres), count + QUERIES)
    drawn = centres[members] + 0.7 * random.standard_normal((count + QUERIES, dimension)).astype(np.float32)
    return drawn[:count], drawn[count:]


def narrowed(search: Callable[..., Awaitable[VectorHits]], **filters: object) -> Callable[..., Awaitable[VectorHits]]:
    """The same search with filters."""
    return lambda *arguments, **keywords: search(*arguments, **keywords, **filters)


async def report(
    what: str,
    search: Callable[..., Awaitable[VectorHits]],
    queries: Vectors,
    rows: Rows,
    ids: Sequence[bytes],
) -> None:
    """Print the median time of a kind of search and its recall among the rows that it may find."""
    recalls = []
    for query in queries[:100]:
        scores = exact_scores(rows, unit_query(query, len(query)))
        nearest = {ids[each] for each in np.argsort(-scores)[:K]}
        found = await search(query, K, repositories=frozenset({REPOSITORY}))
        recalls.append(len(nearest & {hit.id for hit in found.hits}) / min(K, len(ids)))
    median = await time_searches(search, queries)
    print(f"search, {what}: p50 {median:.2f} ms, recall@{K} {statistics.mean(recalls):.4f}")


async def time_searches(search: Callable[..., Awaitable[VectorHits]], queries: Vectors) -> float:
    """Median of one search at a time, milliseconds."""
    times = []
    for query in queries:
        before = time.perf_counter()
        await search(query, K, repositories=frozenset({REPOSITORY}))
        times.append(time.perf_counter() - before)
    return statistics.median(times) * 1000


def size_of(path: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


async def watch(stalls: list[float]) -> None:
    """Note how late the event loop wakes."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        stalls.append(time.perf_counter() - before - 0.001)


if __name__ == "__main__":
    main()
