"""What an owner measures, against what it did."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from indexing.metrics import metrics_of
from indexing.runtime import open_owner
from storage import VectorStoreUnavailable
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import TreeFactory

WORKERS: dict[str, object] = {"indexing.enable_parallel": True, "indexing.concurrent_workers": 2}
HASHING: dict[str, object] = {"embeddings.model": "hashing-384"}


async def test_counts_of_all_workers_add_up_to_the_job(tree: TreeFactory, data_dir: Path) -> None:
    files = state.small_tree(24)
    async with open_owner(settings_for(data_dir, WORKERS)) as owner:
        repository = await owner.register(tree(files))
        assert sum(metrics_of(owner).queues.values()) == 0
        job_id = await owner.service.submit(repository)
        await owner.service.wait(job_id)
        found, done = metrics_of(owner), owner.service.progress(job_id)
    assert done is not None
    assert sum(each.files for each in found.workers) == done.read == 24
    assert sum(each.chunks for each in found.workers) == done.chunks
    assert sum(each.bytes for each in found.workers) == done.bytes_read
    assert all(each.busy_seconds > 0 for each in found.workers if each.files)
    assert {each.starts for each in found.workers} == {1}
    assert found.workers_allowed == 2
    assert found.workers_busy == 0
    assert sum(found.queues.values()) == 0
    assert found.catalog_commits > 0
    assert found.text_commits > 0
    assert found.memory_percent is not None
    assert found.jobs_ended == {"succeeded": 1}
    assert not any(found.jobs.values())


async def test_every_stage_tells_what_it_did_and_waited_for(tree: TreeFactory, data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, WORKERS | HASHING)) as owner:
        repository = await owner.register(tree(state.small_tree(24)))
        job_id = await owner.service.submit(repository)
        await owner.service.wait(job_id)
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        found, done = metrics_of(owner), owner.service.progress(job_id)
    assert done is not None
    # The first batch comes after a scan, the first worker after a start: both take some time.
    assert found.ingest.work_wait_seconds > 0
    assert found.ingest.worker_wait_seconds > 0
    assert found.ingest.retries == found.ingest.read_again == 0
    assert found.text.chunks == done.chunks
    assert found.text.commits == found.text_commits > 0
    assert found.text.apply_seconds > 0
    assert found.text.commit_seconds > 0
    assert found.text.errors == found.text.retries == 0
    (model,) = found.models.values()
    assert model.work.encoded + model.work.from_cache == model.work.stored == done.chunks
    assert model.work.encode_seconds > 0
    assert model.work.store_seconds > 0
    assert model.work.store_retries == model.work.encode_retries == model.work.encode_errors == 0
    assert model.progress is not None
    assert model.progress.stored == done.chunks
    assert model.encoder is not None
    assert model.encoder.texts == model.work.encoded
    assert model.encoder.tokens > model.encoder.texts


@pytest.mark.parametrize("replicas", [0, 2])
async def test_tokens_are_the_same_however_many_processes_encode(
    tree: TreeFactory, data_dir: Path, replicas: int
) -> None:
    async with open_owner(settings_for(data_dir, HASHING | {"embeddings.replicas": replicas})) as owner:
        repository = await owner.register(tree({"a.py": "def alpha(beta):\n    return gamma\n", "b.py": "delta = 1\n"}))
        await owner.service.wait(await owner.service.submit(repository))
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        (model,) = metrics_of(owner).models.values()
    assert model.encoder is not None
    assert model.encoder.texts == 2
    # def, alpha, beta, return, gamma; delta, 1
    assert model.encoder.tokens == 7


async def test_what_was_repeated_is_counted(tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CODETROVE_FAULT", "worker.parse@bad.py:1:kill")
    async with open_owner(settings_for(data_dir, HASHING)) as owner:
        assert owner.vectors is not None
        repository = await owner.register(tree({"bad.py": "x = 1\n", "good.py": "y = 2\n"}))
        await owner.service.wait(await owner.service.submit(repository))
        assert await owner.vectors.drained()
        (keeper,) = owner.vectors.service._keepers.values()
        assert keeper.collection is not None
        original, calls = keeper.collection.upsert, 0

        async def fails_once(batch: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise VectorStoreUnavailable("away for a moment")
            return await original(batch)  # type: ignore[arg-type]

        monkeypatch.setattr(keeper.collection, "upsert", fails_once)
        tree({"more.py": "def more():\n    return 3\n"})
        await owner.service.wait(await owner.service.submit(repository))
        assert await owner.vectors.drained()
        found = metrics_of(owner)
    (model,) = found.models.values()
    # It dies with each process that parses the file; in the end the file is not parsed.
    assert found.ingest.retries == sum(each.deaths for each in found.workers) > 0
    assert model.work.store_retries == 1
    assert model.work.store_wait_seconds > model.work.store_seconds > 0


async def test_a_snapshot_stays_as_it_was(tree: TreeFactory, data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, HASHING)) as owner:
        repository = await owner.register(tree(state.small_tree(4)))
        before = metrics_of(owner)
        kept = {field.name: repr(getattr(before, field.name)) for field in fields(before)}
        await owner.service.wait(await owner.service.submit(repository))
        assert {field.name: repr(getattr(before, field.name)) for field in fields(before)} == kept
