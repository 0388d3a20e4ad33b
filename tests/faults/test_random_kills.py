"""Row 1: kills at random moments, one after the other on the same data directory, while the tree changes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from threading import Timer

import pytest

from tests.faults import state
from tests.faults.driver import WITH_WORKERS, Driver, Order

KILLS = 30
MOST_ROUNDS = 90
"""Some rounds end before their kill."""


@pytest.mark.parametrize("overrides", [{}, WITH_WORKERS], ids=["sequential", "parallel"])
def test_f001_thirty_kills_at_random_moments(driver: Driver, tmp_path: Path, overrides: dict[str, object]) -> None:
    root, data, notes = tmp_path / "tree", tmp_path / "data", tmp_path / "acknowledged"
    draw = random.Random(30)
    contents = state.small_tree()
    killed = 0
    for number in range(MOST_ROUNDS):
        if killed == KILLS:
            break
        contents[f"pkg0/added{number % 5}.py"] = f"def added{number}(value):\n    return value + {number}\n"
        contents[draw.choice(sorted(contents))] = f"count = {number}\n"
        state.write(root, contents)
        notes.unlink(missing_ok=True)
        order = Order(str(data), str(root), acknowledged=str(notes), overrides=overrides)
        child = driver.begin(order)
        # From before the data directory exists to about the job's end.
        kill = Timer(draw.uniform(0.0, 0.3), _kill, (child,))
        kill.start()
        outcome = driver.end()
        kill.cancel()
        kill.join()
        killed += outcome.killed
        assert outcome.killed or outcome.report["state"] == "succeeded"
        assert not state.lost(data, notes)
    assert killed == KILLS
    assert driver.run(Order(str(data), str(root))).report["state"] == "succeeded"
    assert asyncio.run(state.findings(data)) == []
    asyncio.run(state.from_scratch(tmp_path / "reference", data))
    assert state.dump(data) == state.dump(tmp_path / "reference")
    assert state.text_ids(data) == state.text_ids(tmp_path / "reference")
    assert not state.left_after_a_second(data)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, signal.SIGKILL)
