"""Whether the data directory stays small under change: rounds of edits, each indexed with vectors, no grace period.

    python benchmarks/churn.py                     30 rounds over flask
    python benchmarks/churn.py --rounds 200 --keep DIR

Each round rewrites a fifth of the files, removes some and brings others back, then indexes, and searches meanwhile. At
the end the size of every part is compared with that of an index made anew of the same tree.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
from corpora import get
from ingest_measures import disk_bytes, machine

from indexing.reading import open_vectors
from indexing.runtime import open_owner
from indexing.search import SearchRequest, search
from indexing.settings import Settings, load_settings

SHARE_CHANGED: Final = 0.2
SHARE_REMOVED: Final = 0.05
PARTS: Final = ("catalog", "text", "vectors", "embeddings.db")


def main() -> int:
    """Run the benchmark; 1 when the directory grew beyond ``--bound`` times that of a new index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bound", type=float, default=4.0, help="most times the size of a new index, cache left out")
    parser.add_argument("--keep", type=Path, help="keep archives and trees here, and use those there")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    print(machine())
    with TemporaryDirectory(prefix="codetrove-churn-") as temporary:
        work = Path(temporary)
        tree = work / "tree"
        shutil.copytree(get("flask", arguments.keep or work).path, tree)
        data = work / "data"
        asyncio.run(churn(tree, data, rounds=arguments.rounds, seed=arguments.seed))
        asyncio.run(once(tree, work / "new"))
        total = fresh = 0
        print("\n| part | after churn, kB | made anew, kB | times |\n|---|---|---|---|")
        for part in PARTS:
            old, new = _size(data, part), _size(work / "new", part)
            print(f"| {part} | {old / 1e3:,.0f} | {new / 1e3:,.0f} | {old / max(new, 1):.2f} |")
            # The cache keeps the vectors of former versions on purpose, up to embeddings.cache_max_bytes.
            if part != "embeddings.db":
                total, fresh = total + old, fresh + new
        print(f"| all but the cache | {total / 1e3:,.0f} | {fresh / 1e3:,.0f} | {total / fresh:.2f} |")
    return int(total > arguments.bound * fresh)


async def churn(tree: Path, data: Path, *, rounds: int, seed: int) -> None:
    """Change the tree and index it, again and again; every search must answer."""
    chance = random.Random(seed)
    originals = await asyncio.to_thread(_sources, tree)
    async with open_owner(settings_for(data)) as owner:
        repository = await owner.register(tree)
        for number in range(rounds):
            for path, original in originals.items():
                draw = chance.random()
                if draw < SHARE_REMOVED:
                    path.unlink(missing_ok=True)
                elif draw < SHARE_REMOVED + SHARE_CHANGED:
                    path.write_bytes(original + f"\nround_{number} = {chance.random()}\n".encode())
                elif not path.exists():
                    path.write_bytes(original)
            async with owner.job_for(repository) as job:
                running = asyncio.create_task(job.run())
                request = SearchRequest("where are blueprints registered", frozenset({repository.uuid}))
                async with open_vectors(owner.settings, owner.reader, load_model=True) as vectors:
                    result = await search(request, catalog=owner.reader, text_index=owner.feed.index, vectors=vectors)
                await running
                assert result.hits or not number
            assert owner.vectors is not None
            assert await owner.vectors.drained()


async def once(tree: Path, data: Path) -> None:
    """Index the tree as it is, into an empty data directory."""
    async with open_owner(settings_for(data)) as owner:
        async with owner.job_for(await owner.register(tree)) as job:
            await job.run()
        assert owner.vectors is not None
        assert await owner.vectors.drained()


def settings_for(data: Path) -> Settings:
    """Return settings without a grace period for what is gone."""
    return load_settings(
        None, {"storage.data_dir": data, "storage.garbage_grace_days": 0, "embeddings.model": "hashing-384"}
    )


def _sources(tree: Path) -> dict[Path, bytes]:
    files = sorted(path for path in tree.rglob("*") if path.is_file() and path.suffix in {".py", ".rst", ".html"})
    return {path: path.read_bytes() for path in files}


def _size(data: Path, part: str) -> int:
    path = data / part
    return disk_bytes(path) if path.is_dir() else path.stat().st_size


if __name__ == "__main__":
    raise SystemExit(main())
