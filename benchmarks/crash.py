"""Kills an indexing owner at random moments and counts what that cost.

    python benchmarks/crash.py --kills 300 --seed 1
    python benchmarks/crash.py --kills 500 --parallel

Each round changes a tree at random (edits, new files, removals, renames), starts an owner that indexes it, and kills it
after a random time. Then an owner starts again, unharmed, and finishes the job; this is the recovery, timed from its
start to the job's end. Counted: files whose commit had been reported before the kill and that the catalog does not hold
(in that version or a later one), chunks doubled or orphaned in the text index, what ``fsck`` finds, worker processes
left after a second, and rounds whose end differs from an index built from scratch.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Timer
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import state
from tests.faults.driver import WITH_WORKERS, Driver, Order


@dataclass(slots=True)
class Figures:
    """What the campaign counts."""

    rounds: int = 0
    killed: int = 0
    lost: int = 0
    doubled: int = 0
    orphaned: int = 0
    findings: int = 0
    processes_left: int = 0
    unequal: int = 0
    rebuilt: Counter[str] = field(default_factory=Counter)
    """{why the text index was made again: recoveries}"""
    recoveries: list[float] = field(default_factory=list)
    """seconds"""
    undisturbed: list[float] = field(default_factory=list)
    """seconds of rounds that ended before their kill"""

    def bad(self) -> int:
        """How much of what must not be was seen."""
        return self.lost + self.doubled + self.orphaned + self.findings + self.processes_left + self.unequal

    def lines(self) -> list[str]:
        """Lines of the report."""
        return [
            f"rounds {self.rounds}, killed {self.killed}, text index made again {dict(self.rebuilt)}",
            f"acknowledged files lost {self.lost}, chunks doubled {self.doubled}, orphaned {self.orphaned}",
            f"findings of fsck {self.findings}, processes left {self.processes_left}",
            f"rounds unequal to an index from scratch {self.unequal}",
            f"recovery: median {median(self.recoveries):.2f} s, worst {max(self.recoveries):.2f} s",
            f"a round without a kill: median {median(self.undisturbed or [0.0]):.2f} s",
        ]


def main() -> None:
    """Run the campaign; exits with 1 if anything was lost, doubled, left or unequal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--files", type=int, default=60, help="files of the tree at the start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parallel", action="store_true", help="with two worker processes at once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as scratch, Driver() as driver:
        overrides = WITH_WORKERS if chosen.parallel else {}
        draw = random.Random(chosen.seed)
        figures = campaign(driver, Path(scratch), draw, kills=chosen.kills, files=chosen.files, overrides=overrides)
    print("\n".join(figures.lines()))
    sys.exit(1 if figures.bad() else 0)


def campaign(
    driver: Driver, scratch: Path, draw: random.Random, *, kills: int, files: int, overrides: Mapping[str, object]
) -> Figures:
    """Go on until ``kills`` owners were killed before their job's end."""
    figures = Figures()
    root, data, notes = scratch / "tree", scratch / "data", scratch / "acknowledged"
    contents = state.small_tree(files)
    state.write(root, contents)
    span = 1.0
    while figures.killed < kills:
        _change(root, contents, draw, figures.rounds)
        notes.unlink(missing_ok=True)
        figures.rounds += 1
        began = perf_counter()
        child = driver.begin(Order(str(data), str(root), acknowledged=str(notes), overrides=overrides))
        kill = Timer(draw.uniform(0.0, span), _kill, (child,))
        kill.start()
        outcome = driver.end()
        kill.cancel()
        if not outcome.killed:
            figures.undisturbed.append(perf_counter() - began)
            # Aim inside the run: half of the shots should hit.
            span = max(0.2, 1.2 * figures.undisturbed[-1])
            continue
        figures.killed += 1
        figures.lost += len(state.lost(data, notes))
        figures.processes_left += len(state.left_after_a_second(data))
        _recover(
            driver, Order(str(data), str(root), overrides=overrides), scratch / f"reference{figures.killed}", figures
        )
        if figures.killed % 25 == 0:
            print(f"{figures.killed} kills, {figures.bad()} bad", file=sys.stderr, flush=True)
    return figures


def _recover(driver: Driver, order: Order, reference: Path, figures: Figures) -> None:
    began = perf_counter()
    outcome = driver.run(order)
    figures.recoveries.append(perf_counter() - began)
    if outcome.report.get("rebuilt"):
        figures.rebuilt[str(outcome.report["rebuilt"])] += 1
    if outcome.report.get("state") != "succeeded":
        figures.findings += 1
        print(f"recovery ended with {outcome}", file=sys.stderr)
    data = Path(order.data)
    figures.findings += len(asyncio.run(state.findings(data)))
    ids = state.text_ids(data)
    figures.doubled += len(ids) - len(set(ids))
    figures.orphaned += ids.count(b"")
    asyncio.run(state.from_scratch(reference, data))
    figures.unequal += state.dump(data) != state.dump(reference) or ids != state.text_ids(reference)
    # A merge of the text index that its close gave up may still be writing.
    shutil.rmtree(reference, ignore_errors=True)


def _change(root: Path, contents: dict[str, str], draw: random.Random, number: int) -> None:
    """Edit, add, remove and rename some files, in ``contents`` and below ``root``."""
    for _ in range(draw.randint(1, 12)):
        name = draw.choice(sorted(contents))
        match draw.choice(("edit", "edit", "add", "remove", "rename")):
            case "edit":
                contents[name] = f"def edited{number}(value):\n    return value + {draw.random()}\n"
            case "add":
                contents[f"added/file{number}_{draw.randrange(100)}.py"] = f"total = {draw.random()}\n"
            case "remove" if len(contents) > 20:
                del contents[name]
                (root / name).unlink(missing_ok=True)
            case "rename":
                contents[f"moved/file{number}_{draw.randrange(100)}.py"] = contents.pop(name)
                (root / name).unlink(missing_ok=True)
            case _:
                pass
    state.write(root, contents)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
