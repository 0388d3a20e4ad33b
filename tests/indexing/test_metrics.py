"""What an owner measures, against what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.metrics import metrics_of
from indexing.runtime import open_owner
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import TreeFactory

WORKERS = {"indexing.enable_parallel": True, "indexing.concurrent_workers": 2}


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
