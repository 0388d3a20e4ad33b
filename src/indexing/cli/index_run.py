"""One ``codetrove index`` from opening the data directory to the summary."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from indexing.cli.exits import explain
from indexing.cli.index_outcome import IndexOutcome
from indexing.cli.index_summary import JobSummary, VectorSummary
from indexing.cli.progress_show import shown
from indexing.cli.signals import draining
from indexing.cli.stopping import Stop
from indexing.cli.terminal import say, size
from indexing.http.serving import serving
from indexing.ingest.job import NothingToIndex
from indexing.ingest.progress import Counters
from indexing.metrics import metrics_of
from indexing.runtime import open_owner
from indexing.sources import display
from indexing.status import vector_states
from storage import CatalogDamaged, forget

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.cli.exits import ExitCode
    from indexing.ingest.progress import Progress
    from indexing.runtime import Owner
    from indexing.settings import Settings
    from indexing.vectors import OwnedVectors
    from storage import Repository


async def run_index(
    settings: Settings, path: Path, *, accept_root: bool, with_vectors: bool, as_json: bool, verbose: bool
) -> ExitCode:
    """Index the tree at ``path`` and print what came of it; returns the exit code."""
    outcome, stop = IndexOutcome(), Stop()
    with draining(stop.request):
        try:
            await _index(settings, path, outcome, stop, accept_root=accept_root, with_vectors=with_vectors)
        except CatalogDamaged as error:
            # The owner left a mark: opened again, it moves the catalog aside and brings the repositories back.
            outcome.tell(f"{error}: it is moved aside, and what it held is indexed again")
            outcome.jobs.clear()
            await _index(settings, path, outcome, stop, accept_root=accept_root, with_vectors=with_vectors)
    outcome.show(as_json=as_json, verbose=verbose)
    return outcome.code


async def _index(
    settings: Settings, path: Path, outcome: IndexOutcome, stop: Stop, *, accept_root: bool, with_vectors: bool
) -> None:
    async with open_owner(settings) as owner, serving(owner, tcp=False):
        for message in owner.messages:
            outcome.tell(message)
        known = {repository.uuid for repository in await owner.reader.repositories()}
        try:
            repository: Repository | None = await owner.register(path)
        except Exception:
            # What the lost catalog held comes back all the same: nothing else would bring it.
            await _index_again(owner, owner.to_index_again, outcome, stop)
            raise
        assert repository is not None  # noqa: S101
        if accept_root:
            await owner.accept_root(repository)
            repository = await owner.register(path)
        others = [each for each in owner.to_index_again if each.uuid != repository.uuid]
        await _index_again(owner, others, outcome, stop)
        try:
            outcome.jobs.append(await _run(owner, repository, stop))
        except NothingToIndex:
            if repository.uuid not in known:
                await _unregister(owner, repository)
            raise
        # A job that was stopped says so; one that had done all when the user stopped it may lack vectors all the same.
        if with_vectors and owner.vectors is not None and outcome.jobs[-1].state != "cancelled":
            await _vectors(owner, owner.vectors, repository, outcome, stop)
        outcome.metrics = metrics_of(owner)


async def _vectors(
    owner: Owner, vectors: OwnedVectors, repository: Repository, outcome: IndexOutcome, stop: Stop
) -> None:
    """Wait until all vectors are there, or the user has seen enough."""
    done = outcome.jobs[-1].progress
    draining = asyncio.create_task(vectors.drained(), name="drain-vectors")
    async with shown(lambda: replace(done, vectors=vectors.progress, waiting=_fetching(vectors)), repository.root.path):
        await stop.or_end_of(draining)
    if draining.done():
        complete = draining.result()
    else:
        draining.cancel()
        states = await vector_states(owner.reader)
        # None while the model is being fetched.
        complete = bool(states) and not any(each.pending for each in states)
        if not complete:
            outcome.tell("vectors are missing yet; the same command goes on from there")
    if vectors.progress is not None:
        outcome.vectors = VectorSummary(vectors.model, vectors.progress)
    if vectors.problem:
        outcome.tell(f"no vectors, text search only: {vectors.problem}")
    elif not complete and not stop.requested:
        outcome.tell(f"vectors are missing: {vectors.missing_because}")
    if not complete or (vectors.progress is not None and vectors.progress.failed):
        outcome.trouble = outcome.trouble or not vectors.problem


def _fetching(vectors: OwnedVectors) -> str:
    if vectors.fetching is None:
        return ""
    done, total = vectors.fetching
    return f"the model is being fetched, {size(done)} of {size(total)}"


async def _index_again(owner: Owner, repositories: list[Repository], outcome: IndexOutcome, stop: Stop) -> None:
    for repository in repositories:
        if stop.requested:
            return
        try:
            outcome.jobs.append(await _run(owner, repository, stop))
        except Exception as error:
            explained = explain(error)
            if explained is None or isinstance(error, CatalogDamaged):
                raise
            outcome.trouble = True
            outcome.tell(explained[1])


async def _run(owner: Owner, repository: Repository, stop: Stop) -> JobSummary:
    service = owner.service
    say(f"codetrove: indexing {display(repository.root.path)}")
    job_id = await service.submit(repository)
    ending = asyncio.create_task(service.wait(job_id), name="wait-for-job")
    try:
        async with shown(lambda: _progress(owner, job_id), repository.root.path):
            await stop.or_end_of(ending)
            if not ending.done():
                await service.cancel(job_id)
            report = await ending
    finally:
        ending.cancel()
    return JobSummary.of(report, service.progress(job_id) or Counters().snapshot())


def _progress(owner: Owner, job_id: str) -> Progress:
    vectors = None if owner.vectors is None else owner.vectors.progress
    return replace(owner.service.progress(job_id) or Counters().snapshot(), vectors=vectors)


async def _unregister(owner: Owner, repository: Repository) -> None:
    """Leave nothing of a tree that turned out to be none: a mistyped path is no repository."""
    await owner.writer.apply(lambda connection: forget(connection, repository.id))
    with suppress(OSError):
        await owner.save_registry()
