"""What real Weaviate servers may do while codetrove keeps its vectors there: be killed, one by one, again and again.

    PATH=/where/weaviate/is:$PATH python benchmarks/weaviate_faults.py kills [--kills 20]
    PATH=/where/weaviate/is:$PATH python benchmarks/weaviate_faults.py nodes
    PATH=/where/weaviate/is:$PATH python benchmarks/weaviate_faults.py moves

``kills``: one node is killed with SIGKILL at random moments while Django's source is indexed; at the end the ids in the
server have to be those of the catalog. ``nodes``: three nodes with replication factor 3; one is killed during indexing
and search and started again, and at the end each node has to hold the same. ``moves``: local to Weaviate to local
on a live index; nothing may be encoded, and no search may go without an answer. Vectors are made by ``hashing-384``.
Exits with 1 where something was lost, doubled or left.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import corpora
import structlog
from ingest_measures import machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from embeddings import HashingEncoder
from indexing.runtime import Owner, open_owner
from indexing.search import Mode, SearchRequest, search
from indexing.settings import Settings
from storage import WeaviateOptions, collections, expected_ids, point_counts
from storage.vectors import CollectionSpec, WeaviateStore
from tests.weaviate.server import NO_SERVER, Node, can_start, cluster

DEADLINE_SECONDS = 5
"""For a call; what has no answer by then stays in doubt as long again."""
AGREE_SECONDS = 120.0
QUERIES = ("how are migrations applied", "template tag for urls", "cookie session expiry", "QuerySet.filter lookups")


def main() -> int:
    """Run what the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "nodes", "moves"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("~/.cache/codetrove-benchmarks").expanduser())
    arguments = parser.parse_args()
    if not can_start():
        parser.error(NO_SERVER)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    tree = corpora.get("django", arguments.keep).path
    print(machine())
    with TemporaryDirectory() as scratch:
        runs = {"kills": _kills, "nodes": _nodes, "moves": _moves}
        return asyncio.run(runs[arguments.what](tree, Path(scratch), arguments))


async def _kills(tree: Path, scratch: Path, arguments: argparse.Namespace) -> int:
    chance = random.Random(arguments.seed)
    node = Node(scratch / "node")
    await _start([node])
    kills = 0
    recoveries: list[float] = []
    try:
        async with open_owner(_settings(scratch / "data", node)) as owner:
            job, repository = await _submitted(owner, tree)
            indexing = asyncio.create_task(owner.service.wait(job))
            drained = asyncio.create_task(_drained(owner))
            while kills < arguments.kills or not indexing.done():
                await asyncio.sleep(chance.uniform(0.2, 2.5))
                await asyncio.to_thread(node.kill)
                kills += 1
                began = monotonic()
                await _start([node])
                recoveries.append(monotonic() - began)
                if drained.done() and kills < arguments.kills:
                    # All is stored before the last kill: let it be stored once more.
                    await owner.writer.apply(_all_pending)
                    _vectors(owner).service.nudge()
                    drained = asyncio.create_task(_drained(owner))
            report = await indexing
            began = monotonic()
            await drained
            lost, left, stored = await _compare(owner, node)
            median, longest = statistics.median(recoveries), max(recoveries)
            print(
                f"{kills} kills; {report.state}; {stored:,} vectors stored, {lost} lost, {left} left over; the server "
                f"was ready again after {median:.1f} s (median), {longest:.1f} s at most; "
                f"drained {monotonic() - began:.1f} s after the last"
            )
            return int(bool(lost or left) or not stored or repository is None)
    finally:
        await asyncio.to_thread(node.kill)


async def _nodes(tree: Path, scratch: Path, arguments: argparse.Namespace) -> int:
    del arguments
    nodes = cluster(scratch / "nodes")
    await _start(nodes)
    answers: list[bool] = []
    try:
        async with open_owner(_settings(scratch / "data", nodes[0], replication=3)) as owner:
            job, _ = await _submitted(owner, tree)
            drained = asyncio.create_task(_until_drained(owner, job))
            await _stored(owner, 2_000)
            searching = asyncio.create_task(_keep_searching(owner, answers))
            began = monotonic()
            await asyncio.to_thread(nodes[2].kill)
            before = await _count(owner)
            await _stored(owner, before + 5_000)
            print(f"one of three nodes killed: 5,000 more vectors {monotonic() - began:.1f} s later")
            await _start([nodes[2]])
            await drained
            searching.cancel()
            await asyncio.wait([searching])
            began = monotonic()
            counts = await _agree(owner, nodes)
            print(
                f"{sum(answers)} of {len(answers)} searches had answers; ids of the catalog missing in each node, and "
                f"ids too many: {counts}, {monotonic() - began:.0f} s after the end"
            )
            return int(not answers or not all(answers) or any(sum(each) for each in counts))
    finally:
        for node in nodes:
            await asyncio.to_thread(node.kill)


