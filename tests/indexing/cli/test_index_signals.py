"""SIGINT and SIGTERM while a tree is indexed: the first drains, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import re
import signal

import psutil
import pytest

from indexing.cli.signals import draining

MANY = {f"package_{number % 7}/module_{number}.py": f"def function_{number}(): ...\n" for number in range(400)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_hand_and_the_next_run_goes_on(run, start, tree, number):
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


def test_the_second_signal_stops_at_once_and_leaves_no_process(run, start, tree):
    root = tree(MANY)
    process = start("index", root)
    worker = _stopped_worker(process)
    process.send_signal(signal.SIGINT)
    _read_until(process, "finishing what is in hand")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "stopped at once" in stderr
    worker.resume()
    assert psutil.wait_procs([worker], timeout=10)[1] == []
    assert "was interrupted" in run("status").stdout
    assert run("fsck").code == 0
    assert run("index", root).code == 0


async def test_the_handlers_that_were_there_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stopped = asyncio.Event()
    with draining(stopped.set):
        os.kill(os.getpid(), signal.SIGTERM)
        await stopped.wait()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_signal_that_is_ignored_stays_ignored():
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with draining(lambda: pytest.fail("a background job was stopped")):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, former)


def _stopped_worker(process) -> psutil.Process:
    """The command's worker process, held still with its first batch in hand or before it."""
    _read_until(process, "indexing")
    command = psutil.Process(process.pid)
    while True:
        for child in command.children():
            if "indexing.ingest.worker" in child.cmdline():
                child.suspend()
                return child


def _read_until(process, text: str) -> None:
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the command ended without saying {text!r}")
