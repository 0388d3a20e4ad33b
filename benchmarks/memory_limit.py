"""Indexes Django with vectors inside a memory control group, and tells what the kernel counted.

    python benchmarks/memory_limit.py                                          1 GiB, vectors without weights
    python benchmarks/memory_limit.py --mib 2048 --model all-minilm-l6-v2      2 GiB, a real model; half an hour

``codetrove index`` runs as a user would run it; only the limit is not the machine's. The job must end ``succeeded``
with a vector for every chunk, and no process of it may be killed. Needs root, or a group in which groups may be made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Final

from corpora import CorpusError, get

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.memory_group import memory_group

MIB: Final = 1 << 20
LEAVE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Group:
    """A memory control group; version 1 and 2 name their files differently."""

    path: Path

    def kills(self) -> int:
        """Processes that the kernel killed for memory."""
        return self._counted("memory.events" if self._is_version_2 else "memory.oom_control", "oom_kill")

    def reached_limit(self) -> int:
        """How often the limit was reached and memory had to be taken back, the page cache included."""
        return self._counted("memory.events", "max") if self._is_version_2 else int(self._read("memory.failcnt"))

    def most_bytes(self) -> int:
        """The most that was charged at once, the page cache included; 0 where the kernel does not tell."""
        peak = "memory.peak" if self._is_version_2 else "memory.max_usage_in_bytes"
        return int(self._read(peak)) if (self.path / peak).exists() else 0

    def wait_until_empty(self) -> None:
        """Return once no process is in it; what stays for long is killed."""
        until = perf_counter() + LEAVE_SECONDS
        while inside := self._read("cgroup.procs").split():
            if perf_counter() > until:
                for process in inside:
                    os.kill(int(process), signal.SIGKILL)
            sleep(0.1)

    @property
    def _is_version_2(self) -> bool:
        return (self.path / "memory.max").exists()

    def _counted(self, file: str, name: str) -> int:
        return next(int(number) for key, number in map(str.split, self._read(file).splitlines()) if key == name)

    def _read(self, file: str) -> str:
        return (self.path / file).read_text(encoding="ascii")


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of it."""

    model: str
    limit_mib: int
    workers: int
    state: str
    chunks: int
    vectors: int
    seconds: float
    peak_mib: int
    reached_limit: int
    killed: int

    def is_good(self) -> bool:
        """Whether it ended as it must."""
        return self.state == "succeeded" and self.killed == 0 and self.vectors == self.chunks > 0


def main() -> int:
    """Run the benchmark; 1 when the job did not end as it must, 2 where no group can be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="limit (default 1024)")
    parser.add_argument("--model", default="hashing-384", help="embeddings.model (default hashing-384)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--corpus", choices=("flask", "django"), default="django")
    parser.add_argument("--keep", type=Path, help="keep archives and trees here, and use those there")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="codetrove-benchmark-") as temporary:
        keep = (arguments.keep or Path(temporary)).resolve()
        try:
            tree = get(arguments.corpus, keep).path
            with memory_group(arguments.mib * MIB) as path:
                group = Group(path)
                try:
                    figures = measure(group, tree, keep / "data" / "memory-limit", arguments)
                finally:
                    group.wait_until_empty()
        except (CorpusError, OSError) as error:
            print(f"memory_limit: {error}", file=sys.stderr)
            return 2
    print(
        f"{arguments.corpus}, {figures.model}, {figures.workers} workers, {figures.limit_mib} MiB: {figures.state}, "
        f"{figures.vectors:,} of {figures.chunks:,} vectors in {figures.seconds:.0f} s; at most {figures.peak_mib} MiB "
        f"with the page cache, {figures.reached_limit} times at the limit, {figures.killed} processes killed"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
    return 0 if figures.is_good() else 1


def measure(group: Group, tree: Path, data: Path, arguments: argparse.Namespace) -> Figures:
    """Index the tree in the group, into an empty data directory."""
    shutil.rmtree(data, ignore_errors=True)
    environment = {
        **os.environ,
        "CODETROVE_STORAGE__DATA_DIR": str(data),
        "CODETROVE_EMBEDDINGS__MODEL": arguments.model,
        "CODETROVE_INDEXING__ENABLE_PARALLEL": "true",
        "CODETROVE_INDEXING__CONCURRENT_WORKERS": str(arguments.workers),
    }
    entering = (  # the command itself is in the group from its first instruction on
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
    )
    program = Path(sys.executable).with_name("codetrove")
    index = [str(program), "index", str(tree), "--json"]
    began = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", entering, str(group.path / "cgroup.procs"), *index],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    seconds = perf_counter() - began
    report = json.loads(done.stdout) if done.stdout else {}
    job = report.get("jobs", [{}])[0]
    return Figures(
        model=arguments.model,
        limit_mib=arguments.mib,
        workers=arguments.workers,
        state=job.get("state", f"exit code {done.returncode}"),
        chunks=job.get("searchable_chunks", 0),
        vectors=report.get("vectors", {}).get("stored", 0),
        seconds=seconds,
        peak_mib=group.most_bytes() // MIB,
        reached_limit=group.reached_limit(),
        killed=group.kills(),
    )


if __name__ == "__main__":
    sys.exit(main())
