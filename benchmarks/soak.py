"""Works an owner for a while: edits, indexes, searches, cancels, flips the flag; and watches what it holds on to.

    python benchmarks/soak.py --minutes 10
    python benchmarks/soak.py --minutes 2 --json FILE

One process, two workers, a tree of small files under constant change. Counted at every round: resident memory, open
descriptors, threads, child processes. Told at the end: how fast memory that no file backs grew after the first fifth (a
line through the samples) and its lowest of each minute, the most of everything else, and whether the index equals its
tree. Exits with 1 where a descriptor, a thread or a process stayed, a job ended in a way that none should, or the index
is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import psutil
import structlog
from ingest_steps import settings_for

from indexing.fsck import check
from indexing.runtime import Owner, open_owner
from indexing.search import SearchRequest, search
from storage import Repository

FILES = 400
PACKAGES = 20
HELD = ("descriptors", "threads", "children")
WARM_SHARE = 0.2
"""Of the time: until then caches fill."""


@dataclass(slots=True)
class Sample:
    """What the process held at one moment."""

    seconds: float
    rss: int
    anonymous: int
    """of it what no file backs (Linux; elsewhere all of it)"""
    descriptors: int
    threads: int
    children: int


@dataclass(slots=True)
class Figures:
    """What a run counted."""

    samples: list[Sample] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """{state: jobs}"""
    searches: int = 0
    changed_files: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    """Run the soak; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with TemporaryDirectory(prefix="codetrove-soak-") as scratch:
        figures = asyncio.run(_soak(Path(scratch), arguments.minutes * 60, random.Random(arguments.seed)))
    for line in _lines(figures):
        print(line)
    if arguments.json:
        told = asdict(figures) | {"ends": dict(figures.ends)}
        arguments.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return 1 if figures.wrong else 0


async def _soak(scratch: Path, seconds: float, draw: random.Random) -> Figures:
    figures, tree, data = Figures(), scratch / "tree", scratch / "data"
    contents: dict[str, str] = {}
    await asyncio.to_thread(_change, tree, contents, draw, FILES)
    settings = settings_for(data, "hashing-384")
    indexing = {"enable_parallel": True, "concurrent_workers": 2}
    # Former versions go at once: what grows then is no data.
    kept = {"garbage_grace_days": 0}
    settings = settings.model_copy(
        update={
            "indexing": settings.indexing.model_copy(update=indexing),
            "storage": settings.storage.model_copy(update=kept),
        }
    )
    before = _sample(0.0)
    began = monotonic()
    async with open_owner(settings) as owner:
        repository = await owner.register(tree)
        while monotonic() - began < seconds:
            figures.changed_files += await asyncio.to_thread(_change, tree, contents, draw, draw.randint(1, 40))
            await _round(owner, repository, figures, draw)
            figures.samples.append(_sample(monotonic() - began))
        report = await owner.service.wait(await owner.service.submit(repository))
        figures.ends[report.state] += 1
        assert owner.vectors is not None
        await owner.vectors.drained()
    after = _sample(monotonic() - began)
    for name in HELD:
        stayed = getattr(after, name) - getattr(before, name)
        # The loop's own threads of the default executor live as long as the loop.
        if stayed > 0 and name != "threads":
            figures.wrong.append(f"{stayed} {name} stayed")
    findings = await check(settings, repair=False)
    figures.wrong += [f"fsck: {finding}" for finding in findings.findings]
    if strange := set(figures.ends) - {"succeeded", "cancelled"}:
        figures.wrong.append(f"jobs ended as {sorted(strange)}")
    return figures


async def _round(owner: Owner, repository: Repository, figures: Figures, draw: random.Random) -> None:
    """One job, with whatever may happen meanwhile."""
    service = owner.service
    job_id = await service.submit(repository)
    what = draw.choice(("wait", "wait", "cancel", "flip", "pause", "again"))
    if what == "cancel":
        await service.cancel(job_id)
    elif what == "flip":
        await owner.flags.set("enable_parallel", draw.random() < 0.5)
    elif what == "pause":
        await service.pause(job_id)
        await service.resume(job_id)
    elif what == "again":
        await service.wait(await service.submit(repository))
    request = SearchRequest(f"handle value {draw.randrange(FILES)}", frozenset({repository.uuid}))
    for _ in range(3):
        await search(request, catalog=owner.reader, text_index=owner.feed.index)
        figures.searches += 1
    figures.ends[(await service.wait(job_id)).state] += 1


def _change(tree: Path, contents: dict[str, str], draw: random.Random, files: int) -> int:
    for _ in range(files):
        name = f"package{draw.randrange(PACKAGES)}/module{draw.randrange(FILES // PACKAGES)}.py"
        if name in contents and draw.random() < 0.1:
            del contents[name]
            (tree / name).unlink()
            continue
        number = draw.randrange(10**9)
        contents[name] = f"def handle_{number}(value):\n    return value + {number}\n" * draw.randint(1, 30)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(contents[name], encoding="utf-8")
    return files


def _sample(seconds: float) -> Sample:
    process = psutil.Process()
    memory = process.memory_info()
    return Sample(
        seconds,
        memory.rss,
        memory.rss - getattr(memory, "shared", 0),
        process.num_fds(),
        process.num_threads(),
        len(process.children(recursive=True)),
    )


def _lines(figures: Figures) -> list[str]:
    samples = figures.samples
    lasted = samples[-1].seconds
    warm = [each for each in samples if each.seconds >= WARM_SHARE * lasted] or samples
    slope = 0.0
    if len(warm) > 2:
        line = statistics.linear_regression([each.seconds for each in warm], [each.anonymous / 1e6 for each in warm])
        slope = line.slope * 60
    ends = ", ".join(f"{state} {count:,}" for state, count in sorted(figures.ends.items()))
    lowest: dict[int, float] = {}
    for each in samples:
        minute = int(each.seconds // 60)
        lowest[minute] = min(each.anonymous / 1e6, lowest.get(minute, math.inf))
    first, last = samples[0], samples[-1]
    most = ", ".join(f"{max(getattr(each, name) for each in samples)} {name}" for name in HELD)
    return [
        f"{lasted:.0f} s: {figures.changed_files:,} files changed, {figures.searches:,} searches; jobs: {ends}",
        f"memory {first.rss / 1e6:.0f} MB at first, {last.rss / 1e6:.0f} MB at last, mapped files included",
        (
            f"without them {first.anonymous / 1e6:.0f} and {last.anonymous / 1e6:.0f} MB; "
            f"the lowest of each minute {', '.join(f'{each:.0f}' for each in lowest.values())} MB; "
            f"after the first fifth {slope:+.2f} MB a minute"
        ),
        f"at most {most}",
        *(f"WRONG: {each}" for each in figures.wrong),
    ]


if __name__ == "__main__":
    sys.exit(main())
