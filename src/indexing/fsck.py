"""The full check of what is kept, and its repair: everything the catalog holds, and every index against it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from indexing.ingest.job import NothingToIndex, RootReplaced
from indexing.runtime import open_owner
from indexing.settings import NO_MODEL
from indexing.sources import RootError, display
from indexing.vectorize.repair import differences
from storage import (
    TEXT_SCHEMA_VERSION,
    CatalogDamaged,
    CatalogError,
    CatalogMissing,
    CollectionSpec,
    DataDirectory,
    LocalStore,
    Ownership,
    TextIndex,
    TextIndexError,
    VectorStoreError,
    check_catalog,
    damage_mark,
    judge_mark,
    kept_collections,
    load_registry,
    mark_damaged,
    note_served,
    open_for_reading,
    open_reader,
    point_counts,
    translated,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from indexing.settings import Settings


IDS_A_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong."""

    code: str
    message: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class FsckReport:
    """What the check found and, with ``repair``, what was done."""

    findings: tuple[Finding, ...]
    messages: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return all(finding.repaired for finding in self.findings)


async def check(settings: Settings, *, repair: bool) -> FsckReport:
    """Check a data directory that no one else owns; with ``repair`` mend what is wrong.

    A damaged catalog is moved aside as a whole and comes back from ``registry.json`` and the trees on disk; an index
    that disagrees with the catalog is made again from it. Raises ``DataDirectoryInUse`` beside an owner.
    """
    directory = DataDirectory(settings.storage.data_dir)
    await asyncio.to_thread(directory.prepare)
    with Ownership(directory):
        findings = await _everything(settings, directory)
    if repair:
        # What made the last starts crash is looked into here.
        await asyncio.to_thread(note_served, directory.starts)
    if not repair or not findings:
        return FsckReport(tuple(findings))
    if any(finding.code == "catalog" for finding in findings):
        reason = "; ".join(finding.message for finding in findings)
        await asyncio.to_thread(mark_damaged, directory.catalog, reason)
    if any(finding.code == "text" for finding in findings):
        await asyncio.to_thread(shutil.rmtree, directory.text, ignore_errors=True)
    if any(finding.code == "vectors" for finding in findings):
        await asyncio.to_thread(shutil.rmtree, directory.vectors, ignore_errors=True)
    messages = await _bring_back(settings)
    with Ownership(directory):
        left = await _everything(settings, directory)
    repaired = [replace(finding, repaired=True) for finding in findings if finding not in left]
    return FsckReport((*repaired, *left), tuple(messages))


async def _everything(settings: Settings, directory: DataDirectory) -> list[Finding]:
    findings = await asyncio.to_thread(lambda: list(_check(directory)))
    if settings.embeddings.model != NO_MODEL and not any(finding.code == "catalog" for finding in findings):
        with suppress(CatalogMissing):
            findings += await _check_vectors(directory)
    return findings


async def _check_vectors(directory: DataDirectory) -> list[Finding]:
    """Compare the vector store with what the catalog says is stored in it."""
    findings = []
    async with open_reader(directory.catalog) as reader:
        kept = await kept_collections(reader)
        if not kept:
            return []
        store = await LocalStore.open_for_reading(directory.vectors)
        try:
            for row in kept:
                lacking = orphaned = 0
                try:
                    opened = await store.open(CollectionSpec(row.name, row.dimension))
                    async for missing, strange in differences(opened, row, reader, page=IDS_A_PAGE):
                        lacking, orphaned = lacking + len(missing), orphaned + len(strange)
                except VectorStoreError as error:
                    if (await point_counts(reader, row.id)).get("stored"):
                        findings.append(Finding("vectors", str(error)))
                    continue
                for name, number in (("missing", lacking), ("orphaned", orphaned)):
                    if number:
                        findings.append(Finding("vectors", f"{number} {name} vectors in the collection {row.name}"))
        finally:
            await store.aclose()
    return findings


async def _bring_back(settings: Settings) -> list[str]:
    async with open_owner(settings) as owner:
        messages = list(owner.messages)
        for repository in owner.to_index_again:
            where = display(repository.root.path)
            try:
                async with owner.job_for(repository) as job:
                    report = await job.run()
            except (RootError, RootReplaced, NothingToIndex) as error:
                messages.append(f"{where} could not be indexed again: {error}")
            else:
                messages.append(f"{where}: {report.tally.indexed} files were indexed again ({report.state})")
        if owner.vectors is not None and not await owner.vectors.drained():
            messages.append(f"vectors are missing: {owner.vectors.missing_because}")
    return messages


def _check(directory: DataDirectory) -> Iterator[Finding]:
    mark = damage_mark(directory.catalog)
    if mark is not None:
        yield Finding("catalog", mark)
        return
    try:
        connection = open_for_reading(directory.catalog)
    except CatalogMissing:
        lost = load_registry(directory.path).repositories
        if lost:
            roots = ", ".join(display(root) for root in lost.values())
            yield Finding("catalog", f"there is no catalog, but registry.json knows of {roots}")
        return
    except CatalogError as error:
        yield Finding("catalog", str(error))
        return
    try:
        found = False
        for finding in check_catalog(connection):
            found = True
            yield Finding("catalog", f"{finding.rule}: {finding.detail}")
        if not found:
            with translated(directory.catalog):
                yield from _check_text(connection, directory)
    except CatalogDamaged as error:
        yield Finding("catalog", str(error))
    finally:
        connection.close()


def _check_text(connection: sqlite3.Connection, directory: DataDirectory) -> Iterator[Finding]:
    """Compare the text index with the catalog as far as its watermark says it has followed."""
    try:
        index = TextIndex.open_for_reading(directory.text)
    except TextIndexError as error:
        yield Finding("text", str(error))
        return
    try:
        mark = index.watermark()
        if mark is None or mark.schema != TEXT_SCHEMA_VERSION:
            yield Finding("text", "the text index has no watermark of this version")
            return
        verdict = judge_mark(
            connection,
            catalog=mark.catalog,
            incarnation=mark.incarnation,
            chunk_id=mark.chunk_id,
            deletion=mark.deletion,
        )
        if verdict != "ours":
            yield Finding("text", f"the text index is {verdict}")
            return
        indexed = list(index.chunk_ids())
        there = set(indexed)
        expected = {row[0] for row in connection.execute(
            "SELECT chunk_id FROM chunks WHERE chunk_id <= ? UNION SELECT chunk_id FROM deletions WHERE id > ?",
            (mark.chunk_id, mark.deletion),
        )}  # fmt: skip
        for name, number in (
            ("missing", len(expected - there)),
            ("orphaned", len(there - expected)),
            ("doubled", len(indexed) - len(there)),
        ):
            if number:
                yield Finding("text", f"{number} {name} chunks in the text index")
    except TextIndexError as error:
        yield Finding("text", str(error))
    finally:
        index.close()
