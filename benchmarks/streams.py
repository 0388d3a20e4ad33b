"""Whether a thousand clients that follow a job slow it down, and what becomes of those that stop reading.

    python benchmarks/streams.py                four measured runs on Django, some minutes
    python benchmarks/streams.py --keep DIR     keep the corpus and use it again

The service is ``codetrove serve`` as a user starts it, in a process of its own; the clients read server-sent events
over TCP, in another process. Runs with and without clients take turns. Then clients stop reading while more is sent
than the buffers on the way hold, and have to be cut. Ends with 1 where the job gets slower by more than a fifth, memory
grows by more than 50 MB a run, a reading client misses the end, or descriptors stay.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import psutil
from corpora import get
from ingest_measures import MB, machine, percentile
from ingest_queries import QUERIES
from serve_load import Client

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

CLIENTS: Final = 1_000
STOPPED: Final = 50
"""Of the clients: they send their request and never read."""
ROUNDS: Final = 2
READ_SECONDS: Final = 10
"""``service.read_seconds``: how long a client may take nothing."""
HOLD_SECONDS: Final = 12.0
"""The job is held that long at its beginning, with and without clients: time for all of them to connect."""
CONNECTS_A_SECOND: Final = 150
"""One token may make 200 requests a second."""
SEARCHES_A_SECOND: Final = 5
LONG_PATHS: Final = 100
"""Of a job whose events are 100 kB each: so many paths are told, of 1,000 bytes each."""
FILL_EVENTS: Final = 5
"""Such events are more than the buffers of a connection hold that has the small segments and windows of `_connect`."""
TIMEOUT_SECONDS: Final = 120
MOST_SLOWER: Final = 0.20
MOST_GROWTH_MB: Final = 50.0
MOST_DESCRIPTORS: Final = 10
"""More than before, when everything is over: files of the index come and go."""
_SEGMENT_BYTES: Final = 536
_WINDOW_BYTES: Final = 4096


def main() -> int:
    """Run the benchmark; 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="keep the corpus here")
    parser.add_argument("--corpus", default="django", choices=("flask", "django"), help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="default: %(default)s")
    parser.add_argument("--stopped", type=int, default=STOPPED, help="of the clients (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of two runs each (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    allow_many_files(2 * arguments.clients + 200)
    print(json.dumps(machine()))
    with TemporaryDirectory(prefix="codetrove-streams-") as temporary:
        tree = get(arguments.corpus, (arguments.keep or Path(temporary)).resolve()).path
        with daemon(Path(temporary) / "data", tree) as served:
            figures, faults = measured(served, arguments)
    for name, value in figures.items():
        print(f"| {name} | {value:,.1f} |" if isinstance(value, float) else f"| {name} | {value} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2), encoding="utf-8")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


def allow_many_files(wanted: int) -> None:
    """Raise this process's limit on open files, and with it the service's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is up."""

    process: psutil.Process
    port: int
    token: str
    tree: Path
    corpus: str

    def client(self) -> Client:
        """Return a connection of one's own."""
        return Client(self.port, self.token)

    @property
    def resident(self) -> float:
        """MB of the service's own process that are in memory."""
        return float(self.process.memory_info().rss / MB)

    @property
    def cpu(self) -> float:
        """CPU seconds of the service's own process so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def daemon(data: Path, tree: Path) -> Iterator[Served]:
    """Run ``codetrove serve`` until the context ends."""
    program = Path(sys.executable).with_name("codetrove")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CODETROVE_")}
    environment |= {
        "CODETROVE_EMBEDDINGS__MODEL": "none",
        "CODETROVE_LOG__LEVEL": "warning",
        "CODETROVE_SERVICE__READ_SECONDS": str(READ_SECONDS),
    }
    words = [str(program), "--data-dir", str(data), "serve", "--port", "0", "--json", "--no-watch"]
    words += ["--allow-root", str(tree.parent)]
    log = data.with_suffix(".log").open("wb")
    with log, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=environment) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline() or b"{}")
            assert ready, Path(log.name).read_text("utf-8")
            token = Path(ready["token_file"]).read_text("utf-8").strip()
            port = int(ready["url"].rpartition(":")[2])
            yield Served(psutil.Process(process.pid), port, token, tree, tree.parent.name)
        finally:
            process.terminate()
            process.wait(TIMEOUT_SECONDS)
            sys.stderr.write(Path(log.name).read_text("utf-8", errors="replace")[-4000:])


def measured(served: Served, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Run everything; returns the figures, and in which way they are not what they must be."""
    first = run(served, arguments.clients, arguments.stopped)  # caches and allocators take what they keep
    descriptors = served.process.num_fds()
    alone, followed = [], []
    for _ in range(arguments.rounds):
        alone.append(run(served, 0, 0))
        followed.append(run(served, arguments.clients, arguments.stopped))
        print(f"alone {alone[-1]}\nfollowed {followed[-1]}", flush=True)
    cut = stalled(served, arguments.stopped)
    left = settled(lambda: served.process.num_fds() - descriptors, MOST_DESCRIPTORS, 2 * READ_SECONDS)
    slower = (
        statistics.median(each.seconds for each in followed) / statistics.median(each.seconds for each in alone) - 1
    )
    growth = statistics.median(each.after - each.before for each in followed)
    figures: dict[str, Any] = {}
    for name, runs in (("alone", alone), (f"{arguments.clients} clients", followed)):
        searches = [seconds for each in runs for seconds in each.searches]
        figures |= {
            f"{name}: job, median s": statistics.median(each.seconds for each in runs),
            f"{name}: CPU of the service meanwhile, median s": statistics.median(each.cpu for each in runs),
            f"{name}: memory before, median MB": statistics.median(each.before for each in runs),
            f"{name}: memory with all connected, median MB": statistics.median(each.connected for each in runs),
            f"{name}: memory at its peak, median MB": statistics.median(each.peak for each in runs),
            f"{name}: memory after, median MB": statistics.median(each.after for each in runs),
            f"{name}: text search, p50 ms": 1e3 * statistics.median(searches),
            f"{name}: text search, p99 ms": 1e3 * percentile(searches, 0.99),
            f"{name}: searches": len(searches),
        }
    told = [events for each in followed for events in each.events]
    missed = sum(each.missed for each in followed)
    figures |= {
        "job slower by, %": 100 * slower,
        "memory kept by a run with clients, median MB": growth,
        "memory kept by the first job of all, with clients, MB": first.after - first.before,
        "memory kept by each run with clients, MB": ", ".join(f"{each.after - each.before:.1f}" for each in followed),
        "events of a reading client, least, median, most": f"{min(told)}, {statistics.median(told):g}, {max(told)}",
        "reading clients that missed the end": missed,
        **cut.figures,
        "descriptors more than before, at the end": left,
    }
    faults = [
        (slower > MOST_SLOWER, f"the job is slower by {slower:.0%}, more than {MOST_SLOWER:.0%}"),
        (growth > MOST_GROWTH_MB, f"a run keeps {growth:.1f} MB, more than {MOST_GROWTH_MB:.0f}"),
        (bool(missed), f"{missed} reading clients missed the end"),
        (min(told) < 1, "a client was told nothing"),
        (cut.left > 0, f"{cut.left} of {arguments.stopped} stopped clients were not cut"),
        (cut.missed > 0, f"{cut.missed} clients that read beside stopped ones missed the end"),
        (left > MOST_DESCRIPTORS, f"{left} descriptors stay"),
    ]
    return figures, [text for is_fault, text in faults if is_fault]


@dataclass(slots=True)
class Run:
    """What one job cost."""

    seconds: float = 0.0
    """from its release to its end"""
    cpu: float = 0.0
    before: float = 0.0
    """MB of the service"""
    connected: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    """once all clients have gone"""
    missed: int = 0
    """reading clients that did not see the end"""
    events: list[int] = field(default_factory=list, repr=False)
    """of each reading client"""
    searches: list[float] = field(default_factory=list, repr=False)
    """seconds of each search meanwhile"""


def run(served: Served, clients: int, stopped: int) -> Run:
    """Index the tree from nothing while ``clients`` follow, of whom some never read."""
    client, found = served.client(), Run(before=served.resident)
    uuid, job = begin_held(client, served.tree)
    held_until = time.monotonic() + HOLD_SECONDS
    with crowd(served, job, clients - stopped, stopped) as following:
        time.sleep(max(0.0, held_until - time.monotonic()))
        found.connected = found.peak = served.resident
        over = threading.Event()
        searching = threading.Thread(target=search_until, args=(served, over, found.searches))
        searching.start()
        cpu, began = served.cpu, time.perf_counter()
        ask(client, "POST", f"/jobs/{job}/resume")
        while ask(client, "GET", f"/jobs/{job}")["state"] in {"queued", "running", "paused"}:
            found.peak = max(found.peak, served.resident)
            time.sleep(0.1)
        found.seconds, found.cpu = time.perf_counter() - began, served.cpu - cpu
        over.set()
        searching.join()
        found.events, found.missed = following.ended()
    ask(client, "DELETE", f"/repositories/{uuid}")
    settled(lambda: connected(served), 2, READ_SECONDS)  # this client's own, and the one that searched
    found.after = served.resident
    return found


def begin_held(client: Client, tree: Path) -> tuple[str, str]:
    """Add the tree, and hold its job at the beginning; returns both ids."""
    added = ask(client, "POST", "/repositories", {"root": str(tree)})
    ask(client, "POST", f"/jobs/{added['job']['id']}/pause")
    return added["repository"]["uuid"], added["job"]["id"]


def search_until(served: Served, over: threading.Event, seconds: list[float]) -> None:
    """Search at a fixed rate."""
    client, number = served.client(), 0
    queries = QUERIES[served.corpus]
    words = list(queries)
    while not over.wait(1 / SEARCHES_A_SECOND):
        seconds.append(client.search(words[number % len(words)], "text")[0])
        number += 1


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of clients that took nothing of a lot."""

    left: int
    """that are connected still"""
    missed: int
    figures: dict[str, Any]


def stalled(served: Served, stopped: int) -> Cut:
    """Send more than the buffers hold, to as many clients that read as to such that do not."""
    client = served.client()
    uuid, held = begin_held(client, served.tree)
    # A job for long paths has long events; this one waits behind the one that is held.
    paths = [f"{number:03}/{'x/' * 498}x" for number in range(LONG_PATHS)]
    job = ask(client, "POST", "/index", {"repository": uuid, "paths": paths})["id"]
    with crowd(served, job, stopped, stopped) as following:
        assert connected(served, following.stopped) == stopped
        began, memory = time.perf_counter(), served.resident
        for turn in range(FILL_EVENTS):
            ask(client, "POST", f"/jobs/{job}/{'resume' if turn % 2 else 'pause'}")
            following.wait_for(turn + 2)  # the first is how it stood
        filled, peak = time.perf_counter() - began, served.resident
        left = settled(lambda: connected(served, following.stopped), 0, READ_SECONDS + 5)
        taken = time.perf_counter() - began - filled
        client = served.client()  # the one before was idle for too long
        for each in (job, held):
            ask(client, "POST", f"/jobs/{each}/cancel")
        _, missed = following.ended()
    ask(client, "DELETE", f"/repositories/{uuid}")
    figures = {
        "stopped clients: sending more than buffers hold, s": filled,
        "stopped clients: memory more by then, MB": peak - memory,
        f"stopped clients: all cut, s after that (limit {READ_SECONDS})": taken,
        "stopped clients: not cut": left,
    }
    return Cut(left, missed, figures)


def connected(served: Served, ports: frozenset[int] | None = None) -> int:
    """How many connections the service has: all, or those from these ports."""
    peers = [each.raddr[1] for each in served.process.net_connections("tcp") if len(each.raddr)]
    return len(peers) if ports is None else sum(port in ports for port in peers)


def settled(look: Callable[[], int], most: int, seconds: float) -> int:
    """Wait until a number is at most so large; returns it, or how large it is when time is up."""
    until = time.monotonic() + seconds
    while (number := look()) > most and time.monotonic() < until:
        time.sleep(0.1)
    return number


def ask(client: Client, method: str, path: str, body: object = None) -> Any:
    """Ask, again where it was too often; returns the answer."""
    while True:
        status, answer = client.request(method, path, {} if body is None and method == "POST" else body)
        if status != HTTPStatus.TOO_MANY_REQUESTS:
            assert status < HTTPStatus.BAD_REQUEST, (method, path, status, answer)
            return answer
        time.sleep(0.5)


class Following:
    """The process of the clients, seen from here."""

    def __init__(self, link: Connection) -> None:
        """Talk over this."""
        self._link = link
        self.stopped: frozenset[int] = frozenset()
        """ports of the clients that never read"""

    def opened(self) -> None:
        """Wait until all are connected, and those that read have read something."""
        self.stopped = frozenset(self._answer())

    def ended(self) -> tuple[list[int], int]:
        """Wait for the end; returns the events of each reading client, and how many of these missed the end."""
        self._link.send("end")
        events, missed = self._answer()
        return events, missed

    def wait_for(self, events: int) -> None:
        """Wait until every reading client was sent so many events."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < until:
            self._link.send("least")
            if int(self._answer()) >= events:
                return
            time.sleep(0.05)
        raise AssertionError(f"a reading client was not sent {events} events")

    def _answer(self) -> Any:
        assert self._link.poll(TIMEOUT_SECONDS), "the clients do not answer"
        return self._link.recv()


@contextmanager
def crowd(served: Served, job: str, reading: int, stopped: int) -> Iterator[Following]:
    """Run clients in a process of their own, from when all are connected until the context ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    following = Following(ours)
    if not reading:
        threading.Thread(target=_nobody, args=(theirs,), daemon=True).start()
        yield following
        return
    request = (
        f"GET /jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Authorization: Bearer {served.token}\r\n\r\n"
    )
    arguments = (theirs, served.port, request.encode(), reading, stopped)
    process = context.Process(target=_be_clients, args=arguments)
    process.start()
    try:
        following.opened()
        yield following
    finally:
        ours.send("leave")
        process.join()


def _nobody(link: Connection) -> None:
    link.recv()
    link.send(([], 0))


@dataclass(slots=True)
class _Stream:
    """What one reading client was sent."""

    link: socket.socket
    events: int = 0
    tail: bytes = b""
    is_over: bool = False
    has_end: bool = False

    def take(self) -> None:
        """Read what there is."""
        part = self.link.recv(65_536)
        text = self.tail + part
        self.events += text.count(b"\nevent: job\n") - self.tail.count(b"\nevent: job\n")
        self.has_end = self.has_end or b"\nevent: end\n" in text
        self.is_over = not part or text.endswith(b"\r\n0\r\n\r\n")
        self.tail = text[-16:]


def _be_clients(link: Connection, port: int, request: bytes, reading: int, stopped: int) -> None:
    """Connect, say so, read, and answer what is asked of how it goes."""
    idle = [_connect(port, request, is_small=True) for _ in range(stopped)]
    with selectors.DefaultSelector() as selector:
        streams = [_Stream(_connect(port, request, is_small=False)) for _ in range(reading)]
        for each in streams:
            selector.register(each.link, selectors.EVENT_READ, each)
        selector.register(link, selectors.EVENT_READ)
        while not all(each.events for each in streams):
            _read(selector)
        link.send([each.getsockname()[1] for each in idle])
        asked = ""
        while asked != "leave":
            asked = _read(selector) or asked
            if asked == "least":
                link.send(min(each.events for each in streams))
                asked = ""
            elif asked == "end" and all(each.is_over for each in streams):
                link.send(([each.events for each in streams], sum(not each.has_end for each in streams)))
                asked = ""
    for gone in (*idle, *(stream.link for stream in streams)):
        gone.close()


def _read(selector: selectors.BaseSelector) -> str:
    """Read whatever came; returns what was asked of us."""
    asked = ""
    for key, _ in selector.select():
        if key.data is None:
            connection: Any = key.fileobj
            asked = connection.recv()
            continue
        key.data.take()
        if key.data.is_over:
            selector.unregister(key.fileobj)
    return asked


def _connect(port: int, request: bytes, *, is_small: bool) -> socket.socket:
    """Ask for events; with ``is_small`` little is on the way at a time, as over a network."""
    while True:
        time.sleep(1 / CONNECTS_A_SECOND)
        link = socket.socket()
        if is_small:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        link.connect(("127.0.0.1", port))
        link.sendall(request)
        head = link.recv(12)
        if head == b"HTTP/1.1 200":
            return link
        assert head == b"HTTP/1.1 429", head
        link.close()


if __name__ == "__main__":
    raise SystemExit(main())
