"""Rows 1 and 2, invariants I3, I4, I6: a kill at any step of vectorizing loses nothing and costs the batch in hand."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import state, vector_state
from tests.faults.driver import WITH_VECTORS, Driver, Order, Outcome

BATCH = 4
"""As in `WITH_VECTORS`."""

FIRST_INDEX = (
    "vectorize.pending:3", "vectorize.encoded:3", "vectorize.cached:3", "vectorize.upserted:3",
    "vectorize.acknowledged:3", "vectors.manifest:1", "vectors.written:1",
)  # fmt: skip
UPDATE = (
    "vectorize.pending:1", "vectorize.encoded:1", "vectorize.cached:1", "vectorize.upserted:1",
    "vectorize.acknowledged:1", "vectorize.deleted:1",
)  # fmt: skip
CACHED = {
    "vectorize.encoded:3": 1, "vectorize.cached:3": 3, "vectorize.upserted:3": 3, "vectorize.acknowledged:3": 3,
    "vectorize.cached:1": 1, "vectorize.upserted:1": 1, "vectorize.acknowledged:1": 1,
}  # fmt: skip
"""Calls of the encoder whose vectors are in the cache for certain when the kill comes."""


@dataclass(frozen=True)
class Scene:
    """A tree, an index with all vectors that is behind it, one that has no vectors, and what both have to become."""

    root: Path
    behind: Path
    without_vectors: Path
    reference: Path
    wanted: list[str]
    nearest: dict[str, list[tuple[bytes, float]]]


@pytest.fixture(scope="module")
def scene(drivers: list[Driver], tmp_path_factory: pytest.TempPathFactory) -> Scene:
    base = tmp_path_factory.mktemp("vectors")
    root, behind, without, reference = (base / name for name in ("tree", "behind", "without", "reference"))
    contents = state.small_tree(20)
    state.write(root, contents)
    assert _index(drivers[0], behind, root).report["vectors"]["stored"] == 20  # type: ignore[index]
    for number in range(0, 20, 2):
        state.write(root, {sorted(contents)[number]: f"def changed{number}(value):\n    return {number}\n"})
    (root / "docs/part3.md").unlink()
    asyncio.run(state.from_scratch(reference, behind, WITH_VECTORS))
    without.mkdir(mode=0o700)
    shutil.copy(behind / "registry.json", without)
    assert drivers[0].run(Order(str(without), str(root))).report["state"] == "succeeded"
    nearest = asyncio.run(vector_state.nearest(reference))
    return Scene(root, behind, without, reference, state.dump(reference), nearest)


def test_f001_f002_a_kill_while_the_first_vectors_are_made_costs_the_batch_in_hand(
    drivers: list[Driver], scene: Scene, tmp_path: Path
) -> None:
    def one(driver: Driver, fault: str) -> None:
        data = tmp_path / fault
        shutil.copytree(scene.without_vectors, data)
        before = _killed(driver, scene, data, fault)
        twice = _texts(before) & _texts(_recovered(driver, scene, data))
        # The batch at the encoder, and the one on its way to the cache.
        assert len(twice) <= (0 if fault.startswith("vectors.") else 2 * BATCH), fault
        assert not twice & _texts(before[: CACHED.get(fault, 0)]), fault

    _on_both(drivers, one, FIRST_INDEX)


def test_f001_f002_a_kill_while_vectors_are_brought_up_to_date_costs_the_batch_in_hand(
    drivers: list[Driver], scene: Scene, tmp_path: Path
) -> None:
    def one(driver: Driver, fault: str) -> None:
        data = tmp_path / fault
        shutil.copytree(scene.behind, data)
        before = _killed(driver, scene, data, fault)
        twice = _texts(before) & _texts(_recovered(driver, scene, data, jobs=2))
        assert len(twice) <= (0 if fault.startswith("vectors.") else 2 * BATCH), fault
        assert not twice & _texts(before[: CACHED.get(fault, 0)]), fault

    _on_both(drivers, one, UPDATE)


def test_f001_a_run_that_is_killed_again_and_again_ends_complete(driver: Driver, scene: Scene, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(scene.without_vectors, data)
    calls: list[list[str]] = []
    for fault in ("vectorize.acknowledged:1", "vectorize.upserted:1", "vectorize.cached:1", "vectors.written:1"):
        calls += _killed(driver, scene, data, fault)
    calls += _recovered(driver, scene, data)
    texts = [text for call in calls for text in call]
    assert len(texts) <= len(set(texts)) + 3 * 2 * BATCH


def _killed(driver: Driver, scene: Scene, data: Path, fault: str) -> list[list[str]]:
    """Run until the fault; returns what was encoded, a list for each call of the encoder."""
    notes = data.with_name(data.name + ".before")
    notes.unlink(missing_ok=True)
    outcome = _index(driver, data, scene.root, fault=f"{fault}:kill", encoded=notes)
    assert outcome.killed, (fault, outcome)
    return _noted(notes)


def _recovered(driver: Driver, scene: Scene, data: Path, jobs: int = 1) -> list[list[str]]:
    """Index once more, unharmed, and compare with what was made without any fault; returns what was encoded."""
    notes = data.with_name(data.name + ".after")
    # What is garbage goes with the next job after its vectors.
    for _ in range(jobs):
        outcome = _index(driver, data, scene.root, encoded=notes)
        assert outcome.report["state"] == "succeeded", outcome
        assert outcome.report["vectors"]["complete"], outcome  # type: ignore[index]
    assert state.dump(data) == scene.wanted
    assert asyncio.run(state.findings(data, WITH_VECTORS)) == []
    held = asyncio.run(vector_state.held(data))
    assert held == asyncio.run(vector_state.listed(data)) == asyncio.run(vector_state.held(scene.reference))
    assert asyncio.run(vector_state.nearest(data)) == scene.nearest
    assert not state.left_after_a_second(data)
    return _noted(notes)


def _index(driver: Driver, data: Path, root: Path, *, fault: str | None = None, encoded: Path | None = None) -> Outcome:
    notes = None if encoded is None else str(encoded)
    return driver.run(Order(str(data), str(root), fault=fault, encoded=notes, overrides=WITH_VECTORS))


def _noted(notes: Path) -> list[list[str]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


def _texts(calls: Iterable[Iterable[str]]) -> set[str]:
    return {text for call in calls for text in call}


def _on_both(drivers: list[Driver], one: Callable[[Driver, str], None], faults: tuple[str, ...]) -> None:
    def work(number: int) -> None:
        for fault in faults[number :: len(drivers)]:
            one(drivers[number], fault)

    with ThreadPoolExecutor(len(drivers)) as threads:
        list(threads.map(work, range(len(drivers))))
