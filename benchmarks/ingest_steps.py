"""The measured steps of the ingest benchmark: each makes its own start, and times only what comes after it."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from ingest_findable import sampled_delays
from ingest_measures import contents, disk_bytes, percentile, sampled_usage
from ingest_naive import index_naively
from ingest_queries import QUERIES

from indexing.reading import open_for_search
from indexing.runtime import open_owner
from indexing.search import SearchRequest, search
from indexing.settings import load_settings
from storage import DataDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from indexing.ingest.job import IndexJob
    from indexing.runtime import Owner
    from indexing.settings import Settings
    from storage import Repository

Figures = dict[str, Any]

RACY_SECONDS: Final = 2.1
"""A file changed less than two seconds before it is read is read again next time; a fresh copy of a tree must age."""

TELL_SECONDS: Final = 15.0
ROUNDS: Final = 5
MOVED_FILES: Final = 500
NAIVE_FILES: Final = 300
NAIVE_ROUNDS: Final = 3
FIRST_ROUNDS: Final = {"flask": 3, "django": 3, "linux": 1}
FRESHNESS_SAMPLES: Final = 100
FRESHNESS_EVERY: Final = {"flask": 0.02, "django": 0.5, "linux": 1.5}
PROBE: Final = {"flask": ("python", "{} = 1\n"), "django": ("python", "{} = 1\n"), "linux": ("c", "int {};\n")}
"""Language of the file that is changed, and the line that is added to it."""


def settings_for(data: Path, model: str = "none") -> Settings:
    """Return the default settings with this data directory and model; a file of the user's changes nothing."""
    config = data.with_suffix(".yaml")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"storage:\n  data_dir: {str(data)!r}\nembeddings:\n  model: {model}\n", encoding="utf-8")
    os.environ["CODETROVE_CONFIG"] = str(config)
    return load_settings(config)


