"""How soon a saved file is found, and whether storms of changes leave anything out.

    python benchmarks/watch.py edits      100 saves in Django's tree, each timed until a search by text finds it
    python benchmarks/watch.py switches   100 git switches that change 10,000 files; the end compared with a new index
    python benchmarks/watch.py stopped    20,000 files made while the watching process is stopped (SIGSTOP)

``--keep DIR`` keeps what is fetched. The owner runs in a process of its own for ``stopped`` and in this one otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import structlog
from corpora import get
from ingest_measures import machine

from indexing.runtime import Owner, open_owner
from indexing.search import SearchRequest, search
from indexing.settings import Settings, load_settings
from storage import CatalogMissing, DataDirectory, Repository, canonical_dump, open_for_reading, open_reader

LOOK_SECONDS: Final = 0.005
GIVE_UP_SECONDS: Final = 600.0
TICK_SECONDS: Final = 60.0
"""``watch.scan_seconds``: what is not converged after this was missed by the events."""


def main() -> int:
    """Run the chosen benchmark; 1 when it missed its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["edits", "switches", "stopped", "owner"])
    parser.add_argument("--times", type=int, default=100, help="edits or switches")
    parser.add_argument("--files", type=int, help="of a switch (10,000) or made while stopped (20,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep archives and trees here, and use those there")
    parser.add_argument("--directories", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if arguments.what == "owner":
        asyncio.run(serve(*arguments.directories))
        return 0
    print(machine())
    with TemporaryDirectory(prefix="codetrove-watch-") as temporary:
        work = Path(temporary)
        if arguments.what == "edits":
            shutil.copytree(get("django", arguments.keep or work).path, work / "tree")
            return asyncio.run(edits(work, times=arguments.times, seed=arguments.seed))
        if arguments.what == "switches":
            return asyncio.run(switches(work, times=arguments.times, files=arguments.files or 10_000))
        return asyncio.run(stopped(work, files=arguments.files or 20_000))


async def edits(work: Path, *, times: int, seed: int) -> int:
    """Append a function to one file after another and time each until a search finds it by its name."""
    chance, seconds = random.Random(seed), []
    tree = work / "tree"
    async with open_owner(settings_for(work / "data"), watch=True) as owner:
        repository = await watched(owner, tree)
        files = sorted(path for path in tree.rglob("*.py") if path.stat().st_size)
        print(f"{len(await owner.reader.known_files(repository.snapshot_id)):,} files known")
        for number in range(times):
            await asyncio.sleep(chance.uniform(0.1, 0.9))
            name = f"edit_{number}_{chance.getrandbits(40):x}"
            path = chance.choice(files)
            since = perf_counter()
            with path.open("a", encoding="utf-8") as file:
                file.write(f"\n\ndef {name}():\n    return {number}\n")
            await until(lambda name=name, path=path: finds(owner, repository, name, path))  # type: ignore[misc]
            seconds.append(perf_counter() - since)
    seconds.sort()
    half, most = median(seconds) * 1000, seconds[int(len(seconds) * 0.95)] * 1000
    print(f"save → found by text, {times} edits: p50 {half:.0f} ms, p95 {most:.0f} ms, max {seconds[-1] * 1000:.0f} ms")
    return int(half > 300 or most > 1_000)


async def switches(work: Path, *, times: int, files: int) -> int:
    """Switch between two branches that differ in every file, and compare the end with an index made anew."""
    tree = work / "tree"
    await asyncio.to_thread(two_branches, tree, files)
    seconds, jobs = [], 0
    async with open_owner(settings_for(work / "data"), watch=True) as owner:
        repository = await watched(owner, tree)
        for number in range(times):
            before = await jobs_so_far(owner)
            await asyncio.to_thread(git, tree, "switch", "-q", ("two", "one")[number % 2])
            since = perf_counter()
            await until(lambda: is_converged(owner, repository, tree))
            seconds.append(perf_counter() - since)
            jobs += await jobs_so_far(owner) - before
            print(f"switch {number}: converged {seconds[-1]:.1f} s after git was done", flush=True)
    equal = await as_made_anew(work, tree)
    seconds.sort()
    print(
        f"{times} switches of {files:,} files: median {median(seconds):.1f} s, max {seconds[-1]:.1f} s, "
        f"{jobs / times:.1f} jobs each; equal to an index made anew: {equal}"
    )
    return int(seconds[-1] > TICK_SECONDS or not equal)


async def stopped(work: Path, *, files: int) -> int:
    """Stop the process that watches, make files, let it go on, and time it until all of them are indexed."""
    tree, data = work / "tree", work / "data"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "first.py").write_text("first = 1\n", encoding="utf-8")
    command = [sys.executable, __file__, "owner", "--directories", str(data), str(tree)]
    owner = await asyncio.to_thread(subprocess.Popen, command)
    try:
        await until(lambda: asyncio.to_thread(entries_in, data, 1))
        await asyncio.sleep(3)
        owner.send_signal(signal.SIGSTOP)
        for number in range(files):
            (tree / "pkg" / f"m{number}.py").write_text(f"value_{number} = {number}\n", encoding="utf-8")
        owner.send_signal(signal.SIGCONT)
        since = perf_counter()
        await until(lambda: asyncio.to_thread(entries_in, data, files + 1))
        seconds = perf_counter() - since
    finally:
        owner.send_signal(signal.SIGINT)
        await asyncio.to_thread(owner.wait)
    print(f"{files:,} files made while stopped: all indexed {seconds:.1f} s after it went on")
    return int(seconds > TICK_SECONDS)


