"""Weaviate as the vector store, against a bare loop of its client: made-up clustered vectors, no catalog, no encoder.

    PATH=/where/weaviate/is:$PATH python benchmarks/weaviate_store.py [--objects 8000] [--rounds 3] [--rows 20000]

Starts one node on loopback, or takes the one that WEAVIATE_URL and WEAVIATE_GRPC_PORT name. Inserts the same objects
into new collections in turns, so that whatever else the machine does falls on all ways alike, and prints the medians of

- ``bare``: a loop of the client's ``insert_many``, 500 objects a call, two calls in flight, nothing verified;
- ``lock`` and ``pool``: the store with each ``weaviate.insert_mode``, given batches of 512 as the vectorizer gives
  them, the next one when the last is acknowledged;
- ``lock 2`` and ``pool 2``: the same with two batches at a time.

Then it fills a collection, compares searches with exact ones, and deletes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import numpy as np
import psutil
from ingest_measures import disk_bytes, machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from storage.vectors import (
    CollectionSpec,
    PointPayload,
    VectorBatch,
    VectorHits,
    Vectors,
    WeaviateOptions,
    WeaviateStore,
)
from storage.vectors.scoring import exact_scores, unit_query, unit_rows
from storage.vectors.weaviate_client import Clients
from storage.vectors.weaviate_schema import class_of
from tests.weaviate.server import NO_SERVER, Node, can_start

DIMENSIONS: Final = (384, 768)
BARE_OBJECTS: Final = 500
BATCH: Final = 512
GOAL: Final = 0.8
"""of what the bare loop reaches"""
TEXT_CHARACTERS: Final = 1_000
K: Final = 10
QUERIES: Final = 100
WAYS: Final = ("bare", "lock", "pool", "lock 2", "pool 2")
REPOSITORIES: Final = ("9d2f5c1e-0b7a-4c38-9f10-5e6d7c8b9a01", "1c4e8a70-33b2-4d19-8e57-a2b3c4d5e6f7")
LANGUAGES: Final = (("python", 0.6), ("typescript", 0.28), ("go", 0.1), ("rust", 0.02))


@dataclass(frozen=True, slots=True)
class Inserted:
    """One way of inserting, once."""

    way: str
    dimension: int
    objects_per_second: float
    cpu_microseconds: float
    """of the client for one object, all its threads"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=8_000, help="inserted in one turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000, help="objects to search in")
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--directory", type=Path, help="where the node's data lies; a temporary directory by default")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    with TemporaryDirectory(dir=arguments.directory) as scratch, server(Path(scratch)) as (options, node):
        figures = asyncio.run(measure(arguments, options, node))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


@contextlib.contextmanager
def server(scratch: Path) -> Iterator[tuple[WeaviateOptions, Node | None]]:
    """The server that is measured, and its process where it was started here."""
    if url := os.environ.get("WEAVIATE_URL"):
        yield WeaviateOptions(url, int(os.environ.get("WEAVIATE_GRPC_PORT", "50051"))), None
        return
    if not can_start():
        raise SystemExit(NO_SERVER)
    node = Node(scratch / "node")
    node.start()
    try:
        node.wait_ready()
        yield WeaviateOptions(node.url, node.grpc), node
    finally:
        node.kill()


async def measure(arguments: argparse.Namespace, options: WeaviateOptions, node: Node | None) -> dict[str, Any]:
    """Run everything; returns the figures."""
    figures: dict[str, Any] = {"inserted": [], "filled": []}
    for dimension in arguments.dimensions:
        data = made(arguments.objects, dimension)
        runs = []
        for number in range(arguments.rounds):
            # Another order each time: who follows whom should not matter.
            for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
                runs.append(await inserted(way, options, data, dimension))
        figures["inserted"] += [asdict(each) for each in runs]
        print_inserted(runs, arguments.objects)
        filled = await searched(options, node, made(arguments.rows, dimension), dimension)
        figures["filled"].append(filled)
        print(json.dumps(filled, indent=1), flush=True)
    return figures