async def first_indexes(name: str, tree: Path, data: Path) -> Figures:
    """Index the tree from nothing as often as it is small enough for; the figures are those of the median run."""
    runs = [await first_index(name, tree, data) for _ in range(FIRST_ROUNDS[name])]
    runs.sort(key=lambda run: float(run["seconds"]))
    return runs[len(runs) // 2] | {"all_seconds": [run["seconds"] for run in runs]}


async def first_index(name: str, tree: Path, data: Path) -> Figures:
    """Index the tree into an empty data directory, until all of it is findable by text."""
    shutil.rmtree(data, ignore_errors=True)
    with sampled_usage() as usage:
        before = perf_counter()
        async with open_owner(settings_for(data)) as owner:
            opened = perf_counter() - before
            repository = await owner.register(tree)
            catalog, index = owner.directory.catalog, owner.feed.index
            every = FRESHNESS_EVERY[name]
            async with owner.job_for(repository) as job:
                told = asyncio.create_task(_tell(name, job))
                with sampled_delays(catalog, index, most=FRESHNESS_SAMPLES, every_seconds=every) as delays:
                    seconds = await _run(job)
                told.cancel()
                assert index.document_count == job.counters.chunks
                skipped = dict(job.counters.skipped)
    directory = DataDirectory(data)
    held = contents(directory.catalog)
    return {
        "open_seconds": opened,
        "seconds": seconds,
        "files": held.files,
        "bytes": held.bytes,
        "chunks": held.chunks,
        "skipped": skipped,
        "megabytes_per_second": held.bytes / 1e6 / seconds,
        "chunks_per_second": held.chunks / seconds,
        "owner_cpu_seconds": usage.cpu_seconds(owner=True),
        "worker_cpu_seconds": usage.cpu_seconds(owner=False),
        "peak_rss_bytes": usage.peak_rss,
        "peak_private_bytes": usage.peak_private,
        "disk_share": disk_bytes(data) / held.bytes,
        "catalog_share": disk_bytes(directory.catalog.parent) / held.bytes,
        "text_share": disk_bytes(directory.text) / held.bytes,
        "findable_samples": len(delays.seconds),
        "findable_median_seconds": statistics.median(delays.seconds) if delays.seconds else None,
        "findable_max_seconds": max(delays.seconds, default=None),
        "findable_given_up": delays.given_up,
    }


async def nothing_changed(tree: Path, data: Path) -> Figures:
    """Index the tree again, from a fresh start each time, with nothing changed."""
    seconds = []
    files = 0
    for _ in range(3):
        async with _job(tree, data) as (_, _, job):
            seconds.append(await _run(job))
            assert job.counters.read == job.counters.chunks == 0, job.counters
            files = job.counters.unchanged
    return {"seconds": statistics.median(seconds), "files": files}


async def one_file_changed(name: str, tree: Path, data: Path) -> Figures:
    """Add a line with a new identifier to one file; time until a search shows it. The file is put back."""
    language, line = PROBE[name]
    async with open_owner(settings_for(data)) as owner:
        repository = await owner.register(tree)
        path = await _middling_file(owner, language)
        file = tree / path
        original = file.read_bytes()
        seconds: list[float] = []
        ranks, searches = [], []
        try:
            for _ in range(ROUNDS):
                word = f"probe_{uuid4().hex}"
                file.write_bytes(original + line.format(word).encode())
                before = perf_counter()
                async with owner.job_for(repository) as job:
                    await _run(job)
                rank, asked = await _rank_of(owner, repository, word, path)
                seconds.append(perf_counter() - before)
                ranks.append(rank)
                searches.append(asked)
        finally:
            file.write_bytes(original)
        async with owner.job_for(repository) as job:
            await _run(job)
    return {
        "seconds": statistics.median(seconds),
        "worst_seconds": max(seconds),
        "worst_rank": max(ranks),
        "most_searches": max(searches),
        "file": path,
    }


async def moved_directory(tree: Path, work: Path, data: Path) -> Figures:
    """``git mv`` a directory, index, switch back to the branch before it, index."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(tree, work, symlinks=True)
    _git(work, "init", "--quiet", "--initial-branch=main")
    _git(work, "add", "--all", "--force")
    _git(work, "commit", "--quiet", "--message=as released")
    await asyncio.sleep(RACY_SECONDS)
    catalog = DataDirectory(data).catalog
    async with _job(work, data) as (owner, _, job):
        await _run(job)
        directory, files = await _directory_of(owner, MOVED_FILES)
    held = contents(catalog)
    figures: Figures = {"files": files, "directory": directory}
    _git(work, "checkout", "--quiet", "-b", "moved")
    _git(work, "mv", directory, f"{directory}_moved")
    _git(work, "commit", "--quiet", "--message=moved")
    for step in ("moved", "back"):
        if step == "back":
            _git(work, "checkout", "--quiet", "main")
        async with _job(work, data) as (_, _, job):
            figures[f"{step}_seconds"] = await _run(job)
            assert job.counters.removed == files, job.counters
        after = contents(catalog)
        figures[f"{step}_cut"] = after.cuts - held.cuts + after.longest_id - held.longest_id
    return figures


async def queries(name: str, data: Path) -> Figures:
    """Search in process with everything warm, and as a process of its own each time."""
    settings = settings_for(data)
    seconds: list[float] = []
    misses: list[str] = []
    async with open_for_search(settings) as (reader, index):
        repositories = frozenset(repository.uuid for repository in await reader.repositories())
        for turn in range(1 + ROUNDS):
            for text, wanted in QUERIES[name].items():
                before = perf_counter()
                result = await search(SearchRequest(text, repositories), catalog=reader, text_index=index)
                if turn:
                    seconds.append(perf_counter() - before)
                elif wanted not in {path for hit in result.hits for path in (hit.path, *hit.also_at)}:
                    misses.append(f"{text!r} does not find {wanted}: {[hit.path for hit in result.hits]}")
    cold = []
    program = Path(sys.executable).with_name("codetrove")
    for text in list(QUERIES[name])[:ROUNDS]:
        before = perf_counter()
        if await asyncio.to_thread(_exit_status, program, "search", text) == 0:
            cold.append(perf_counter() - before)
    return {
        "queries": len(QUERIES[name]),
        "p50_seconds": percentile(seconds, 0.5),
        "p95_seconds": percentile(seconds, 0.95),
        "misses": misses,
        "cold_seconds": statistics.median(cold) if cold else None,
    }


async def against_the_naive_way(tree: Path, first: Path, scratch: Path) -> Figures:
    """The same files indexed by codetrove and one at a time, in turn."""
    shutil.rmtree(scratch, ignore_errors=True)
    files = await _some_files(first, NAIVE_FILES)
    subset = scratch / "tree"
    for file in files:
        (subset / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / file, subset / file)
    seconds: dict[str, list[float]] = {"codetrove": [], "naive": [], "naive_one_commit": []}
    chunks: dict[str, int] = {}
    for turn in range(NAIVE_ROUNDS):
        async with _job(subset, scratch / f"codetrove-{turn}") as (_, _, job):
            seconds["codetrove"].append(await _run(job))
            chunks["codetrove"] = job.counters.chunks
        for way in ("naive", "naive_one_commit"):
            before = perf_counter()
            chunks[way] = index_naively(subset, files, scratch / f"{way}-{turn}", commit_each=way == "naive")
            seconds[way].append(perf_counter() - before)
    medians = {way: statistics.median(each) for way, each in seconds.items()}
    return {
        "files": len(files),
        "chunks": chunks,
        "seconds": medians,
        "all_seconds": seconds,
        "times_faster": medians["naive"] / medians["codetrove"],
        "times_faster_than_one_commit": medians["naive_one_commit"] / medians["codetrove"],
    }


@asynccontextmanager
async def _job(tree: Path, data: Path) -> AsyncIterator[tuple[Owner, Repository, IndexJob]]:
    async with open_owner(settings_for(data)) as owner:
        repository = await owner.register(tree)
        async with owner.job_for(repository) as job:
            yield owner, repository, job


async def _run(job: IndexJob) -> float:
    before = perf_counter()
    report = await job.run()
    seconds = perf_counter() - before
    assert report.state == "succeeded", (report.state, report.reason, report.notes[:5])
    return seconds


async def _tell(name: str, job: IndexJob) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        now = job.counters.snapshot()
        print(f"{name}: {now.seconds:.0f} s, {now.read} of {now.to_read} files, {now.chunks} chunks", file=sys.stderr)


async def _rank_of(owner: Owner, repository: Repository, word: str, path: str) -> tuple[int, int]:
    """Search until the file is among the first hits; returns its place among them, from 1, and the searches."""
    request = SearchRequest(word, frozenset({repository.uuid}))
    for searches in count(1):
        result = await search(request, catalog=owner.reader, text_index=owner.feed.index)
        for rank, hit in enumerate(result.hits, 1):
            if hit.path == path and word in hit.text:
                return rank, searches
    raise AssertionError("unreachable")


async def _middling_file(owner: Owner, language: str) -> str:
    """The path of the file of median size in that language."""
    rows = await owner.reader.query("SELECT path FROM entries WHERE language = ? ORDER BY size, path", (language,))
    return os.fsdecode(rows[len(rows) // 2][0])


async def _directory_of(owner: Owner, files: int) -> tuple[str, int]:
    """The smallest directory that holds at least so many indexed files at any depth, else the largest but the root."""
    rows = await owner.reader.query("SELECT path FROM entries")
    held: Counter[str] = Counter()
    for (path,) in rows:
        held.update(str(parent) for parent in Path(os.fsdecode(path)).parents)
    del held["."]
    enough = {directory: count for directory, count in held.items() if count >= files}
    if enough:
        return min(enough.items(), key=lambda each: (each[1], each[0]))
    return max(held.items(), key=lambda each: (each[1], each[0]))


async def _some_files(data: Path, most: int) -> list[str]:
    """Paths of files that have chunks, evenly chosen from all of them in order."""
    async with open_for_search(settings_for(data)) as (reader, _):
        rows = await reader.query(
            "SELECT path FROM entries WHERE EXISTS (SELECT 1 FROM chunks WHERE chunks.cut_id = entries.cut_id)"
            " ORDER BY path"
        )
    paths = [os.fsdecode(path) for (path,) in rows]
    return paths[:: max(1, len(paths) // most)][:most]


def _exit_status(*command: str | Path) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def _git(tree: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@invalid", "-c", "gc.auto=0"]
    subprocess.run(["git", *identity, *arguments], cwd=tree, check=True, capture_output=True)


async def corpus_figures(name: str, tree: Path, keep: Path) -> AsyncIterator[tuple[str, Figures]]:
    """Yield the figures of each step of a corpus; ``linux`` has too many files for the steps that copy the tree."""
    data = keep / "data" / name
    await asyncio.sleep(RACY_SECONDS)
    yield "first", await first_indexes(name, tree, data)
    yield "unchanged", await nothing_changed(tree, data)
    yield "one_file", await one_file_changed(name, tree, data)
    yield "queries", await queries(name, data)
    if name != "linux":
        yield "moved", await moved_directory(tree, keep / "work" / name, keep / "data" / f"{name}-git")
        yield "naive", await against_the_naive_way(tree, data, keep / "work" / f"{name}-naive")