async def serve(data: Path, tree: Path) -> None:
    """Own and watch until interrupted."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    async with open_owner(settings_for(data), watch=True) as owner:
        await watched(owner, tree)
        await stop.wait()


async def watched(owner: Owner, tree: Path) -> Repository:
    """Register a tree and wait until it is indexed and listened to."""
    assert owner.watching is not None
    repository = await owner.register(tree)
    await owner.watching.refresh()

    async def is_ready() -> bool:
        assert owner.watching is not None
        state = owner.watching.state_of(repository.uuid)
        left = await owner.watching.settled([repository.uuid], asyncio.get_running_loop().time() + 1)
        return state.mode == "events" and not left

    await until(is_ready)
    return repository


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look until something holds."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while not await holds():  # noqa: ASYNC110 - what is waited for is in files
            await asyncio.sleep(LOOK_SECONDS)


async def finds(owner: Owner, repository: Repository, name: str, path: Path) -> bool:
    """Whether a search for a name gives the file it was written into."""
    request = SearchRequest(name, frozenset({repository.uuid}))
    result = await search(request, catalog=owner.reader, text_index=owner.feed.index)
    return any(os.fsdecode(repository.root.path) + "/" + os.fsdecode(hit.path) == str(path) for hit in result.hits)


async def is_converged(owner: Owner, repository: Repository, tree: Path) -> bool:
    """Whether the watching is at rest and every entry has the stat of its file."""
    assert owner.watching is not None
    if await owner.watching.settled([repository.uuid], asyncio.get_running_loop().time() + 1):
        return False
    known = await owner.reader.known_files(repository.snapshot_id)

    def is_same() -> bool:
        there = {os.fsencode(path.relative_to(tree)): path.stat() for path in tree.rglob("*.py")}
        return known.keys() == there.keys() and all(
            known[path].stat.mtime_ns == stat.st_mtime_ns and known[path].stat.inode == stat.st_ino
            for path, stat in there.items()
        )

    return await asyncio.to_thread(is_same)


async def jobs_so_far(owner: Owner) -> int:
    """The jobs that were ever accepted."""
    ((count,),) = await owner.reader.query("SELECT coalesce(max(rowid), 0) FROM jobs")
    return int(count)


async def as_made_anew(work: Path, tree: Path) -> bool:
    """Whether the catalog, without its garbage, equals that of an index made anew of the same tree."""
    anew = work / "anew"
    anew.mkdir(mode=0o700)
    async with open_owner(settings_for(work / "data", grace_days=0)) as owner:
        await owner.service.wait(await owner.service.submit(await owner.register(tree)))
    shutil.copy(work / "data" / "registry.json", anew)
    async with open_owner(settings_for(anew, grace_days=0)) as owner:
        for repository in owner.to_index_again:
            await owner.service.wait(await owner.service.submit(repository))
    return dump(work / "data") == dump(anew)


def dump(data: Path) -> list[str]:
    """The canonical dump of a data directory."""
    connection = open_for_reading(DataDirectory(data).catalog)
    try:
        return list(canonical_dump(connection))
    finally:
        connection.close()


def entries_in(data: Path, count: int) -> bool:
    """Whether a catalog holds so many entries."""

    async def count_them() -> bool:
        async with open_reader(DataDirectory(data).catalog) as reader:
            ((found,),) = await reader.query("SELECT count(*) FROM entries")
        return bool(found == count)

    try:
        return asyncio.run(count_them())
    except CatalogMissing:
        return False


def two_branches(tree: Path, files: int) -> None:
    """Make a repository with the branches one and two, which differ in every file."""
    tree.mkdir()
    git(tree, "init", "-q", "-b", "one")
    for branch in ("one", "two"):
        for number in range(files):
            path = tree / f"d{number % 100}" / f"m{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"def {branch}_{number}(value):\n    return value + {number}\n", encoding="utf-8")
        git(tree, "add", "-A")
        git(tree, "commit", "-qm", branch)
        git(tree, "switch", "-q", *(["-c", "two"] if branch == "one" else ["one"]))


def git(tree: Path, *arguments: str) -> None:
    """Run git in a tree, as somebody."""
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], cwd=tree, check=True)


def settings_for(data: Path, *, grace_days: int = 14) -> Settings:
    """Return settings of a service without vectors: what is timed is the text."""
    return load_settings(
        None,
        {"storage.data_dir": data, "storage.garbage_grace_days": grace_days, "embeddings.model": "none"},
    )


if __name__ == "__main__":
    raise SystemExit(main())
