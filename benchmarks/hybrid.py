"""How fast vectors are made and stored, and how fast and how exactly they are searched together with words.

    python benchmarks/hybrid.py                    Django's package, and about 100,000 chunks of the kernel
    python benchmarks/hybrid.py --only vectorize   the first part alone
    python benchmarks/hybrid.py --model all-minilm-l6-v2 --only vectorize

The first part is the whole way from an empty data directory to stored vectors, with an encoder that has no weights,
so that everything but the model is measured. The second searches; the query's encoding is timed apart.
``docs/benchmarks.md`` says what each figure means and what it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import structlog
from corpora import get
from ingest_measures import disk_bytes, machine, percentile
from ingest_queries import QUERIES
from ingest_steps import settings_for

from embeddings import Encoder, EncoderSpec, TextKind, open_encoder, resolve
from indexing.reading import open_for_search, open_vectors
from indexing.runtime import open_owner
from indexing.search import SearchRequest, VectorSearch, search

if TYPE_CHECKING:
    from embeddings import Vectors
    from storage import Collection

KERNEL_PARTS: Final = ("fs", "kernel", "mm", "net")
"""Subtrees of the kernel with about 100,000 chunks together, each a repository."""

ROUNDS: Final = 5
NEIGHBOURS: Final = 10
ENCODER_MODEL: Final = "all-minilm-l6-v2"
EXACT_IDS: Final = 20_000


class RememberingEncoder:
    """Gives a text's vector at once the second time, so that a search without its encoding can be timed."""

    def __init__(self, encoder: Encoder) -> None:
        """Wrap ``encoder``."""
        self._encoder = encoder
        self._known: dict[tuple[str, ...], Vectors] = {}

    @property
    def spec(self) -> EncoderSpec:
        """Of the wrapped encoder."""
        return self._encoder.spec

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """As the wrapped encoder does."""
        key = (*texts, kind)
        if key not in self._known:
            self._known[key] = await self._encoder.encode(texts, kind)
        return self._known[key]

    async def aclose(self) -> None:
        """Close the wrapped encoder."""
        await self._encoder.aclose()


def main() -> int:
    """Run the benchmark; 0 when it ran, whether goals were met or not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="keep archives, trees and data directories here")
    parser.add_argument("--model", default="hashing-384", help="of the vectors (default: hashing-384)")
    parser.add_argument("--only", choices=("vectorize", "search"))
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    results: dict[str, Any] = {"machine": machine()}
    with TemporaryDirectory(prefix="codetrove-benchmark-") as temporary:
        keep = (arguments.keep or Path(temporary)).resolve()
        if arguments.only != "search":
            results["vectorize"] = asyncio.run(vectorize(keep, arguments.model))
            show("Django's package, from nothing to stored vectors", results["vectorize"])
        if arguments.only != "vectorize":
            results["search"] = asyncio.run(search_all(keep, arguments.model))
            show("search in a part of the kernel", results["search"])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
    return 0


def show(title: str, figures: dict[str, Any]) -> None:
    """Print figures as a table."""
    print(f"\n{title}\n")
    for name, value in figures.items():
        print(f"| {name} | {value:,.3f} |" if isinstance(value, float) else f"| {name} | {value:,} |")


async def vectorize(keep: Path, model: str) -> dict[str, Any]:
    """Index Django's package until all vectors are stored; medians of three runs."""
    tree = get("django", keep).path / "django"
    data = keep / "data" / "django-vectors"
    runs = []
    for _ in range(3):
        runs.append(await _index([tree], data, model))
    chunks = runs[-1]["chunks"]
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "chunks": chunks,
        "searchable, seconds": statistics.median(run["searchable"] for run in runs),
        "vectors stored, seconds": seconds,
        "chunks per second": chunks / seconds,
        "disk, bytes per chunk": disk_bytes(data) / chunks,
    }


