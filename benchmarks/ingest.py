"""How fast codetrove makes a tree searchable, what that costs, and how fresh the index stays.

    python benchmarks/ingest.py                       flask and Django, and Django's package with vectors
    python benchmarks/ingest.py --corpus linux        the kernel, some minutes
    python benchmarks/ingest.py --keep DIR --json FILE

``docs/benchmarks.md`` says what each figure means and what it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog
from corpora import NAMES, Corpus, CorpusError, get
from ingest_measures import MB, machine
from ingest_steps import corpus_figures

GOALS: Final[dict[str, dict[str, float]]] = {
    "django": {"first": 8.0, "unchanged": 1.0, "one_file": 0.5, "moved": 1.0},
    "linux": {"first": 240.0, "disk": 0.8, "rss": 1000 * MB, "findable": 0.3, "cold": 0.6},
}
VECTOR_RATE: Final = 1_500
VECTOR_DISK: Final = 3_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None


def main() -> int:
    """Run the benchmark; 0 when it ran, whether goals were met or not."""
    arguments = _arguments()
    if arguments.one:
        return _one(arguments.one, arguments.keep, arguments.json)
    with TemporaryDirectory(prefix="codetrove-benchmark-") as temporary:
        keep = (arguments.keep or Path(temporary)).resolve()
        results: dict[str, Any] = {"machine": machine(), "corpora": {}}
        for name in arguments.corpus or ["flask", "django"]:
            results["corpora"][name] = _in_a_process_of_its_own(name, keep)
        if "django" in results["corpora"]:
            results["vectors"] = _with_vectors(keep)
    print(_machine_line(results["machine"]))
    for name, figures in results["corpora"].items():
        print("\n" + render(name, figures))
    if "vectors" in results:
        print("\n" + _vectors_table(results["vectors"]))
    if arguments.json:
        _save(results, arguments.json)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=NAMES, help="may be repeated; default flask and django")
    parser.add_argument("--keep", type=Path, help="keep archives, trees and data directories here, and use those there")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process_of_its_own(name: str, keep: Path) -> dict[str, Any]:
    """Measure one corpus in a fresh process: memory that an earlier one took would count for the next."""
    keep.mkdir(parents=True, exist_ok=True)
    result = keep / f"{name}.json"
    command = [sys.executable, __file__, "--one", name, "--keep", str(keep), "--json", str(result)]
    return _figures_of(command, result)


def _with_vectors(keep: Path) -> dict[str, Any]:
    """Django's package until its vectors are stored, in another process."""
    result = keep / "vectors.json"
    command = [sys.executable, str(Path(__file__).with_name("hybrid.py")), "--only", "vectorize"]
    figures: dict[str, Any] = _figures_of([*command, "--keep", str(keep), "--json", str(result)], result)["vectorize"]
    return figures


