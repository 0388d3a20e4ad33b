"""One way to index a tree for the tests of jobs: a fresh owner each time, as on the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from indexing.ingest.job import JobReport
from indexing.runtime import open_owner
from tests.faults.driver import settings_for

Indexer: TypeAlias = Callable[..., Awaitable[JobReport]]


@pytest.fixture
def index(data_dir: Path) -> Indexer:
    """Runs one job on the data directory: a root and settings such as ``**{"group.key": value}`` give its report."""

    async def run(root: Path, **overrides: object) -> JobReport:
        async with open_owner(settings_for(data_dir, overrides)) as owner:
            repository = await owner.register(root)
            async with owner.job_for(repository) as job:
                return await job.run()

    return run
