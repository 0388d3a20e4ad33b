"""What several workers gain: 1, 2 and 4 of them with ``enable_parallel`` on, against off, in one run.

    python benchmarks/parallel.py                        Django and a tree of many small files
    python benchmarks/parallel.py --corpus linux         the kernel, many minutes
    python benchmarks/parallel.py --vectors              with vectors of the hashing encoder (384-d)
    python benchmarks/parallel.py --rounds 5 --json FILE

Ways take turns (off, 1, 2, 4, off, 1, …), figures are medians, and all ways must come to the same canonical dump.
The naive way is a script of the same libraries: one file at a time, one chunk at a time (``ingest_naive.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import structlog
from corpora import CorpusError, get
from ingest_measures import machine, sampled_usage
from ingest_naive import index_naively
from ingest_steps import settings_for

from indexing.runtime import open_owner
from storage import canonical_dump, open_for_reading

WORKERS: Final = (0, 1, 2, 4)
"""0 is ``enable_parallel: false``."""
SMALL_FILES: Final = 20_000
SMALL: Final = "small"
NAIVE_FILES: Final = 300


@dataclass(slots=True)
class Way:
    """The runs of one number of workers."""

    workers: int
    seconds: list[float] = field(default_factory=list)
    owner_cpu: list[float] = field(default_factory=list)
    workers_cpu: list[float] = field(default_factory=list)
    dumps: set[str] = field(default_factory=set)
    chunks: int = 0


def main() -> int:
    """Run the benchmark; 1 when two ways did not come to the same index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--corpus", action="append", choices=("flask", "django", "linux", SMALL), help="may be repeated"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS), help="0 is off (default 0 1 2 4)")
    parser.add_argument("--vectors", action="store_true", help="also make vectors, and wait for them")
    parser.add_argument("--keep", type=Path, help="keep archives and trees here, and use those there")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    results: dict[str, Any] = {"machine": machine(), "corpora": {}}
    with TemporaryDirectory(prefix="codetrove-benchmark-") as temporary:
        keep = (arguments.keep or Path(temporary)).resolve()
        for name in arguments.corpus or ["django", SMALL]:
            try:
                tree = _small_tree(keep) if name == SMALL else get(name, keep).path
            except CorpusError as error:
                print(f"parallel: {error}", file=sys.stderr)
                return 1
            ways = asyncio.run(_measure(name, tree, keep / "work" / "parallel", arguments))
            naive = None if name == "linux" else _naive(tree, keep / "work" / "naive")
            results["corpora"][name] = {"ways": [asdict(way) | {"dumps": sorted(way.dumps)} for way in ways]}
            print(_table(name, ways, naive, vectors=arguments.vectors))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    same = all(
        len({dump for way in each["ways"] for dump in way["dumps"]}) == 1 for each in results["corpora"].values()
    )
    return 0 if same else 1


async def _measure(name: str, tree: Path, data: Path, arguments: argparse.Namespace) -> list[Way]:
    ways = [Way(workers) for workers in arguments.workers]
    registry = b""
    for turn in range(arguments.rounds):
        for way in ways:
            registry = await _run(way, tree, data, registry, vectors=arguments.vectors)
            print(f"{name}: round {turn + 1}, {_name(way)}: {way.seconds[-1]:.2f} s", file=sys.stderr)
    return ways


async def _run(way: Way, tree: Path, data: Path, registry: bytes, *, vectors: bool) -> bytes:
    """Index into an empty data directory, under the repository's uuid of the first run."""
    _prepare(data, registry)
    settings = settings_for(data, "hashing-384" if vectors else "none")
    indexing = {"enable_parallel": way.workers > 0, "concurrent_workers": max(1, way.workers)}
    settings = settings.model_copy(update={"indexing": settings.indexing.model_copy(update=indexing)})
    with sampled_usage() as usage:
        async with open_owner(settings) as owner:
            repository = await owner.register(tree)
            began = perf_counter()
            report = await owner.service.wait(await owner.service.submit(repository))
            if owner.vectors is not None:
                assert await owner.vectors.drained()
            way.seconds.append(perf_counter() - began)
            assert report.state == "succeeded", report
            way.chunks = owner.feed.index.document_count
            catalog = owner.directory.catalog
    way.owner_cpu.append(usage.cpu_seconds(owner=True))
    way.workers_cpu.append(usage.cpu_seconds(owner=False))
    way.dumps.add(await asyncio.to_thread(_digest, catalog))
    return _registry(data)


def _prepare(data: Path, registry: bytes) -> None:
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700, parents=True)
    if registry:
        (data / "registry.json").write_bytes(registry)


def _registry(data: Path) -> bytes:
    return (data / "registry.json").read_bytes()


def _naive(tree: Path, work: Path) -> float:
    """Return the chunks a second of the naive way over some files of the tree, drawn by the hash of their path."""
    shutil.rmtree(work, ignore_errors=True)
    found = [str(file.relative_to(tree)) for file in tree.rglob("*.py") if file.is_file()]
    files = sorted(found, key=lambda file: hashlib.blake2b(file.encode(), digest_size=8).digest())[:NAIVE_FILES]
    began = perf_counter()
    chunks = index_naively(tree, files, work, commit_each=True)
    return chunks / (perf_counter() - began)


def _digest(catalog: Path) -> str:
    connection = open_for_reading(catalog)
    try:
        digest = hashlib.blake2b(digest_size=16)
        for line in canonical_dump(connection):
            digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()
    finally:
        connection.close()


def _small_tree(keep: Path) -> Path:
    """Make a tree of many small modules, the same in every run."""
    root = keep / "corpora" / "small"
    if not (root / ".complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        for number in range(SMALL_FILES):
            directory = root / f"package_{number % 200:03}"
            directory.mkdir(parents=True, exist_ok=True)
            text = (
                f'"""Module number {number}."""\n\n\ndef handle_{number}(request, response=None):\n'
                f'    """Answers request kind {number % 97}."""\n    value = request.get_value("key_{number}")\n'
                f"    return response or make_response(value, status={200 + number % 300})\n"
            )
            (directory / f"module_{number:05}.py").write_text(text, encoding="utf-8")
        (root / ".complete").touch()
    return root


def _name(way: Way) -> str:
    return "off" if way.workers == 0 else f"on, {way.workers} workers" if way.workers > 1 else "on, 1 worker"


def _table(name: str, ways: list[Way], naive: float | None, *, vectors: bool) -> str:
    base = statistics.median(ways[0].seconds)
    end = "all vectors are stored" if vectors else "all is findable by text"
    dumps = "one canonical dump" if len({dump for way in ways for dump in way.dumps}) == 1 else "DIFFERENT DUMPS"
    lines = [
        f"\n{name}: {ways[0].chunks:,} chunks, until {end}; {dumps}",
        "",
        "| enable_parallel | median of runs | against off | chunks/s | CPU of owner, of workers |",
        "|---|---|---|---|---|",
    ]
    for way in ways:
        seconds = statistics.median(way.seconds)
        cpu = f"{statistics.median(way.owner_cpu):.1f} s, {statistics.median(way.workers_cpu):.1f} s"
        speed = way.chunks / seconds
        lines.append(f"| {_name(way)} | {seconds:.2f} s | {base / seconds:.2f} x | {speed:,.0f} | {cpu} |")
    if naive is not None:
        best = max(way.chunks / statistics.median(way.seconds) for way in ways)
        lines.append(f"| naive script | | | {naive:,.0f} | best way {best / naive:.1f} x |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
