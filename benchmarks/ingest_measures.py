"""What the ingest benchmark measures with: memory and CPU of a family of processes, disk, the machine."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAMPLE_SECONDS: Final = 0.2
LOOK_FOR_CHILDREN_EVERY: Final = 10
"""Samples between two looks for new child processes, which read all of /proc."""

MB: Final = 1_000_000


@dataclass(slots=True)
class Usage:
    """What a process and its children used."""

    peak_rss: int = 0
    """bytes, summed over the processes at one instant; shared pages count in each"""
    peak_private: int = 0
    """bytes of ``peak_rss`` that no file backs, at their own peak"""
    cpu: dict[int, tuple[str, float]] = field(default_factory=dict)
    """{pid: (command, CPU seconds used meanwhile)}"""

    def cpu_seconds(self, *, owner: bool) -> float:
        """CPU seconds of this process, or of all its children together."""
        return sum(seconds for pid, (_, seconds) in self.cpu.items() if (pid == os.getpid()) == owner)


@contextmanager
def sampled_usage() -> Iterator[Usage]:
    """Sample this process and its children until the context ends."""
    usage, stop = Usage(), threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="usage") as pool:
        sampling = pool.submit(_sample, usage, stop)
        try:
            yield usage
        finally:
            stop.set()
        sampling.result()


def _sample(usage: Usage, stop: threading.Event) -> None:
    own = psutil.Process()
    family = [own]
    before = {own.pid: _cpu(own)}
    turn = 0
    while not stop.wait(SAMPLE_SECONDS):
        if turn % LOOK_FOR_CHILDREN_EVERY == 0:
            family = [own, *own.children(recursive=True)]
        turn += 1
        total = private = 0
        for process in family:
            try:
                memory = process.memory_info()
                total += memory.rss
                private += memory.rss - getattr(memory, "shared", 0)
                command = usage.cpu[process.pid][0] if process.pid in usage.cpu else " ".join(process.cmdline()[:4])
                usage.cpu[process.pid] = (command, _cpu(process) - before.get(process.pid, 0.0))
            except psutil.NoSuchProcess:
                continue
        usage.peak_rss = max(usage.peak_rss, total)
        usage.peak_private = max(usage.peak_private, private)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def disk_bytes(path: Path) -> int:
    """Bytes that the files below ``path`` take on disk."""
    return sum(file.lstat().st_blocks * 512 for file in path.rglob("*") if not file.is_dir())


@dataclass(frozen=True, slots=True)
class Contents:
    """What a catalog shows."""

    files: int
    """with at least one chunk"""
    bytes: int
    """of those files"""
    chunks: int
    """of all cuts"""
    cuts: int
    longest_id: int
    """the last chunk_id ever given"""


def contents(catalog: Path) -> Contents:
    """Count what a catalog holds."""
    connection = sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)
    try:
        files, size = connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM entries"
            " WHERE EXISTS (SELECT 1 FROM chunks WHERE chunks.cut_id = entries.cut_id)"
        ).fetchone()
        (chunks,) = connection.execute("SELECT COUNT(*) FROM chunks").fetchone()
        (cuts,) = connection.execute("SELECT COUNT(*) FROM cuts").fetchone()
        last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
        return Contents(files, size, chunks, cuts, 0 if last is None else last[0])
    finally:
        connection.close()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def machine() -> dict[str, object]:
    """What a figure depends on beside the program."""
    packages = ("tantivy", "tree-sitter", "tree-sitter-language-pack", "zstandard", "msgspec", "aiosqlite")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "cpu": _cpu_name(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "git": subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2],
            **{name: version(name) for name in packages},
        },
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