def _figures_of(command: Sequence[str], result: Path) -> dict[str, Any]:
    """What a program writes to ``result``. Its table is not shown: the tables are printed together."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    figures: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return figures


def _one(name: str, keep: Path, result: Path) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        corpus = get(name, keep)
    except CorpusError as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 1
    asyncio.run(_measure(corpus, keep, result))
    return 0


async def _measure(corpus: Corpus, keep: Path, result: Path) -> None:
    """Write what is known after every step, so that a run that is broken off leaves something."""
    figures: dict[str, Any] = {"corpus": {key: value for key, value in asdict(corpus).items() if key != "path"}}
    async for step, measured in corpus_figures(corpus.name, corpus.path, keep):
        figures[step] = measured
        _save(figures, result)
        print(f"{corpus.name}: {step} measured", file=sys.stderr)


def _save(figures: dict[str, Any], file: Path) -> None:
    file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _vectors_table(figures: dict[str, Any]) -> str:
    rate, disk = figures["chunks per second"], figures["disk, bytes per chunk"]
    rows = [
        Row("searchable", f"{figures['searchable, seconds']:.1f} s"),
        Row("vectors stored", f"{figures['vectors stored, seconds']:.1f} s"),
        Row("both", f"{rate:,.0f} chunks/s", f"{VECTOR_RATE:,} chunks/s", rate >= VECTOR_RATE),
        Row("disk", f"{disk:,.0f} B a chunk", f"{VECTOR_DISK:,} B", disk <= VECTOR_DISK),
    ]
    return f"django's package with vectors of hashing-384: {figures['chunks']:,} chunks\n\n" + _table(rows)


def _table(rows: Sequence[Row]) -> str:
    marks = {None: "", True: "met", False: "**missed**"}
    lines = [f"| {row.what} | {row.value} | {row.goal} | {marks[row.met]} |" for row in rows]
    return "\n".join(["| what | measured | goal | |", "|---|---|---|---|", *lines])


def render(name: str, figures: dict[str, Any]) -> str:
    """Return the table of one corpus, in Markdown."""
    rows = [*_first_rows(name, figures["first"]), *_change_rows(name, figures), *_search_rows(name, figures["queries"])]
    if "naive" in figures:
        rows += _naive_rows(figures["naive"])
    first, corpus = figures["first"], figures["corpus"]
    head = (
        f"{name} {corpus['version']} (SHA-256 {corpus['sha256'][:12]}…): {first['files']:,} files with chunks,"
        f" {first['bytes'] / MB:.1f} MB, {first['chunks']:,} chunks\n\n"
    )
    return head + _table(rows)


def _first_rows(name: str, first: dict[str, Any]) -> list[Row]:
    rate = f"{first['megabytes_per_second']:.1f} MB/s, {first['chunks_per_second']:,.0f} chunks/s"
    runs = first["all_seconds"]
    spread = f" (median of {len(runs)}, {_s(runs[0])} to {_s(runs[-1])})" if len(runs) > 1 else ""
    cpu = f"owner {first['owner_cpu_seconds']:.1f} s, worker {first['worker_cpu_seconds']:.1f} s"
    shares = f"{first['disk_share']:.2f} (catalog {first['catalog_share']:.2f}, text {first['text_share']:.2f})"
    rss, private = first["peak_rss_bytes"] / MB, first["peak_private_bytes"] / MB
    return [
        _row(
            name,
            "first",
            "first index, all findable by text",
            first["seconds"],
            f"{_s(first['seconds'])}{spread}; {rate}",
        ),
        Row("its CPU time", cpu),
        _row(name, "rss", "peak RSS, owner and worker", rss * MB, f"{rss:.0f} MB, {private:.0f} MB without files"),
        _row(name, "disk", "disk after a clean stop, of the files' bytes", first["disk_share"], shares),
        _row(
            name,
            "findable",
            f"commit to findable, {first['findable_samples']} samples, worst",
            first["findable_max_seconds"],
            f"{_s(first['findable_max_seconds'])}, median {_s(first['findable_median_seconds'])}",
        ),
    ]


def _change_rows(name: str, figures: dict[str, Any]) -> list[Row]:
    unchanged, one = figures["unchanged"]["seconds"], figures["one_file"]["seconds"]
    rows = [
        _row(name, "unchanged", "again, nothing changed", unchanged, _s(unchanged)),
        _row(name, "one_file", "one changed file to its hit, median of 5", one, _s(one)),
    ]
    if "moved" in figures:
        moved = figures["moved"]
        for step, what in (("moved", f"`git mv` of {moved['files']} files"), ("back", "switching the branch back")):
            seconds, cut = moved[f"{step}_seconds"], moved[f"{step}_cut"]
            rows.append(_row(name, "moved", what, seconds, f"{_s(seconds)}, {cut} files cut"))
    return rows


def _search_rows(name: str, asked: dict[str, Any]) -> list[Row]:
    found = f"{asked['queries'] - len(asked['misses'])} of {asked['queries']} find their file"
    warm = f"p50 {asked['p50_seconds'] * 1000:.1f} ms, p95 {asked['p95_seconds'] * 1000:.1f} ms; {found}"
    cold = asked["cold_seconds"]
    return [
        Row("search in process, warm", warm),
        _row(name, "cold", "`codetrove search` as a process, median of 5", cold, _s(cold)),
    ]


def _naive_rows(naive: dict[str, Any]) -> list[Row]:
    seconds = naive["seconds"]
    each, once = naive["times_faster"], naive["times_faster_than_one_commit"]
    return [
        Row(
            f"one file at a time, {naive['files']} files: codetrove {_s(seconds['codetrove'])}",
            f"{_s(seconds['naive'])}, {each:.1f} times; text committed once {_s(seconds['naive_one_commit'])},"
            f" {once:.1f} times",
        )
    ]


def _row(name: str, key: str, what: str, measured: float | None, value: str) -> Row:
    goal = GOALS.get(name, {}).get(key)
    if goal is None or measured is None:
        return Row(what, value)
    shown = {"disk": f"<= {goal}", "rss": f"<= {goal / MB:.0f} MB"}.get(key, f"<= {_s(goal)}")
    return Row(what, value, shown, measured <= goal)


def _s(seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _machine_line(told: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    return (
        f"{told['date']}: {told['cores']} cores of {told['cpu']}, {told['memory_gib']} GiB, {told['system']},"
        f" load {told['load_before']} before; {versions}"
    )


if __name__ == "__main__":
    sys.exit(main())
