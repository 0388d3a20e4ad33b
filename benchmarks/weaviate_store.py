"""Weaviate as the vector store, against a bare loop of its client: made-up clustered vectors, no catalog, no encoder.

    PATH=/where/weaviate/is:$PATH python benchmarks/weaviate_store.py [--rounds 10] [--dimensions 384 768]

Starts one node on loopback, or takes the one that WEAVIATE_URL and WEAVIATE_GRPC_PORT name. Each way of inserting has a
collection of its own; they get the same 2,000 objects in turns, round after round, so that the load of the machine and
the growth of the collections fall on all of them alike:

- ``bare``: a loop of the client's ``insert_many``, 500 objects a call, two calls in flight, nothing verified;
- ``lock`` and ``pool``: the store with each ``weaviate.insert_mode``, given batches of 512 as the vectorizer gives
  them, the next one when the last is acknowledged.

Then it compares searches in one of the collections with exact ones, and deletes half of it.
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import numpy as np
import psutil
from ingest_measures import disk_bytes, machine, percentile
from weaviate.classes.data import DataObject

sys.path.insert(0, str(Path(__file__).parents[1]))

from storage.vectors import (
    CollectionSpec,
    PointPayload,
    VectorBatch,
    WeaviateOptions,
    WeaviateStore,
)
from storage.vectors.scoring import exact_scores, unit_query, unit_rows
from storage.vectors.weaviate_client import Clients
from storage.vectors.weaviate_collection import WeaviateCollection
from storage.vectors.weaviate_schema import class_of
from tests.weaviate.server import NO_SERVER, Node, can_start

DIMENSIONS: Final = (384, 768)
BARE_OBJECTS: Final = 500
BATCH: Final = 512
TURN: Final = 2_000
"""objects that each way gets in a round"""
GOAL: Final = 0.8
"""of what the bare loop reaches"""
TEXT_CHARACTERS: Final = 1_000
K: Final = 10
QUERIES: Final = 100
ALLOWED: Final = 1_000
WAYS: Final = ("bare", "lock", "pool")
REPOSITORIES: Final = ("9d2f5c1e-0b7a-4c38-9f10-5e6d7c8b9a01", "1c4e8a70-33b2-4d19-8e57-a2b3c4d5e6f7")
LANGUAGES: Final = (("python", 0.6), ("typescript", 0.28), ("go", 0.1), ("rust", 0.02))


@dataclass(frozen=True, slots=True)
class Inserted:
    """One turn of one way of inserting."""

    objects_per_second: float
    cpu_microseconds: float
    """of the client for one object, all its threads"""


class Way:
    """One way of inserting, with a collection of its own."""

    def __init__(self, name: str, options: WeaviateOptions, dimension: int) -> None:
        """Prepare; `open` makes the collection."""
        self.name = name
        self.options = replace(options, insert_mode="pool" if name == "pool" else "lock", pool_size=2)
        self.spec = CollectionSpec(f"benchmark-{os.getpid()}-{name}", dimension)
        self.store = WeaviateStore(self.options)
        self.clients = Clients(self.options)
        self.collection: WeaviateCollection
        self.turns: list[Inserted] = []

    async def open(self) -> None:
        """Make the collection."""
        self.collection = await self.store.open(self.spec)

    async def close(self) -> None:
        """Take the collection away."""
        await self.store.drop(self.spec.name)
        await self.store.aclose()
        await self.clients.aclose()

    async def take_turn(self, objects: VectorBatch) -> None:
        """Insert all of them, measured."""
        began, cpu = time.perf_counter(), time.process_time()
        if self.name == "bare":
            await self._bare(objects)
        else:
            for batch in parts_of(objects, BATCH):
                assert len(await self.collection.upsert(batch)) == len(batch.ids)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        self.turns.append(Inserted(len(objects.ids) / seconds, cpu / len(objects.ids) * 1e6))

    async def _bare(self, objects: VectorBatch) -> None:
        """What someone writes who trusts the network."""
        there = (await self.clients.first()).collections.use(class_of(self.spec.name))
        left = iter(list(parts_of(objects, BARE_OBJECTS)))

        async def some() -> None:
            for part in left:
                made: list[DataObject[Any, None]] = [
                    DataObject(properties=asdict(payload), uuid=UUID(bytes=id), vector=row.tolist())
                    for id, payload, row in zip(part.ids, part.payloads, part.vectors, strict=True)
                ]
                await there.data.insert_many(made)

        await asyncio.gather(some(), some())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help=f"of {TURN:,} objects for each way")
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--directory", type=Path, help="where the node's data lies; a temporary directory by default")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    with TemporaryDirectory(dir=arguments.directory) as scratch:
        figures = []
        for dimension in arguments.dimensions:
            with server(Path(scratch) / str(dimension)) as (options, node):
                figures.append(asyncio.run(measure(dimension, arguments.rounds, options, node)))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


@contextlib.contextmanager
def server(directory: Path) -> Iterator[tuple[WeaviateOptions, Node | None]]:
    """The server that is measured, and its process where it was started here."""
    if url := os.environ.get("WEAVIATE_URL"):
        yield WeaviateOptions(url, int(os.environ.get("WEAVIATE_GRPC_PORT", "50051"))), None
        return
    if not can_start():
        raise SystemExit(NO_SERVER)
    node = Node(directory)
    node.start()
    try:
        node.wait_ready()
        yield WeaviateOptions(node.url, node.grpc), node
    finally:
        node.kill()


async def measure(dimension: int, rounds: int, options: WeaviateOptions, node: Node | None) -> dict[str, Any]:
    """Measure with vectors of one size; returns the figures."""
    objects = made(rounds * TURN, dimension)
    ways = [Way(name, options, dimension) for name in WAYS]
    try:
        for way in ways:
            await way.open()
        for number, part in enumerate(parts_of(objects, TURN)):
            # Another order each time: who follows whom should not matter.
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                await way.take_turn(part)
        print_inserted(ways)
        figures: dict[str, Any] = {"dimension": dimension, "objects": len(objects.ids)}
        figures["ways"] = {way.name: [asdict(each) for each in way.turns] for way in ways}
        if node is not None and node.process is not None:
            total = len(ways) * len(objects.ids)
            figures["server_rss_bytes_an_object"] = psutil.Process(node.process.pid).memory_info().rss // total
            figures["server_disk_bytes_an_object"] = disk_bytes(node.directory / "data") // total
        figures["searches"] = await searched(ways[1].collection, objects)
        half = objects.ids[: len(objects.ids) // 2]
        before = time.perf_counter()
        await ways[1].collection.delete(half)
        figures["deleted_per_second"] = round(len(half) / (time.perf_counter() - before))
        assert await ways[1].collection.count() == len(objects.ids) - len(half)
        print({key: value for key, value in figures.items() if key not in ("ways", "searches")}, flush=True)
        return figures
    finally:
        for way in ways:
            await way.close()


def made(count: int, dimension: int) -> VectorBatch:
    """Objects as the vectorizer makes them: rows around common centres, texts of about a kilobyte."""
    random = np.random.default_rng(1)
    centres = random.standard_normal((500, dimension)).astype(np.float32)
    rows = centres[random.integers(0, len(centres), count)]
    rows = rows + 0.7 * random.standard_normal((count, dimension)).astype(np.float32)
    languages = random.choice([name for name, _ in LANGUAGES], count, p=[share for _, share in LANGUAGES])
    words = np.array([f"{a}_{b}" for a in ("get", "set", "load", "self.x", "return") for b in range(400)])
    payloads = []
    for number in range(count):
        text = " ".join(random.choice(words, TEXT_CHARACTERS // 6))[:TEXT_CHARACTERS]
        path = f"src/package_{number % 97}/module_{number // 12}.py"
        repository = REPOSITORIES[number % 10 == 0]
        payloads.append(PointPayload(repository, str(languages[number]), path, 1, 30, f"f{number}", "function", text))
    return VectorBatch(tuple(random.bytes(16) for _ in range(count)), rows.astype(np.float32), tuple(payloads))


def parts_of(objects: VectorBatch, size: int) -> Iterator[VectorBatch]:
    """The objects in batches of that size."""
    for start in range(0, len(objects.ids), size):
        chosen = slice(start, start + size)
        yield VectorBatch(objects.ids[chosen], objects.vectors[chosen], objects.payloads[chosen])


def print_inserted(ways: Sequence[Way]) -> None:
    """Print medians, and the best round: the one that the rest of the machine disturbed least."""
    bare = [each.objects_per_second for each in ways[0].turns]
    for way in ways:
        rates = [each.objects_per_second for each in way.turns]
        share = statistics.median(rate / other for rate, other in zip(rates, bare, strict=True))
        cpu = statistics.median(each.cpu_microseconds for each in way.turns)
        verdict = "" if way is ways[0] else f", {'meets' if share >= GOAL else 'misses'} {GOAL:.0%}"
        print(
            f"{way.spec.dimension}-d, {way.name}: {statistics.median(rates):,.0f} objects/s,"
            f" {share:.0%} of bare round by round{verdict}; best round {max(rates):,.0f}, {max(rates) / max(bare):.0%};"
            f" {cpu:.0f} µs CPU of the client an object; by round {[round(rate) for rate in rates]}",
            flush=True,
        )


async def searched(collection: WeaviateCollection, objects: VectorBatch) -> dict[str, Any]:
    """Search with and without filters; returns times and recall of each kind."""
    ids, payloads, dimension = objects.ids, objects.payloads, objects.vectors.shape[1]
    rows = unit_rows(objects.vectors, dimension)
    random = np.random.default_rng(2)
    near = rows[random.integers(0, len(rows), QUERIES)].astype(np.float32)
    queries = near + 0.7 * float(np.abs(near).mean()) * random.standard_normal(near.shape).astype(np.float32)
    both, one, allowed = frozenset(REPOSITORIES), frozenset({REPOSITORIES[1]}), frozenset(ids[:ALLOWED])
    everywhere = [True] * len(ids)
    kinds: dict[str, tuple[list[bool], dict[str, Any]]] = {
        "both repositories": (everywhere, {"repositories": both}),
        "one repository (10%)": ([each.repository in one for each in payloads], {"repositories": one}),
        f"{ALLOWED:,} allowed ids": (
            [each in allowed for each in ids],
            {"repositories": both, "allowed_ids": sorted(allowed)},
        ),
    }
    for name, share in LANGUAGES:
        languages = {"repositories": both, "languages": frozenset({name})}
        kinds[f"{name} ({share:.0%})"] = ([each.language == name for each in payloads], languages)
    figures = {}
    for kind, (passes, keywords) in kinds.items():
        places = np.flatnonzero(passes)
        times, recalls, apart = [], [], [0.0]
        for query in queries:
            before = time.perf_counter()
            found = await collection.search(query, K, **keywords)
            times.append(time.perf_counter() - before)
            scores = exact_scores(rows[places], unit_query(query, dimension))
            nearest = {ids[places[each]]: float(scores[each]) for each in np.argsort(-scores)[:K]}
            hits = {hit.id: hit.score for hit in found.hits}
            recalls.append(len(nearest.keys() & hits.keys()) / min(K, len(places)))
            apart += [abs(nearest[id] - hits[id]) for id in nearest.keys() & hits.keys()]
        figures[kind] = {
            "p50_ms": round(percentile(times, 0.5) * 1e3, 2),
            "p95_ms": round(percentile(times, 0.95) * 1e3, 2),
            f"recall@{K}": round(statistics.mean(recalls), 4),
            "scores_apart_at_most": round(max(apart), 6),
        }
        print(f"{dimension}-d, search in {len(ids):,}, {kind}: {figures[kind]}", flush=True)
    return figures


if __name__ == "__main__":
    main()
