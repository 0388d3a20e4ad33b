"""What tests of faults look at: whether what is kept is sound, and equal to what was made without any fault."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from indexing.fsck import check
from indexing.runtime import open_owner
from storage import (
    DataDirectory,
    TextClause,
    TextIndex,
    TextQuery,
    canonical_dump,
    load_registry,
    open_for_reading,
)
from tests.faults.driver import settings_for, vectors_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

WORDS = ("alpha", "beta", "return", "value", "def", "count", "total", "self", "class", "title", "notes", "import")
"""A dozen queries, one word each, that the small trees answer."""


def small_tree(files: int = 12) -> dict[str, str]:
    """Contents of a tree of several languages: Python, Markdown and C, in directories."""
    tree: dict[str, str] = {}
    for number in range(files):
        if number % 4 == 3:
            tree[f"docs/part{number}.md"] = f"# Title {number}\n\nSome notes on alpha{number}.\n\n## Value\n\nbeta\n"
        elif number % 4 == 2:
            tree[f"native/unit{number}.c"] = f"int total_{number}(int value)\n{{\n    return value + {number};\n}}\n"
        else:
            tree[f"pkg{number % 3}/module{number}.py"] = (
                f"import os\n\n\nclass Alpha{number}:\n    def beta(self, count):\n        return count + {number}\n"
            )
    return tree


async def findings(data: Path, overrides: Mapping[str, object] | None = None) -> list[str]:
    """What ``fsck`` finds wrong."""
    report = await check(settings_for(data, overrides), repair=False)
    return [f"{finding.code}: {finding.message}" for finding in report.findings]


async def from_scratch(data: Path, like: Path, overrides: Mapping[str, object] | None = None) -> None:
    """Index what the data directory ``like`` holds into a new one, from ``registry.json`` and the trees alone."""
    data.mkdir(mode=0o700)
    shutil.copy(like / "registry.json", data)
    async with open_owner(settings_for(data, overrides)) as owner:
        for repository in owner.to_index_again:
            async with owner.job_for(repository) as job:
                await job.run()
        await vectors_of(owner)


def rows(data: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of a statement on the catalog."""
    return read(data, lambda connection: connection.execute(query, parameters).fetchall())


def read(data: Path, reading: Callable[[sqlite3.Connection], T]) -> T:
    """What a reading function says of the catalog."""
    with closing(open_for_reading(DataDirectory(data).catalog)) as connection:
        return reading(connection)


def dump(data: Path) -> list[str]:
    """The canonical dump."""
    return read(data, lambda connection: list(canonical_dump(connection)))


def shown(data: Path) -> dict[bytes, tuple[str, str]]:
    """{path: (language, cutter)} of what is indexed, over all repositories."""
    found = rows(data, "SELECT path, entries.language, cutter FROM entries JOIN cuts ON cuts.id = cut_id")
    return {bytes(path): (str(language), str(cutter)) for path, language, cutter in found}


def text_ids(data: Path) -> list[bytes]:
    """External ids of the chunks in the text index, sorted; unknown ones are empty, doubled ones are there twice."""
    known = dict(
        read(data, lambda connection: connection.execute("SELECT chunk_id, external_id FROM chunks").fetchall())
    )
    with closing(TextIndex.open_for_reading(DataDirectory(data).text)) as index:
        return sorted(known.get(chunk_id, b"") for chunk_id in index.chunk_ids())


def hits(data: Path) -> Mapping[str, list[tuple[bytes, float]]]:
    """{word: hits as (external id, score)} of `WORDS`."""
    known = dict(
        read(data, lambda connection: connection.execute("SELECT chunk_id, external_id FROM chunks").fetchall())
    )
    repositories = frozenset(load_registry(data).repositories)
    answers = {}
    with closing(TextIndex.open_for_reading(DataDirectory(data).text)) as index:
        for word in WORDS:
            clauses = (TextClause("code", word), TextClause("parts", word), TextClause("symbol", word, 2.0))
            found = index.search(TextQuery(clauses, repositories), 50).hits
            answers[word] = sorted((known[hit.chunk_id], hit.score) for hit in found)
    return answers


async def rebuild_text(data: Path) -> None:
    """Let the text index be made again, so that deleted chunks count in no score."""
    # Moved away first: a merge that the former owner gave up may go on in this process, and make files while others go.
    gone = data / "text-gone"
    DataDirectory(data).text.rename(gone)
    shutil.rmtree(gone)
    async with open_owner(settings_for(data)):
        pass


def processes_in(data: Path) -> list[psutil.Process]:
    """Processes whose working directory is the data directory: the worker processes of its owner."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(data):
                found.append(process)
        except psutil.Error:
            continue
    return found


def left_after_a_second(data: Path) -> list[psutil.Process]:
    """Worker processes that still run a second from now; returns as soon as none does."""
    _, alive = psutil.wait_procs(processes_in(data), timeout=1.0)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def write(root: Path, contents: Mapping[str, str]) -> None:
    """Bring the files below ``root`` to these contents; those that have them already are not touched."""
    for name, content in contents.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != content:
            file.write_text(content)


def lost(data: Path, notes: Path) -> list[str]:
    """Files of `Order.acknowledged` that the catalog does not hold in the acknowledged version or a later one."""
    if not notes.exists():
        return []
    acknowledged = [line.split() for line in notes.read_text().splitlines()]
    kept = {bytes(path): seq for path, seq in rows(data, "SELECT path, seq FROM entries")}
    return [path for path, seq in acknowledged if int(str(kept.get(bytes.fromhex(path), -1))) < int(seq)]
