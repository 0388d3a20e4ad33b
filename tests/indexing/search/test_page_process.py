"""Pages that another process makes: the same as those that are made here, whatever becomes of that process."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from indexing.search import SearchRequest, SearchResult, search
from indexing.search import page_process as module
from indexing.search.page_process import MOST_STARTS, PageProcess
from tests.indexing.test_queries import FRUIT, SECRET, asking

if TYPE_CHECKING:
    from indexing.runtime import Owner
    from tests.conftest import TreeFactory

QUERIES = ("banana", "peel banana skin", "Orchard", "src/tools.py sharpen", "xyzzy", "nothing_of_this_name")


@asynccontextmanager
async def owned(tmp_path: Path, tree: TreeFactory, model: str = "none") -> AsyncIterator[tuple[Owner, list[str]]]:
    roots = tree(FRUIT, name="fruit"), tree(SECRET, name="vault")
    async with asking(tmp_path / "data", *roots, model=model) as (_, owner, uuids):
        yield owner, uuids


async def searched(owner: Owner, request: SearchRequest, pages: PageProcess | None = None) -> SearchResult:
    if owner.vectors is None:
        return await search(request, catalog=owner.reader, text_index=owner.feed.index, pages=pages)
    async with owner.vectors.source(patience=30, encodes_query=True) as vectors:
        return await search(request, catalog=owner.reader, text_index=owner.feed.index, vectors=vectors, pages=pages)


@pytest.mark.parametrize("model", ["none", "hashing-16"])
async def test_pages_are_the_same_wherever_they_are_made(tmp_path: Path, tree: TreeFactory, model: str) -> None:
    async with owned(tmp_path, tree, model) as (owner, uuids), PageProcess(owner.reader, lambda: True) as pages:
        asked = 0
        for query in QUERIES:
            for chosen in (frozenset(uuids), frozenset(uuids[:1])):
                request = SearchRequest(query, chosen, k=3, languages=("python",) if query == "banana" else ())
                assert await searched(owner, request, pages) == await searched(owner, request)
                asked += 1
        assert pages.made >= asked
        # A path filter is a function, which stays where it is.
        made = pages.made
        filtered = SearchRequest("banana", frozenset(uuids), path_globs=("*.md",))
        assert [hit.path for hit in (await searched(owner, filtered, pages)).hits] == ["notes.md"]
        assert pages.made == made


async def test_a_page_is_made_here_while_nothing_else_is_to_do(tmp_path: Path, tree: TreeFactory) -> None:
    async with owned(tmp_path, tree) as (owner, uuids), PageProcess(owner.reader, lambda: False) as pages:
        assert (await searched(owner, SearchRequest("banana", frozenset(uuids)), pages)).hits
        assert pages.made == 0


async def test_f009_a_process_that_is_killed_costs_no_search_and_is_replaced(tmp_path: Path, tree: TreeFactory) -> None:
    async with owned(tmp_path, tree) as (owner, uuids), PageProcess(owner.reader, lambda: True) as pages:
        request = SearchRequest("banana", frozenset(uuids))
        wanted = await searched(owner, request)
        seen = set()
        for _ in range(MOST_STARTS):
            assert pages.pid is not None
            seen.add(pages.pid)
            os.kill(pages.pid, signal.SIGKILL)
            # The first may come before the death is noticed, the second starts another one.
            assert await searched(owner, request, pages) == wanted
            assert await searched(owner, request, pages) == wanted
        assert len(seen) == MOST_STARTS
        # Something is wrong with it: no more are started.
        assert pages.pid is None
        made = pages.made
        assert await searched(owner, request, pages) == wanted
        assert pages.made == made


async def test_f031_a_process_that_hangs_is_given_up(
    tmp_path: Path, tree: TreeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    async with owned(tmp_path, tree) as (owner, uuids), PageProcess(owner.reader, lambda: True) as pages:
        pid = pages.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        assert (await searched(owner, SearchRequest("banana", frozenset(uuids)), pages)).hits
        assert not psutil.pid_exists(pid)


async def test_a_page_that_cannot_be_made_there_is_made_here(tmp_path: Path, tree: TreeFactory) -> None:
    async with owned(tmp_path, tree) as (owner, uuids), PageProcess(owner.reader, lambda: True) as pages:
        # More hits than a page may hold are no request that the process reads.
        odd = replace(SearchRequest("banana", frozenset(uuids)), snippet_lines=1)
        object.__setattr__(odd, "snippet_lines", 1_000)
        pid = pages.pid
        assert (await searched(owner, odd, pages)).hits
        assert pages.made == 0
        assert pages.pid == pid, "the process ended by it"


async def test_the_process_ends_with_the_daemon(tmp_path: Path, tree: TreeFactory) -> None:
    async with owned(tmp_path, tree) as (owner, _):
        async with PageProcess(owner.reader, lambda: True) as pages:
            pid = pages.pid
            assert pid is not None
        assert not psutil.pid_exists(pid)
