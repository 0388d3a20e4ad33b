"""A crowd that follows one job over TCP, of which some never read: what it costs the service, and what stays of it."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest

from tests.conftest import TreeFactory
from tests.faults import state
from tests.indexing.cli.conftest import start
from tests.indexing.cli.serving import Serving, when_ready

READING = 130
STOPPED = 20
READ_SECONDS = 2
EVENTS = 5
"""Of 100 kB each: together more than fits between the service and a client that does not read."""
WITHIN_SECONDS = 30
MOST_GROWTH = 64 * 2**20
"""Bytes; a copy for each client of each event that was told would be more."""

__all__ = ["start"]


@pytest.fixture
def serving(start: Callable[..., object], tree: TreeFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A service that may index the test's trees, and waits two seconds for who does not read."""
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "none")
    monkeypatch.setenv("CODETROVE_LOG__LEVEL", "error")
    monkeypatch.setenv("CODETROVE_SERVICE__READ_SECONDS", str(READ_SECONDS))
    above = tree({}).parent
    arguments = ("serve", "--port", "0", "--json", "--no-watch", "--allow-root", str(above))
    begun = when_ready(start(*arguments))  # type: ignore[arg-type]
    yield begun
    begun.process.terminate()
    begun.process.communicate(timeout=30)


@dataclass
class Stream:
    """What a client that reads was sent."""

    link: socket.socket
    events: int = 0
    tail: bytes = b""
    is_over: bool = False
    has_end: bool = False

    def take(self) -> None:
        part = self.link.recv(1 << 20)
        text = self.tail + part
        self.events += len(re.findall(rb"\nevent: job\n", text)) - len(re.findall(rb"\nevent: job\n", self.tail))
        self.has_end = self.has_end or b"\nevent: end\n" in text
        self.is_over = not part or text.endswith(b"\r\n0\r\n\r\n")
        self.tail = text[-16:]


class Crowd:
    """Clients of one job: those that read do so whenever `read_until` waits."""

    def __init__(self, serving: Serving, job: str, stack: ExitStack) -> None:
        request = (
            f"GET /jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1:{serving.address[1]}\r\n"
            f"Authorization: Bearer {serving.token}\r\n\r\n"
        ).encode()
        self.stopped = [stack.enter_context(follow(serving, request, is_slow=True)) for _ in range(STOPPED)]
        self.reading = [Stream(stack.enter_context(follow(serving, request))) for _ in range(READING)]
        self._selector = stack.enter_context(selectors.DefaultSelector())
        for each in self.reading:
            self._selector.register(each.link, selectors.EVENT_READ, each)

    def read_until(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + WITHIN_SECONDS
        while not is_so():
            assert time.monotonic() < until, f"not within {WITHIN_SECONDS} s"
            for key, _ in self._selector.select(0.05):
                key.data.take()
                if key.data.is_over:
                    self._selector.unregister(key.fileobj)


def follow(serving: Serving, request: bytes, *, is_slow: bool = False) -> socket.socket:
    """Ask for events; where ``is_slow``, as over a network: little fits on the way."""
    link = socket.socket()
    if is_slow:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    link.settimeout(WITHIN_SECONDS)
    link.connect(serving.address)
    link.sendall(request)
    assert link.recv(12) == b"HTTP/1.1 200"
    return link


def held_job(serving: Serving, uuid: str) -> str:
    """A job that is paused before it is over, at the latest when it is tried again."""
    while True:
        _, job = serving.ask("POST", "/index", {"repository": uuid})
        if serving.ask("POST", f"/jobs/{job['id']}/pause", {})[0] == 200:
            return str(job["id"])


def test_f092_clients_that_stop_reading_are_cut_and_leave_the_job_and_the_other_clients_alone(
    serving: Serving, tree: TreeFactory
) -> None:
    root = tree(state.small_tree(40))
    _, added = serving.ask("POST", "/repositories", {"root": str(root), "index": False})
    uuid = added["repository"]["uuid"]
    held = held_job(serving, uuid)
    # Events of a job for long paths are long; this one waits behind the one that is held.
    paths = [f"{number:03}/{'x/' * 499}x" for number in range(100)]
    job = serving.ask("POST", "/index", {"repository": uuid, "paths": paths})[1]["id"]
    service = psutil.Process(serving.process.pid)
    memory, descriptors = service.memory_info().rss, service.num_fds()
    with ExitStack() as stack:
        crowd = Crowd(serving, job, stack)
        stopped = {link.getsockname()[1] for link in crowd.stopped}
        assert stopped <= peers(service)
        crowd.read_until(lambda: all(each.events for each in crowd.reading))
        for turn in range(EVENTS):
            assert serving.ask("POST", f"/jobs/{job}/{'resume' if turn % 2 else 'pause'}", {})[0] == 200
            crowd.read_until(lambda: min(each.events for each in crowd.reading) >= turn + 2)  # noqa: B023
        crowd.read_until(lambda: not stopped & peers(service))
        assert service.memory_info().rss - memory < MOST_GROWTH
        assert not any(each.is_over for each in crowd.reading)
        for each in (job, held):
            serving.ask("POST", f"/jobs/{each}/resume", {})
        crowd.read_until(lambda: all(each.is_over for each in crowd.reading))
        assert all(each.has_end for each in crowd.reading)
        assert serving.ask("GET", f"/jobs/{job}")[1]["state"] == "succeeded"
        assert serving.ask("GET", f"/jobs/{held}")[1]["tally"]["indexed"] == 40
        assert serving.ask("POST", "/search", {"query": "alpha"})[1]["hits"]
    until = time.monotonic() + WITHIN_SECONDS
    while peers(service):
        assert time.monotonic() < until, "connections stay"
    assert service.num_fds() <= descriptors + 10, "files of the index come and go; 150 connections do not"


def peers(service: psutil.Process) -> set[int]:
    """Ports from which the service has connections."""
    return {each.raddr[1] for each in service.net_connections("tcp") if len(each.raddr)}
