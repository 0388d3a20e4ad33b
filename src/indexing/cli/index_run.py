"""One ``codetrove index`` from opening the data directory to the summary."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing.cli.exits import ExitCode, explain
from indexing.cli.index_summary import JobSummary, VectorSummary, summary_json, summary_lines
from indexing.cli.progress_show import shown
from indexing.cli.progress_view import vector_figures
from indexing.cli.signals import draining
from indexing.cli.terminal import say, say_json, say_result, size
from indexing.ingest.job import NothingToIndex
from indexing.ingest.progress import Counters
from indexing.metrics import metrics_of
from indexing.runtime import open_owner
from indexing.sources import display
from storage import CatalogDamaged, forget

if TYPE_CHECKING:
    from indexing.ingest.progress import Progress
    from indexing.metrics import Metrics
    from indexing.runtime import Owner
    from indexing.settings import Settings
    from indexing.vectors import OwnedVectors
    from storage import Repository


@dataclass(slots=True)
class Outcome:
    """What a command has done so far."""

    messages: list[str] = field(default_factory=list)
    jobs: list[JobSummary] = field(default_factory=list)
    vectors: VectorSummary | None = None
    metrics: Metrics | None = None
    trouble: bool = False
    """A repository that was to come back could not be indexed, or vectors are missing."""

    def tell(self, message: str) -> None:
        """Tell the user now, and again in the JSON."""
        self.messages.append(message)
        say(f"codetrove: {message}")

    @property
    def code(self) -> ExitCode:
        """The exit code of the command."""
        done = all(job.report.state == "succeeded" for job in self.jobs)
        return ExitCode.OK if done and not self.trouble else ExitCode.FINDINGS


class Stop:
    """Whether the user wants the work to end."""

    def __init__(self) -> None:
        """Nobody wants it yet."""
        self.requested = False
        self._event = asyncio.Event()

    def request(self) -> None:
        """Let the work end."""
        self.requested = True
        self._event.set()

    async def or_end_of(self, work: asyncio.Task[Any]) -> None:
        """Wait until the user wants it, or the work is done."""
        wanted = asyncio.create_task(self._event.wait(), name="stop")
        try:
            await asyncio.wait([work, wanted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()


async def run_index(
    settings: Settings, path: Path, *, accept_root: bool, with_vectors: bool, as_json: bool, verbose: bool
) -> ExitCode:
    """Index the tree at ``path`` and print what came of it; returns the exit code."""
    outcome, stop = Outcome(), Stop()
    with draining(stop.request):
        try:
            await _index(settings, path, outcome, stop, accept_root=accept_root, with_vectors=with_vectors)
        except CatalogDamaged as error:
            # The owner left a mark: opened again, it moves the catalog aside and brings the repositories back.
            outcome.tell(f"{error}: it is moved aside, and what it held is indexed again")
            outcome.jobs.clear()
            await _index(settings, path, outcome, stop, accept_root=accept_root, with_vectors=with_vectors)
    if as_json:
        say_json(summary_json(outcome.jobs, outcome.messages, outcome.vectors, outcome.metrics))
    else:
        for job in outcome.jobs:
            for line in summary_lines(job, every_failure=verbose):
                say_result(line)
        if outcome.vectors is not None:
            say_result(f"  vectors of {outcome.vectors.model}: {vector_figures(outcome.vectors.progress)}")
    return outcome.code


async def _index(
    settings: Settings, path: Path, outcome: Outcome, stop: Stop, *, accept_root: bool, with_vectors: bool
) -> None:
    async with open_owner(settings) as owner:
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
        if with_vectors and owner.vectors is not None and not stop.requested:
            await _vectors(owner.vectors, repository, outcome, stop)
        outcome.metrics = metrics_of(owner)


async def _vectors(vectors: OwnedVectors, repository: Repository, outcome: Outcome, stop: Stop) -> None:
    """Wait until all vectors are there, or the user has seen enough."""
    done = outcome.jobs[-1].progress
    draining = asyncio.create_task(vectors.drained(), name="drain-vectors")
    async with shown(lambda: replace(done, vectors=vectors.progress, waiting=_fetching(vectors)), repository.root.path):
        await stop.or_end_of(draining)
    if draining.done():
        complete = draining.result()
    else:
        complete = False
        draining.cancel()
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


async def _index_again(owner: Owner, repositories: list[Repository], outcome: Outcome, stop: Stop) -> None:
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
    return JobSummary(report, service.progress(job_id) or Counters().snapshot())


def _progress(owner: Owner, job_id: str) -> Progress:
    vectors = None if owner.vectors is None else owner.vectors.progress
    return replace(owner.service.progress(job_id) or Counters().snapshot(), vectors=vectors)


async def _unregister(owner: Owner, repository: Repository) -> None:
    """Leave nothing of a tree that turned out to be none: a mistyped path is no repository."""
    await owner.writer.apply(lambda connection: forget(connection, repository.id))
    with suppress(OSError):
        await owner.save_registry()
