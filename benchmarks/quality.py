"""How well codetrove finds what is asked for: the two commands that a retrieval-quality harness runs.

    python benchmarks/quality.py index  DATA REPO                    index one directory into DATA/<its own name>
    python benchmarks/quality.py search DATA REPO QUERIES_FILE K     answer a JSON list of queries

``search`` prints a JSON list with a list of hits ``{path, start_line, end_line, score}`` for each query, paths relative
to REPO. Every directory gets a data directory of its own, so that no other one's words count in its scores. Words alone
are measured unless CODETROVE_EMBEDDINGS__MODEL names a model.

With the harness and the checkouts of its README:

    python quality.py --repos CHECKOUTS --index-cmd 'python benchmarks/quality.py index DATA {repo}' \\
        --search-cmd 'python benchmarks/quality.py search DATA {repo} {queries_file} {k}'
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from indexing.reading import open_for_search, open_vectors
from indexing.search import MAX_K, SearchRequest, search
from indexing.settings import NO_MODEL, load_settings


def main() -> int:
    """Run one of the two commands; returns the exit code."""
    os.environ.setdefault("CODETROVE_EMBEDDINGS__MODEL", NO_MODEL)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("index", "search"):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path)
        command.add_argument("repo", type=Path)
        if name == "search":
            command.add_argument("queries_file", type=Path)
            command.add_argument("k", type=int)
    arguments = parser.parse_args()
    data = data_of(arguments.data, arguments.repo)
    if arguments.command == "index":
        return index(data, arguments.repo)
    queries = json.loads(arguments.queries_file.read_text(encoding="utf-8"))
    json.dump(asyncio.run(answers(data, queries, arguments.k)), sys.stdout)
    return 0


def data_of(data: Path, repo: Path) -> Path:
    """The data directory for one source tree."""
    root = repo.resolve()
    return data / f"{root.name}-{hashlib.sha256(bytes(root)).hexdigest()[:12]}"


def index(data: Path, repo: Path) -> int:
    """Run ``codetrove index`` on a tree that may be no git repository; returns its exit code."""
    environment = os.environ | {"CODETROVE_STORAGE__DATA_DIR": str(data)}
    program = "from indexing.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, "index", str(repo)], env=environment, check=False).returncode


async def answers(data: Path, queries: list[str], k: int) -> list[list[dict[str, Any]]]:
    """The hits of each query."""
    settings = load_settings(overrides={"storage.data_dir": str(data)})
    async with (
        open_for_search(settings) as (reader, text_index),
        open_vectors(settings, reader, load_model=True) as vectors,
    ):
        allowed = frozenset(each.uuid for each in await reader.repositories())
        found = []
        for query in queries:
            request = SearchRequest(query, allowed, k=min(k, MAX_K))
            result = await search(request, catalog=reader, text_index=text_index, vectors=vectors)
            found.append(
                [
                    {
                        "path": hit.path,
                        "start_line": hit.start_line,
                        "end_line": hit.end_line,
                        "score": hit.scores.total,
                    }
                    for hit in result.hits
                ]
            )
    return found


if __name__ == "__main__":
    raise SystemExit(main())
