"""Indexes a tree in a process that a test may kill.

``python driver.py`` is a server: for every order, a line of JSON on stdin, it forks a child that opens the owner,
registers the tree and indexes it. Forking spares each kill the start of an interpreter and its imports; the server
itself has one thread and no event loop, so that there is nothing a fork could break. `Driver` is its client.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from embeddings import HashingEncoder
from indexing.runtime import open_owner
from indexing.settings import Settings
from storage import Committed, Writer
from storage.faults import arm

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from embeddings import TextKind
    from indexing.runtime import Owner
    from storage import Vectors

T = TypeVar("T")

SMALL_STEPS: dict[str, object] = {
    "indexing.worker_batch_size": 2,
    "text.commit_interval_ms": 1,
    "storage.garbage_grace_days": 0,
    "recovery.crash_loop_starts": 100,
    "embeddings.model": "none",
}
"""Many batches and commits for few files, garbage that goes at once, and no end to the starts that may crash."""

WITH_VECTORS: dict[str, object] = {"embeddings.model": "hashing-384", "embeddings.batch_chunks": 4}
"""Overrides of `SMALL_STEPS`: vectors of a model without files, in small batches."""

WITH_WORKERS: dict[str, object] = {"indexing.enable_parallel": True, "indexing.concurrent_workers": 2}
"""Overrides of `SMALL_STEPS`: two worker processes at once."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the child has to do."""

    data: str
    root: str
    fault: str | None = None
    """as in ``_CODETROVE_FAULT``, but for the owner alone"""
    worker_fault: str | None = None
    """the same for its worker processes"""
    acknowledged: str | None = None
    """file that gets a line ``hex(path) seq`` for every file whose commit was reported back"""
    encoded: str | None = None
    """file that gets a line for every call of the encoder before it is made: a JSON list of texts"""
    overrides: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the child ended."""

    status: int
    """exit status; negative: the signal that ended it"""
    report: dict[str, object]
    """what the job said, or ``{"error": …}``; empty after a kill"""

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL


class Driver:
    """One server and its client; it works on one order at a time."""

    def __init__(self, preexec: Callable[[], None] | None = None) -> None:
        """Start the server; ``preexec`` runs in its process before its program does."""
        self._server = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=preexec,  # noqa: PLW1509  (the server has one thread)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def run(self, order: Order) -> Outcome:
        """Give an order and wait for its end."""
        self.begin(order)
        return self.end()

    def begin(self, order: Order) -> int:
        """Give an order; returns the process id of the child."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asdict(order)) + "\n")
        self._server.stdin.flush()
        return int(self._answer()["pid"])

    def end(self) -> Outcome:
        """Wait for the child."""
        answer = self._answer()
        return Outcome(answer["status"], answer["report"])

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer


def settings_for(data: Path | str, overrides: Mapping[str, object] | None = None) -> Settings:
    """Settings of a data directory with `SMALL_STEPS`."""
    groups: dict[str, dict[str, object]] = {}
    for key, value in (SMALL_STEPS | {"storage.data_dir": str(data)} | dict(overrides or {})).items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return Settings(**groups)  # type: ignore[arg-type]


def _serve() -> None:
    for line in sys.stdin:
        order = Order(**json.loads(line))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _child(order, writing)
        os.close(writing)
        _say({"pid": child})
        with os.fdopen(reading, "rb") as stream:
            report = stream.read()
        _, status = os.waitpid(child, 0)
        _say({"status": os.waitstatus_to_exitcode(status), "report": json.loads(report or "{}")})


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _child(order: Order, answers: int) -> None:
    """Carry out the order and end the process, whatever happens."""
    status = 1
    try:
        if order.worker_fault is not None:
            os.environ["_CODETROVE_FAULT"] = order.worker_fault
        if order.acknowledged is not None:
            _note_acknowledged(Path(order.acknowledged))
        if order.encoded is not None:
            _note_encoded(Path(order.encoded))
        arm(order.fault)
        report = asyncio.run(_index(order))
        os.write(answers, json.dumps(report).encode())
        status = 0
    except BaseException as error:
        os.write(answers, json.dumps({"error": type(error).__name__, "message": str(error)}).encode())
        raise
    finally:
        os._exit(status)


async def _index(order: Order) -> dict[str, object]:
    async with open_owner(settings_for(order.data, order.overrides)) as owner:
        repository = await owner.register(Path(order.root))
        async with owner.job_for(repository) as job:
            report = await job.run()
        return {
            "state": report.state,
            **asdict(report.tally),
            "rebuilt": owner.feed.rebuilt,
            "vectors": await vectors_of(owner),
        }


async def vectors_of(owner: Owner) -> dict[str, object]:
    """Wait for all vectors; returns how that went. Empty where the settings want none."""
    if owner.vectors is None:
        return {}
    complete = await owner.vectors.drained()
    assert owner.vectors.progress is not None, owner.vectors.problem
    return {"complete": complete, **asdict(owner.vectors.progress)}


def _note_acknowledged(path: Path) -> None:
    """Write down every file whose commit the writer reports back: those must outlive a kill."""
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    apply = Writer.apply

    async def noting(self: Writer, change: Callable[[sqlite3.Connection], T], *, patience: float = 0.0) -> T:
        result = await apply(self, change, patience=patience)
        for each in result if isinstance(result, list) else []:
            if isinstance(each, Committed):
                os.write(notes, f"{each.place.path.hex()} {each.seq}\n".encode())
        return result

    Writer.apply = noting  # type: ignore[method-assign]


def _note_encoded(path: Path) -> None:
    """Write down what the encoder is given: a kill takes the counters with it."""
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    encode = HashingEncoder.encode

    async def noting(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
        os.write(notes, json.dumps(list(texts)).encode() + b"\n")
        return await encode(self, texts, kind)

    HashingEncoder.encode = noting  # type: ignore[method-assign]


if __name__ == "__main__":
    _serve()
