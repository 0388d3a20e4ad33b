"""How fast a running daemon answers over HTTP, and how it bears searches that keep coming while it indexes.

    python benchmarks/serve.py                  parts of the kernel, vectors without weights; then 5 minutes of load
    python benchmarks/serve.py --minilm         queries are encoded by all-MiniLM-L6-v2
    python benchmarks/serve.py --seconds 0      latencies alone
    python benchmarks/serve.py --keep DIR       keep corpus and data directory, and use them again

The daemon is ``codetrove serve`` as a user starts it, in a process of its own, about 91,000 chunks behind it. With
``--minilm`` the stored vectors are stand-ins of the same dimension (to encode them all takes an hour on two cores):
what a query costs is the same, what it finds by them means nothing. ``docs/benchmarks.md`` says what the figures were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import structlog
from corpora import get
from ingest_measures import machine, percentile
from ingest_queries import QUERIES
from serve_load import Client, sustained

from embeddings import HashingEncoder, open_encoder, resolved_from_json
from indexing import vectors as vectors_module
from indexing.runtime import open_owner
from indexing.settings import Settings, load_settings

if TYPE_CHECKING:
    from embeddings import Encoder, EncoderSpec, TextKind, Vectors
    from storage import CollectionRow

KERNEL_PARTS: Final = ("fs", "kernel", "mm", "net")
BUSY_PART: Final = "drivers/net/ethernet"
"""Indexed again and again while searches keep coming."""
MINILM: Final = "all-minilm-l6-v2"
HASHING: Final = "hashing-384"
ROUNDS: Final = 10
SECONDS: Final = 300
SEARCHES_A_SECOND: Final = 50
START_SECONDS: Final = 120


def main() -> int:
    """Run the benchmark; 0 when it ran, whether goals were met or not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="keep archives, trees and data directories here")
    parser.add_argument("--minilm", action="store_true", help="encode queries with all-MiniLM-L6-v2")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of sustained load (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with TemporaryDirectory(prefix="codetrove-benchmark-") as temporary:
        keep = (arguments.keep or Path(temporary)).resolve()
        figures = run(keep, MINILM if arguments.minilm else HASHING, arguments.seconds)
    for name, value in figures.items():
        print(f"| {name} | {value:,.1f} |" if isinstance(value, float) else f"| {name} | {value:,} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2), encoding="utf-8")
    return 0


def run(keep: Path, model: str, seconds: int) -> dict[str, Any]:
    """Measure everything; returns the figures."""
    tree = get("linux", keep).path
    data = keep / "data" / f"serve-{model}"
    settings = settings_for(data, model, keep)
    asyncio.run(build(settings, [tree / part for part in KERNEL_PARTS]))
    with daemon(data) as served:
        client = Client(served.port, served.token)
        client.wait_until_warm()
        figures = latencies(client) | command_line(data)
        if seconds:
            busy = copied(tree / BUSY_PART, keep / "work" / "busy")
            figures |= sustained(served.port, served.token, busy, seconds, SEARCHES_A_SECOND)
    return figures


def settings_for(data: Path, model: str, keep: Path) -> Settings:
    """Return settings with this data directory and model, and let every process that is started have them."""
    config = data.with_suffix(".yaml")
    config.parent.mkdir(parents=True, exist_ok=True)
    wanted = {
        "storage": {"data_dir": str(data)},
        "embeddings": {"model": model, "download": False},
        "service": {"port": 0, "allowed_roots": [str(keep)]},
    }
    config.write_text(json.dumps(wanted), encoding="utf-8")
    os.environ["CODETROVE_CONFIG"] = str(config)
    return load_settings(config)


async def build(settings: Settings, trees: Sequence[Path]) -> None:
    """Index the trees unless that is done; vectors of a model with weights are stand-ins."""
    vectors_module._open_encoder = partial(_stand_in, vectors_module._open_encoder)  # noqa: SLF001
    async with open_owner(settings) as owner:
        for tree in trees:
            repository = await owner.register(tree)
            if repository.scanned_at is None:
                await owner.service.wait(await owner.service.submit(repository))
        assert owner.vectors is not None
        assert await owner.vectors.drained(), owner.vectors.missing_because


class StandIn:
    """Says that it is another encoder, and encodes without weights."""

    def __init__(self, spec: EncoderSpec) -> None:
        """Stand in for the encoder with ``spec``."""
        self.spec = spec
        self._encoder = HashingEncoder(spec.dimension)

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Encode without weights."""
        return await self._encoder.encode(texts, kind)

    async def aclose(self) -> None:
        """Free what encodes."""
        await self._encoder.aclose()


def _stand_in(open_real: Any, row: CollectionRow, settings: Settings, directory: Path) -> Encoder:
    model = resolved_from_json(row.model)
    if model.path is None:
        real: Encoder = open_real(row, settings, directory)
        return real
    return StandIn(open_encoder(model, threads=1).spec)


@dataclass(frozen=True, slots=True)
class Served:
    """A daemon that is up."""

    port: int
    token: str


@contextmanager
def daemon(data: Path) -> Iterator[Served]:
    """Run ``codetrove serve`` until the context ends."""
    program = Path(sys.executable).with_name("codetrove")
    log = data.with_suffix(".log").open("wb")
    with log, subprocess.Popen([program, "serve", "--json"], stdout=subprocess.PIPE, stderr=log) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline() or b"{}")
            assert ready, f"the daemon did not start: see {log.name}"
            token = Path(ready["token_file"]).read_text(encoding="utf-8").strip()
            yield Served(int(ready["url"].rpartition(":")[2]), token)
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def latencies(client: Client) -> dict[str, float]:
    """Measure one search after the other over one connection, everything warm."""
    figures: dict[str, float] = {}
    for mode in ("text", "hybrid"):
        seconds, inside = [], []
        for turn in range(1 + ROUNDS):
            for query in QUERIES["linux"]:
                taken, answer = client.search(query, mode)
                assert not answer["degraded"], answer["degraded"]
                if turn:
                    seconds.append(taken)
                    inside.append(answer["took_ms"] / 1000)
        figures |= _milliseconds(f"{mode} over HTTP", seconds)
        figures[f"{mode}, in the daemon, p50 ms"] = 1e3 * statistics.median(inside)
    return figures


def command_line(data: Path) -> dict[str, float]:
    """Measure ``codetrove search`` from its start to its end, answered by the daemon."""
    program = Path(sys.executable).with_name("codetrove")
    seconds = []
    for query in [*QUERIES["linux"]]:
        before = time.perf_counter()
        done = subprocess.run([program, "search", query], capture_output=True, check=False, cwd=data.parent)
        seconds.append(time.perf_counter() - before)
        assert done.returncode == 0, done.stderr
    return _milliseconds("codetrove search through the daemon", seconds)


def copied(tree: Path, to: Path) -> Path:
    """Return a copy of a tree, made anew."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(tree, to, symlinks=True)
    return to


def _milliseconds(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}, p50 ms": 1e3 * statistics.median(seconds), f"{name}, p95 ms": 1e3 * percentile(seconds, 0.95)}


if __name__ == "__main__":
    raise SystemExit(main())
