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

if TYPE_CHECKING:
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run, Start

MANY = {f"package_{number % 7}/module_{number}.py": f"def function_{number}(): ...\n" for number in range(400)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_hand_and_the_next_run_goes_on(
    run: Run, start: Start, tree: TreeFactory, number: signal.Signals
) -> None:
    root = tree(MANY)
    process = start("index", root)
    worker = _stopped_worker(process)
    process.send_signal(number)
    _read_until(process, "finishing what is in hand")
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


def test_the_second_signal_stops_at_once_and_leaves_no_process(run: Run, start: Start, tree: TreeFactory) -> None:
    root = tree(MANY)
    process = start("index", root)
    worker = _stopped_worker(process)
    process.send_signal(signal.SIGINT)
    _read_until(process, "finishing what is in hand")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    worker.resume()
    assert process.stderr is not None
    assert "stopped at once; what was committed stays, 'codetrove index' goes on" in process.stderr.read()
    assert psutil.wait_procs([worker], timeout=10)[1] == []
    assert "was interrupted" in run("status").stdout
    assert run("fsck").code == 0
    assert run("index", root).code == 0


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


def _stopped_worker(process: subprocess.Popen[str]) -> psutil.Process:
    """The command's worker process, held still with its first batch in hand or before it."""
    _read_until(process, "indexing")
    command = psutil.Process(process.pid)
    while process.poll() is None:
        for child in command.children():
            with suppress(psutil.Error):  # git, which has ended by now
                if "indexing.ingest.worker" in child.cmdline():
                    child.suspend()
                    return child
    pytest.fail("the command ended before it could be signalled")


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the command ended without saying {text!r}")
