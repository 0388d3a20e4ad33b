"""Rows 1 and 108, invariants I3, I4, I6 and I10: a kill at any step, of recovery too, loses and doubles nothing."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.faults import state
from tests.faults.driver import WITH_WORKERS, Driver, Order

EVERY_STEP = 200
"""More steps than any run here has."""


@dataclass(frozen=True)
class Scene:
    """A tree, the data directory of an index that is behind it, and what the index has to become."""

    root: Path
    behind: Path
    wanted: list[str]
    reference: Path


@pytest.fixture(scope="module")
def scene(drivers: list[Driver], tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Twelve indexed files, then: two edits, a new file, a rename, a removal, one that becomes binary."""
    base = tmp_path_factory.mktemp("scene")
    root = base / "tree"
    for name, content in state.small_tree().items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert drivers[0].run(Order(str(base / "behind"), str(root))).report["indexed"] == 12
    (root / "pkg0/module0.py").write_text("def changed(value):\n    return value\n")
    (root / "pkg1/module1.py").write_text("count = 1\n")
    (root / "pkg1/new.py").write_text("class New:\n    total = 0\n")
    (root / "native/unit2.c").rename(root / "native/moved.c")
    (root / "docs/part3.md").unlink()
    (root / "native/unit6.c").write_bytes(b"\0\1\2\3" * 100)
    reference = base / "reference"
    asyncio.run(state.from_scratch(reference, base / "behind"))
    return Scene(root, base / "behind", state.dump(reference), reference)


@pytest.mark.parametrize("overrides", [{}, WITH_WORKERS], ids=["sequential", "parallel"])
def test_f001_kill_at_every_step_of_an_update(
    drivers: list[Driver], scene: Scene, tmp_path: Path, overrides: dict[str, object]
) -> None:
    def prepare(data: Path) -> None:
        shutil.copytree(scene.behind, data)

    assert _killed_at_every_step(drivers, scene, tmp_path, prepare, overrides=overrides) >= 40


def test_f001_kill_at_every_third_step_of_a_first_index(drivers: list[Driver], scene: Scene, tmp_path: Path) -> None:
    def prepare(data: Path) -> None:
        data.mkdir(mode=0o700)
        shutil.copy(scene.behind / "registry.json", data)

    assert _killed_at_every_step(drivers, scene, tmp_path, prepare, stride=3) >= 12


def test_f001_recovery_that_is_killed_recovers(drivers: list[Driver], scene: Scene, tmp_path: Path) -> None:
    random_pairs = random.Random(10)

    def one(data: Path, driver: Driver) -> None:
        shutil.copytree(scene.behind, data)
        for most in (44, 30, 20):
            driver.run(Order(str(data), str(scene.root), fault=f"*:{random_pairs.randint(1, most)}:kill"))
        _recover(driver, scene, data)

    _on_both(drivers, one, [tmp_path / f"data{number}" for number in range(8)])


