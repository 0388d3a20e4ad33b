"""SIGINT and SIGTERM while a tree is indexed: the first drains, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from indexing.cli.signals import draining
from tests.faults import state

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run, Start

MANY = {f"package_{number % 7}/module_{number}.py": f"def function_{number}(): ...\n" for number in range(400)}


@pytest.fixture(params=[1, 2])
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many worker processes the commands use."""
    monkeypatch.setenv("CODETROVE_INDEXING__ENABLE_PARALLEL", str(request.param > 1))
    monkeypatch.setenv("CODETROVE_INDEXING__CONCURRENT_WORKERS", str(request.param))
    monkeypatch.setenv("CODETROVE_MEMORY__MAX_PERCENT", "99")
    monkeypatch.setenv("CODETROVE_MEMORY__MAX_MEMORY_PER_WORKER", "64")
    return int(request.param)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_f023_the_first_signal_finishes_what_is_in_hand_and_the_next_run_goes_on(
    run: Run, start: Start, tree: TreeFactory, monkeypatch: pytest.MonkeyPatch, *, number: signal.Signals, workers: int
) -> None:
    root = tree(MANY)
    with monkeypatch.context() as patch:
        patch.setenv("_CODETROVE_FAULT", "worker.read:30:stop")
        process = start("index", root)
    stopped = _stopped_workers(process, workers)
    process.send_signal(number)
    _read_until(process, "finishing what is in hand")
    for worker in stopped:
        worker.resume()
    stdout, stderr = process.communicate()
    assert process.returncode == 1, stderr
    assert "stopped indexing" in stdout
    assert "run the same command again" in stdout
    found = {name: int(count) for name, count in re.findall(r"(seen|indexed|skipped|not reached) (\d+)", stdout)}
    assert found["seen"] == found["indexed"] + found["skipped"] + found["not reached"]
    assert run("fsck").code == 0
    assert "did not come to its end" in run("status").stdout
    job = run("index", root, "--json").json()["jobs"][0]
    assert (job["state"], job["seen"]) == ("succeeded", len(MANY))
    assert run("status").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_f023_the_second_signal_stops_at_once_and_leaves_no_process(
    run: Run, start: Start, tree: TreeFactory, monkeypatch: pytest.MonkeyPatch, *, number: signal.Signals, workers: int
) -> None:
    root = tree(MANY)
    with monkeypatch.context() as patch:
        patch.setenv("_CODETROVE_FAULT", "worker.read:30:stop")
        process = start("index", root)
    stopped = _stopped_workers(process, workers)
    process.send_signal(number)
    _read_until(process, "finishing what is in hand")
    process.send_signal(number)
    assert process.wait() == 130
    for worker in stopped:
        with suppress(psutil.NoSuchProcess):
            worker.resume()
    assert process.stderr is not None
    assert "stopped at once; what was committed stays, 'codetrove index' goes on" in process.stderr.read()
    for worker in stopped:
        _wait_for_end(worker)
    assert "was interrupted" in run("status").stdout
    assert run("fsck").code == 0
    assert run("index", root).code == 0


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("moment", [(signal.SIGTERM, 1), (signal.SIGINT, 200)])
def test_f023_a_signal_at_any_time_leaves_what_the_next_run_completes(
    run: Run, start: Start, tree: TreeFactory, data_dir: Path, moment: tuple[signal.Signals, int]
) -> None:
    number, files = moment
    root = tree(MANY)
    process = start("index", root)
    _read_until(process, "indexing")
    while process.poll() is None and len(state.shown(data_dir)) < files:
        pass
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode in (0, 1), stderr
    assert not state.left_after_a_second(data_dir)
    assert run("fsck").code == 0
    assert run("index", root).code == 0
    assert len(state.shown(data_dir)) == len(MANY)


async def test_the_handlers_that_were_there_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stopped = asyncio.Event()
    with draining(stopped.set):
        os.kill(os.getpid(), signal.SIGTERM)
        await stopped.wait()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with draining(lambda: pytest.fail("a background job was stopped")):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, former)


def _wait_for_end(process: psutil.Process) -> None:
    """Wait until it runs no more; who inherited it may take seconds to collect its exit status."""
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            pass


def _stopped_workers(process: subprocess.Popen[str], number: int) -> list[psutil.Process]:
    """The command's worker processes, once so many hold still with a batch in hand."""
    _read_until(process, "indexing")
    command = psutil.Process(process.pid)
    while process.poll() is None:
        stopped = []
        for child in command.children():
            with suppress(psutil.Error):  # git, which has ended by now
                if child.status() == psutil.STATUS_STOPPED:
                    stopped.append(child)
        if len(stopped) == number:
            return stopped
    pytest.fail("the command ended before it could be signalled")


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the command ended without saying {text!r}")
