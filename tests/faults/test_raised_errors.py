"""Row 19: an unexpected exception at any step ends the job with an error, never with a hang."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.faults import state
from tests.faults.driver import Driver, Order

STEPS = ("job.intent", "job.removal", "job.garbage", "job.trim", "catalog.commit", "catalog.committed", "text.apply",
         "text.commit", "text.committed")  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_f019_an_exception_ends_the_job_and_the_next_one_repairs(driver: Driver, tmp_path: Path, step: str) -> None:
    root, data = tmp_path / "tree", tmp_path / "data"
    state.write(root, state.small_tree(6))
    assert driver.run(Order(str(data), str(root))).report["state"] == "succeeded"
    shutil.rmtree(root / "native")
    state.write(root, {"pkg0/module0.py": "total = 2\n", "pkg1/module1.py": "total = 3\n"})
    number = 4 if step.startswith("catalog") else 2 if step.startswith("text.commit") else 1
    outcome = driver.run(Order(str(data), str(root), fault=f"{step}:{number}:raise"))
    assert outcome.report["error"] == "InjectedFault", outcome
    assert driver.run(Order(str(data), str(root))).report["state"] == "succeeded"
    assert asyncio.run(state.findings(data)) == []
    asyncio.run(state.from_scratch(tmp_path / "reference", data))
    assert state.dump(data) == state.dump(tmp_path / "reference")
    assert not state.left_after_a_second(data)