def made(count: int, dimension: int) -> list[VectorBatch]:
    """Batches of objects as the vectorizer makes them: rows around common centres, texts of about a kilobyte."""
    random = np.random.default_rng(1)
    centres = random.standard_normal((500, dimension)).astype(np.float32)
    rows = centres[random.integers(0, len(centres), count)]
    rows = rows + 0.7 * random.standard_normal((count, dimension)).astype(np.float32)
    languages = random.choice([name for name, _ in LANGUAGES], count, p=[share for _, share in LANGUAGES])
    words = np.array([f"{a}_{b}" for a in ("get", "set", "load", "self.x", "return") for b in range(400)])
    payloads = []
    for number in range(count):
        text = " ".join(random.choice(words, TEXT_CHARACTERS // 8))[:TEXT_CHARACTERS]
        path = f"src/package_{number % 97}/module_{number // 12}.py"
        payloads.append(
            PointPayload(
                REPOSITORIES[number % 10 == 0], str(languages[number]), path, 1, 30, f"f{number}", "function", text
            )
        )
    ids = [random.bytes(16) for _ in range(count)]
    return [
        VectorBatch(
            tuple(ids[start : start + BATCH]), rows[start : start + BATCH], tuple(payloads[start : start + BATCH])
        )
        for start in range(0, count, BATCH)
    ]


async def inserted(way: str, options: WeaviateOptions, data: Sequence[VectorBatch], dimension: int) -> Inserted:
    """Insert everything into a new collection that is gone afterwards."""
    mode, _, at_once = way.partition(" ")
    chosen = replace(options, insert_mode="pool" if mode == "pool" else "lock", pool_size=2)
    spec = CollectionSpec(f"benchmark-{os.getpid()}", dimension)
    store = WeaviateStore(chosen)
    collection = await store.open(spec)
    count = sum(len(batch.ids) for batch in data)
    try:
        if mode == "bare":
            spent = await bare(chosen, spec.name, data)
        else:
            spent = await timed(lambda batch: _acknowledged(collection.upsert, batch), data, int(at_once or 1))
        assert await collection.count() == count
    finally:
        await store.drop(spec.name)
        await store.aclose()
    return Inserted(way, dimension, count / spent[0], spent[1] / count * 1e6)


async def bare(options: WeaviateOptions, name: str, data: Sequence[VectorBatch]) -> tuple[float, float]:
    """What someone writes who trusts the network: calls of the client, two of them in flight."""
    from weaviate.classes.data import DataObject  # noqa: PLC0415

    flat = [each for batch in data for each in zip(batch.ids, batch.payloads, batch.vectors, strict=True)]
    slices = [flat[start : start + BARE_OBJECTS] for start in range(0, len(flat), BARE_OBJECTS)]
    clients = Clients(options)
    try:
        found = (await clients.first()).collections.use(class_of(name))

        async def call(objects: Sequence[tuple[bytes, PointPayload, Vectors]]) -> None:
            made: list[DataObject[Any, None]] = [
                DataObject(properties=asdict(payload), uuid=UUID(bytes=id), vector=row.tolist())
                for id, payload, row in objects
            ]
            await found.data.insert_many(made)

        return await timed(call, slices, 2)
    finally:
        await clients.aclose()


async def timed(call: Callable[[Any], Awaitable[None]], given: Sequence[Any], at_once: int) -> tuple[float, float]:
    """Call with each of what is given, some at once; returns wall and CPU seconds."""
    left = iter(given)

    async def some() -> None:
        for each in left:
            await call(each)

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(some())
    return time.perf_counter() - began, time.process_time() - cpu


async def _acknowledged(upsert: Callable[[VectorBatch], Awaitable[frozenset[bytes]]], batch: VectorBatch) -> None:
    assert len(await upsert(batch)) == len(batch.ids)


def print_inserted(runs: Sequence[Inserted], count: int) -> None:
    """Print the medians of each way."""
    rates = {way: statistics.median(each.objects_per_second for each in runs if each.way == way) for way in WAYS}
    for way in WAYS:
        mine = [each for each in runs if each.way == way]
        cpu = statistics.median(each.cpu_microseconds for each in mine)
        share = rates[way] / rates["bare"]
        verdict = "" if way == "bare" else f"  {'meets' if share >= GOAL else 'misses'} {GOAL:.0%}"
        all_rates = " ".join(f"{each.objects_per_second:,.0f}" for each in mine)
        print(
            f"{mine[0].dimension}-d, {count:,} objects, {way:7} {rates[way]:7,.0f} objects/s ({share:4.0%})"
            f"  {cpu:4.0f} µs CPU of the client an object  [{all_rates}]{verdict}",
            flush=True,
        )


async def searched(
    options: WeaviateOptions, node: Node | None, data: Sequence[VectorBatch], dimension: int
) -> dict[str, Any]:
    """Fill a collection, search in it with and without filters, delete from it."""
    spec = CollectionSpec(f"benchmark-{os.getpid()}", dimension)
    store = WeaviateStore(options)
    collection = await store.open(spec)
    try:
        for batch in data:
            await _acknowledged(collection.upsert, batch)
        ids = [each for batch in data for each in batch.ids]
        payloads = [each for batch in data for each in batch.payloads]
        rows = unit_rows(np.concatenate([batch.vectors for batch in data]), dimension)
        random = np.random.default_rng(2)
        near = rows[random.integers(0, len(rows), QUERIES)].astype(np.float32)
        queries = near + 0.7 * float(np.abs(near).mean()) * random.standard_normal(near.shape).astype(np.float32)
        narrow = frozenset({REPOSITORIES[1]})
        allowed = frozenset(ids[:1_000])
        both = frozenset(REPOSITORIES)
        filters: dict[str, tuple[Callable[[int], bool], dict[str, Any]]] = {
            "both repositories": (lambda _: True, {"repositories": both}),
            "one repository (10%)": (lambda n: payloads[n].repository in narrow, {"repositories": narrow}),
        }
        for name, share in LANGUAGES:
            filters[f"{name} ({share:.0%})"] = (
                lambda n, name=name: payloads[n].language == name,  # type: ignore[misc]
                {"repositories": both, "languages": frozenset({name})},
            )
        filters["1,000 allowed ids"] = (
            lambda n: ids[n] in allowed,
            {"repositories": both, "allowed_ids": sorted(allowed)},
        )
        figures: dict[str, Any] = {"dimension": dimension, "objects": len(ids)}
        if node is not None and node.process is not None:
            figures["server_rss_bytes"] = psutil.Process(node.process.pid).memory_info().rss
            figures["server_disk_bytes"] = disk_bytes(node.directory / "data")
        for what, (passes, keywords) in filters.items():
            places = np.array([number for number in range(len(ids)) if passes(number)])
            times, recalls, widest = [], [], 0.0
            for query in queries:
                before = time.perf_counter()
                found: VectorHits = await collection.search(query, K, **keywords)
                times.append(time.perf_counter() - before)
                scores = exact_scores(rows[places], unit_query(query, dimension))
                order = np.argsort(-scores)[:K]
                nearest = {ids[places[each]]: float(scores[each]) for each in order}
                recalls.append(len(nearest.keys() & {hit.id for hit in found.hits}) / min(K, len(places)))
                apart = [abs(nearest[hit.id] - hit.score) for hit in found.hits if hit.id in nearest]
                widest = max(widest, *apart, 0.0)
            figures[what] = {
                "p50_ms": round(statistics.median(times) * 1e3, 2),
                "p95_ms": round(sorted(times)[int(0.95 * len(times))] * 1e3, 2),
                f"recall@{K}": round(statistics.mean(recalls), 4),
                "scores_apart": round(widest, 6),
            }
        half = ids[: len(ids) // 2]
        before = time.perf_counter()
        await collection.delete(half)
        figures["deleted_per_second"] = round(len(half) / (time.perf_counter() - before))
        assert await collection.count() == len(ids) - len(half)
        return figures
    finally:
        await store.drop(spec.name)
        await store.aclose()


if __name__ == "__main__":
    main()