@pytest.mark.parametrize("stage", ["worker.read", "worker.parse"])
def test_f001_kills_of_the_worker_process_cost_nothing(
    driver: Driver, scene: Scene, tmp_path: Path, stage: str
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shutil.copy(scene.behind / "registry.json", data)
    # Each worker process in turn dies on its second file; alone it gets through.
    outcome = driver.run(Order(str(data), str(scene.root), worker_fault=f"{stage}:2:kill"))
    assert outcome.report["state"] == "succeeded"
    assert state.dump(data) == scene.wanted


@pytest.mark.parametrize("lost", ["update", "text index"])
def test_f001_scores_are_those_of_an_index_from_scratch(
    driver: Driver, scene: Scene, tmp_path: Path, lost: str
) -> None:
    data, reference = tmp_path / "data", tmp_path / "reference"
    shutil.copytree(scene.behind, data)
    shutil.copytree(scene.reference, reference)
    stage = "text.commit" if lost == "text index" else "catalog.commit"
    assert driver.run(Order(str(data), str(scene.root), fault=f"{stage}:3:kill")).killed
    _recover(driver, scene, data)
    for each in (data, reference):
        asyncio.run(state.rebuild_text(each))
    hits = state.hits(data)
    assert hits == state.hits(reference)
    assert all(hits.values())


def test_f001_files_that_a_dead_run_had_in_hand_are_tried_one_by_one(
    driver: Driver, scene: Scene, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(scene.behind, data)
    order = Order(str(data), str(scene.root), fault="job.intent:1:kill")
    assert driver.run(order).killed
    in_hand = {path for row in state.rows(data, "SELECT paths FROM batches") for path in row[0].split(b"\0")}
    assert len(in_hand) > state.rows(data, "SELECT count(*) FROM batches")[0][0]
    assert driver.run(order).killed
    batches = [row[0].split(b"\0") for row in state.rows(data, "SELECT paths FROM batches")]
    assert in_hand <= {path for batch in batches for path in batch}
    assert all(len(batch) == 1 for batch in batches if in_hand.intersection(batch))


@pytest.mark.parametrize("worker", ["spin", "stop"])
def test_f108_workers_end_within_a_second_of_the_kill_of_their_owner(
    driver: Driver, scene: Scene, tmp_path: Path, worker: str
) -> None:
    if worker == "stop" and sys.platform != "linux":
        pytest.skip("a suspended process sees its parent's end on Linux only")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    # The first batch becomes findable while the worker is busy with, or suspended in, the second one.
    order = Order(
        str(data),
        str(scene.root),
        fault="text.commit:2:kill",
        worker_fault=f"worker.read:3:{worker}",
        overrides={"indexing.parse_cpu_seconds": 5},
    )
    assert driver.run(order).killed
    assert not state.left_after_a_second(data)


def _killed_at_every_step(
    drivers: list[Driver],
    scene: Scene,
    scratch: Path,
    prepare: Callable[[Path], None],
    *,
    stride: int = 1,
    overrides: Mapping[str, object] | None = None,
) -> int:
    """Kill a run at its first step, another at its second, and so on to the end; returns how many were killed."""
    numbers = count(1, stride)
    ended = False

    def steps() -> Iterator[int]:
        while not ended:
            yield next(numbers)

    def one(data: Path, driver: Driver, number: int) -> bool:
        prepare(data)
        order = Order(str(data), str(scene.root), fault=f"*:{number}:kill", overrides=overrides or {})
        outcome = driver.run(order)
        _recover(driver, scene, data)
        shutil.rmtree(data)
        return outcome.killed

    def work(driver: Driver) -> int:
        nonlocal ended
        killed = 0
        for number in steps():
            assert number < EVERY_STEP
            if not one(scratch / f"data{number}", driver, number):
                ended = True
                break
            killed += 1
        return killed

    with ThreadPoolExecutor(len(drivers)) as threads:
        return sum(threads.map(work, drivers))


def _on_both(drivers: list[Driver], one: Callable[[Path, Driver], None], data: list[Path]) -> None:
    def work(number: int) -> None:
        for each in data[number :: len(drivers)]:
            one(each, drivers[number])

    with ThreadPoolExecutor(len(drivers)) as threads:
        list(threads.map(work, range(len(drivers))))


def _recover(driver: Driver, scene: Scene, data: Path) -> None:
    """Index once more, unharmed; everything must be as if nothing had happened."""
    outcome = driver.run(Order(str(data), str(scene.root)))
    assert outcome.report["state"] == "succeeded", outcome.report
    assert asyncio.run(state.findings(data)) == []
    assert state.dump(data) == scene.wanted
    assert state.text_ids(data) == state.text_ids(scene.reference)
    assert state.rows(data, "SELECT count(*) FROM jobs WHERE ended_at IS NULL") == [(0,)]
    assert state.rows(data, "SELECT count(*) FROM batches") == [(0,)]
    assert not state.left_after_a_second(data)