async def _moves(tree: Path, scratch: Path, arguments: argparse.Namespace) -> int:
    del arguments
    node = Node(scratch / "node")
    await _start([node])
    encoded: list[int] = []
    encode = HashingEncoder.encode

    async def counting(self: HashingEncoder, texts: Sequence[str], kind: Any) -> Any:
        if kind == "document":
            encoded.append(len(texts))
        return await encode(self, texts, kind)

    HashingEncoder.encode = counting  # type: ignore[method-assign]
    failed = False
    try:
        async with open_owner(_settings(scratch / "data", node, backend="local")) as owner:
            job, _ = await _submitted(owner, tree)
            await _until_drained(owner, job)
            exact = [_places(await _search(owner, query, "vector")) for query in QUERIES]
        for backend in ("weaviate", "local"):
            encoded.clear()
            async with open_owner(_settings(scratch / "data", node, backend=backend)) as owner:
                answers: list[bool] = []
                searching = asyncio.create_task(_keep_searching(owner, answers, legs=True))
                began = monotonic()
                await _drained(owner)
                seconds = monotonic() - began
                searching.cancel()
                await asyncio.wait([searching])
                places = [_places(await _search(owner, query, "vector")) for query in QUERIES]
                recall = statistics.mean(len(a & b) / len(a) for a, b in zip(exact, places, strict=True))
                (row,) = await collections(owner.reader)
                print(
                    f"to {backend}: {seconds:.1f} s, {sum(encoded)} texts encoded, {sum(answers)} of {len(answers)} "
                    f"searches answered from vectors too, recall@10 of the vector leg {recall:.3f}, now in {row.store}"
                )
                failed = failed or bool(sum(encoded)) or not all(answers) or recall < 0.98 or row.store != backend
    finally:
        await asyncio.to_thread(node.kill)
    return int(failed)


def _settings(data: Path, node: Node, *, replication: int = 1, backend: str = "weaviate") -> Settings:
    return Settings(
        storage={"data_dir": str(data), "backend": backend},
        weaviate={
            "url": node.url,
            "grpc_port": node.grpc,
            "deadline_seconds": DEADLINE_SECONDS,
            "replication_factor": replication,
        },
        embeddings={"model": "hashing-384", "download": False},
    )


async def _start(nodes: Sequence[Node]) -> None:
    for node in nodes:
        await asyncio.to_thread(node.start)
    for node in nodes:
        await asyncio.to_thread(node.wait_ready)


async def _submitted(owner: Owner, tree: Path) -> tuple[str, Any]:
    repository = await owner.register(tree)
    return await owner.service.submit(repository), repository


def _vectors(owner: Owner) -> Any:
    assert owner.vectors is not None
    return owner.vectors


async def _drained(owner: Owner) -> None:
    assert await _vectors(owner).drained(), _vectors(owner).missing_because


async def _until_drained(owner: Owner, job: str) -> None:
    await owner.service.wait(job)
    await _drained(owner)


async def _count(owner: Owner) -> int:
    rows = await collections(owner.reader)
    return (await point_counts(owner.reader, rows[0].id)).get("stored", 0) if rows else 0


async def _stored(owner: Owner, wanted: int) -> None:
    while await _count(owner) < wanted:  # noqa: ASYNC110  (the catalog tells nobody)
        await asyncio.sleep(0.1)


def _all_pending(connection: Any) -> None:
    connection.execute("UPDATE points SET state = 'pending' WHERE state = 'stored'")


async def _search(owner: Owner, query: str, mode: Mode = "hybrid") -> Any:
    uuids = frozenset(each.uuid for each in await owner.reader.repositories())
    async with _vectors(owner).source() as vectors:
        request = SearchRequest(query, repositories=uuids, k=10, mode=mode)
        return await search(request, catalog=owner.reader, text_index=owner.feed.index, vectors=vectors)


def _places(result: Any) -> set[tuple[str, int]]:
    return {(hit.path, hit.start_line) for hit in result.hits}


async def _keep_searching(owner: Owner, answers: list[bool], *, legs: bool = False) -> None:
    number = 0
    while True:
        result = await _search(owner, QUERIES[number % len(QUERIES)])
        by_vector = any("vector" in hit.scores.legs for hit in result.hits)
        answers.append(bool(result.hits) and (by_vector or not legs))
        number += 1
        await asyncio.sleep(0.05)


async def _compare(owner: Owner, node: Node, *, replication: int = 1) -> tuple[int, int, int]:
    """Ids of the catalog that are missing in the server, ids there that the catalog does not have, and all of them."""
    (row,) = await collections(owner.reader)
    wanted = set(await expected_ids(owner.reader, row.id, None, 10_000_000))
    async with _collection(node, row.name, row.dimension, replication) as collection:
        there = await collection.ids(None, 10_000_000)
        # What is there twice, or counted and not listed, is too much as well.
        too_many = len(there) - len(set(there)) + abs(await collection.count() - len(there))
    return len(wanted - set(there)), len(set(there) - wanted) + too_many, len(there)


@asynccontextmanager
async def _collection(node: Node, name: str, dimension: int, replication: int) -> AsyncIterator[Any]:
    options = WeaviateOptions(node.url, node.grpc, replication_factor=replication, consistency="one")
    store = WeaviateStore(options, reading=True)
    try:
        yield await store.open(CollectionSpec(name, dimension))
    finally:
        await store.aclose()


async def _agree(owner: Owner, nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Wait until every node holds what the catalog expects, as far as that comes."""
    until = monotonic() + AGREE_SECONDS
    while True:
        counts = []
        for node in nodes:
            lost, left, _ = await _compare(owner, node, replication=3)
            counts.append((lost, left))
        if not any(sum(each) for each in counts) or monotonic() > until:
            return counts
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