async def search_all(keep: Path, model: str) -> dict[str, Any]:
    """Search words, vectors and both, with everything warm; compare neighbours with exact ones."""
    tree = get("linux", keep).path
    data = keep / "data" / "kernel-vectors"
    indexed = await _index([tree / part for part in KERNEL_PARTS], data, model)
    figures: dict[str, Any] = {"chunks": indexed["chunks"]}
    settings = settings_for(data, model)
    wanted = list(QUERIES["linux"])
    async with AsyncExitStack() as stack:
        reader, index = await stack.enter_async_context(open_for_search(settings))
        vectors = await stack.enter_async_context(open_vectors(settings, reader, load_model=True))
        assert isinstance(vectors, VectorSearch)
        assert vectors.encoder is not None
        remembering = replace(vectors, encoder=RememberingEncoder(vectors.encoder))
        allowed = frozenset(each.uuid for each in await reader.repositories())
        for mode in ("text", "vector", "hybrid"):
            seconds = []
            for turn in range(1 + ROUNDS):
                for text in wanted:
                    request = SearchRequest(text, allowed, mode=mode)
                    before = perf_counter()
                    result = await search(request, catalog=reader, text_index=index, vectors=remembering)
                    assert not result.degraded
                    if turn:
                        seconds.append(perf_counter() - before)
            figures |= _milliseconds(f"{mode}, query encoded before", seconds)
        queries = (await vectors.encoder.encode(wanted, "query")).astype("float32")
        figures |= await _neighbours(vectors.collection, queries, allowed)
    return figures | await _encoding(wanted)


async def _index(trees: Sequence[Path], data: Path, model: str) -> dict[str, Any]:
    shutil.rmtree(data, ignore_errors=True)
    async with open_owner(settings_for(data, model)) as owner:
        assert owner.vectors is not None
        repositories = [await owner.register(tree) for tree in trees]
        before = perf_counter()
        chunks = 0
        for repository in repositories:
            async with owner.job_for(repository) as job:
                await job.run()
                chunks += job.counters.chunks
        searchable = perf_counter() - before
        assert await owner.vectors.drained()
        return {"chunks": chunks, "searchable": searchable, "seconds": perf_counter() - before}


async def _neighbours(collection: Collection, queries: Vectors, allowed: frozenset[str]) -> dict[str, Any]:
    """Time and recall of the nearest vectors, against all of them compared one by one."""
    ids: list[bytes] = []
    while page := await collection.ids(ids[-1] if ids else None, EXACT_IDS):
        ids += page
    few = ids[:: len(ids) // NEIGHBOURS][:NEIGHBOURS]
    recalls, seconds = [], []
    for query in queries:
        before = perf_counter()
        found = await collection.search(query, NEIGHBOURS, repositories=allowed)
        seconds.append(perf_counter() - before)
        exact = []
        for start in range(0, len(ids), EXACT_IDS):
            lot = ids[start : start + EXACT_IDS]
            exact += (await collection.search(query, NEIGHBOURS, repositories=allowed, allowed_ids=lot)).hits
        exact.sort(key=lambda hit: -hit.score)
        # An equal score is as good: many chunks are alike.
        least = exact[NEIGHBOURS - 1].score
        recalls.append(sum(hit.score >= least for hit in found.hits[:NEIGHBOURS]) / NEIGHBOURS)
        narrow = await collection.search(query, NEIGHBOURS, repositories=allowed, allowed_ids=few)
        assert {hit.id for hit in narrow.hits} == set(few)
    return {
        **_milliseconds("nearest vectors alone", seconds),
        f"recall@{NEIGHBOURS}": statistics.mean(recalls),
        "found of 10 allowed chunks": NEIGHBOURS,
    }


async def _encoding(wanted: Sequence[str]) -> dict[str, Any]:
    """How long a small real model takes for a query."""
    encoder = open_encoder(resolve(ENCODER_MODEL, allow_download=False), threads=2)
    try:
        await encoder.encode(["warm"], "query")
        seconds = []
        for text in [*wanted] * 3:
            before = perf_counter()
            await encoder.encode([text], "query")
            seconds.append(perf_counter() - before)
    finally:
        await encoder.aclose()
    return _milliseconds(f"encoding a query with {ENCODER_MODEL}", seconds)


def _milliseconds(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}, p50 ms": 1e3 * statistics.median(seconds), f"{name}, p95 ms": 1e3 * percentile(seconds, 0.95)}


if __name__ == "__main__":
    raise SystemExit(main())
